"""``tradelake backtest | sweep | backtests`` on a lake: its bars, its instruments."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.commands.test_backtest import _own_signals, call  # noqa: F401 - a fixture of each test
from tests.e2e.commands import command, environment, processes_of, wait_until_gone
from tradelake.bootstrap import wire_lake_writer
from tradelake.local.layout import Layout
from tradelake.market.records import Bar, Instrument
from tradelake.stream.envelope import Batch

MINUTE_NS = 60_000_000_000
START_NS = 1_735_689_600_000_000_000
"""2025-01-01."""
SIZE = 720
HALTED = range(300, 450)
"""Minutes in which nobody trades BTC/USD."""
STRATEGY = '''
import os
import signal
import time

from tradelake.strategies.event import EventStrategy


class Events(EventStrategy):
    """Buys and sells every so many bars; a pause makes a run long, a negative one fails."""

    name = "events"

    def __init__(self, every: int, pause: float = 0.0) -> None:
        if every == 7:
            raise ValueError("seven is no good")
        self.parameters = {"every": every, "pause": pause}
        self.every, self.pause, self.bars = every, pause, 0

    def on_bar(self, ctx):
        self.bars += 1
        time.sleep(self.pause)
        if self.every == 13:
            raise ValueError("raised on purpose")
        if self.every == 99 and self.bars == 50:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.bars % self.every == 0:
            if ctx.held:
                ctx.close_position(ctx.symbol)
            else:
                ctx.buy(ctx.symbol, notional=1_000.0)
'''


def minutes(symbol: str, seed: int) -> list[Bar]:
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.004, SIZE)))
    open_ = np.concatenate(([100.0], close[:-1]))
    columns = (open_, np.maximum(open_, close), np.minimum(open_, close), close)
    made = []
    for at, (first, high, low, last) in enumerate(
        zip(*map(np.ndarray.tolist, columns), strict=True)
    ):
        ts_ns = START_NS + at * MINUTE_NS
        prices = (first, high, low, last, 50.0, last)
        made.append(Bar(symbol, ts_ns, 0, *prices, 3, "1m", "alpaca", "history"))
    return made


def said(minute: int, event: str) -> Instrument:
    ts_ns = START_NS + minute * MINUTE_NS
    terms = ("0.001", "0.001", "0.01")
    return Instrument("BTC/USD", ts_ns, ts_ns, event, "active", event != "halted", *terms)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A lake with a day of minutes of two symbols, and what is known of one of them."""
    layout = Layout(tmp_path_factory.mktemp("lake") / "run")
    known = [said(0, "listed"), said(HALTED.start, "halted"), said(HALTED.stop, "resumed")]
    records = [*minutes("BTC/USD", 1), *minutes("ETH/USD", 2), *known]
    with layout.held():
        writer = wire_lake_writer(layout.variables())
        writer.deliver("clean", [Batch("live", "us", 1, 0, 0, 0, records)])
    return layout.root


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """The folder of the shell, with a strategy of one's own."""
    (tmp_path / "own.py").write_text(STRATEGY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("own", None)


def asked(root: Path, *more: str) -> list[str]:
    return ["--root", str(root), "--symbols", "BTC/USD,ETH/USD", "--json", *more]


def test_backtest_takes_bars_and_instruments_of_the_lake_and_is_listed(root, folder, capsys):
    code, out, err = call(
        capsys, "backtest", "sma_cross", *asked(root, "--param", "fast=20"),
        "--start", "2025-01-01", "--end", "2025-01-02",
    )  # fmt: skip
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["manifest"]["parameters"]["fast"] == 20
    assert answer["manifest"]["instruments"].startswith("blake2b:")
    assert "records: BTC/USD 3." in answer["realism"]
    assert "Nothing is known of ETH/USD" in answer["realism"]
    assert answer["rejects"]["halted"] > 0
    _, listed, _ = call(capsys, "backtests", "list", "--json")
    assert [json.loads(line)["id"] for line in listed.splitlines()] == [answer["id"]]


def test_sweep_over_the_lake_ranks_a_range_of_a_parameter(root, folder, capsys):
    code, out, err = call(capsys, "sweep", "sma_cross", *asked(root, "--grid", "fast=5:50:5"))
    assert (code, err) == (0, "")
    trials = json.loads(out)["trials"]
    assert sorted(trial["fast"] for trial in trials) == list(range(5, 55, 5))
    assert len({trial["final_equity"] for trial in trials}) > 5


def test_sweep_in_processes_is_as_in_one_and_tells_of_what_fails(root, folder, capsys):
    arguments = asked(root, "--no-save", "--grid", "every=5,7,13,20,30,99")
    long = ("--param", "pause=0.001", "--workers", "2")
    code, out, err = call(capsys, "sweep", "own:Events", *arguments, *long)
    assert code == 1
    assert "3 of 6 runs failed" in err
    trials = {trial["every"]: trial for trial in json.loads(out)["trials"]}
    assert "seven is no good" in trials[7]["error"]
    assert "events in on_bar of BTC/USD" in trials[13]["error"]
    assert "its process was ended from outside" in trials[99]["error"]
    _, out, _ = call(capsys, "sweep", "own:Events", *asked(root, "--grid", "every=5,20,30"))
    for alone in json.loads(out)["trials"]:
        assert alone["final_equity"] == trials[alone["every"]]["final_equity"]


def test_sweep_leaves_no_process_when_it_is_interrupted(root, folder):
    arguments = asked(root, "--no-save", "--grid", "every=20:40", "--workers", "2")
    sweep = subprocess.Popen(
        command("sweep", "own:Events", *arguments, "--param", "pause=0.001"),
        env=environment(TRADELAKE_TEST=str(folder)),
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len([one for one in processes_of(folder) if "spawn_main" in one]) < 2:
        assert sweep.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    sweep.send_signal(signal.SIGINT)
    _, told = sweep.communicate(timeout=10)
    wait_until_gone(folder, 5.0)
    assert sweep.returncode == 130
    assert told.strip() == "tradelake: interrupted; nothing is left running"
