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


@pytest.mark.parametrize("code", ["", "raise SystemExit('no room')", "os.kill(os.getpid(), 9)"])
def test_a_process_is_not_blamed_when_nothing_depends_on_it(
    processes: Processes, code: str
) -> None:
    ended = processes.start("compiler", ["-c", f"import os; {code}"], optional=True)
    ended.child.wait()
    assert processes.culprit() is None


def test_a_process_says_why_it_failed(processes: Processes) -> None:
    failed = processes.start("compiler", ["-c", "raise SystemExit('no room')"], optional=True)
    assert "compiler ended with code 1: no room" in failed.failure(30.0)


def test_a_server_is_blamed_when_it_ends_though_without_an_error(processes: Processes) -> None:
    ended = processes.start("streams", ["-c", ""])
    ended.child.wait()
    assert processes.culprit() is ended
