"""What ``tradelake backtest | sweep`` does where results cannot be saved."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.test_backtest import _own_signals, bars, call

__all__ = ["_own_signals", "bars"]

RUN = ("--symbols", "BTC/USD", "--param", "slow=20", "--out", "kept", "--bars")
ONE = ("backtest", "sma_cross", *RUN, "bars.parquet", "--param", "fast=5")
MANY = ("sweep", "sma_cross", *RUN, "bars.parquet", "--grid", "fast=3,5")


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Stands for a full disk: what is written beyond is an error of the system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("asked", [ONE, MANY])
def test_a_folder_that_takes_no_results_is_refused_before_anything_runs(
    bars, capsys, asked
) -> None:
    Path("kept").touch()
    code, out, err = call(capsys, *asked, "--param", "no_such=1")
    assert (code, out) == (2, "")
    code, out, err = call(capsys, *asked)
    assert (code, out) == (2, "")
    assert err == "tradelake: cannot save in kept: File exists\n"


@pytest.mark.parametrize("asked", [ONE, MANY])
def test_results_are_shown_and_nothing_half_saved_is_left_when_the_disk_is_full(
    bars, capsys, asked
) -> None:
    assert call(capsys, *asked, "--no-save")[0] == 0  # compiles, which writes files too
    with files_no_longer_than(1_000):
        code, out, err = call(capsys, *asked)
        told = call(capsys, *asked, "--json")
    assert code == 1
    assert "sharpe" in out
    assert "saved" not in out
    assert err.startswith("tradelake: nothing was saved in kept: ")
    assert "too large" in err
    assert told[0] == 1
    assert json.loads(told[1])["id"] is None
    assert list(Path("kept").iterdir()) == []
