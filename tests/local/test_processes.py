"""Processes of the embedded AWS: which end is a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tradelake.local.processes import Processes


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path, tmp_path)
    yield made
    made.close()


def test_a_process_that_ends_by_itself_is_not_blamed_when_it_was_to_end(
    processes: Processes,
) -> None:
    processes.start("compiler", ["-c", ""], ends=True).child.wait()
    assert processes.culprit() is None


def test_a_process_that_was_to_end_is_blamed_when_it_failed(processes: Processes) -> None:
    failed = processes.start("compiler", ["-c", "raise SystemExit('no room')"], ends=True)
    failed.child.wait()
    assert processes.culprit() is failed
    assert "no room" in failed.obituary()


def test_a_server_is_blamed_when_it_ends_though_without_an_error(processes: Processes) -> None:
    ended = processes.start("streams", ["-c", ""])
    ended.child.wait()
    assert processes.culprit() is ended
