"""A fork's end is told to everybody who waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tradelake.local.emulator.forks import ForkedProcess, ForkHost


@pytest.fixture
def host() -> Iterator[ForkHost]:
    host = ForkHost(os.environ, ())
    yield host
    host.close()


def _end(process: ForkedProcess) -> None:
    """Let the script go on, and read nothing of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def test_all_threads_that_wait_hear_of_the_end(host: ForkHost, tmp_path: Path) -> None:
    script = tmp_path / "ends.py"
    script.write_text("import sys\nsys.stdin.readline()\nsys.exit(7)\n")
    with ThreadPoolExecutor(8) as threads:
        for _ in range(40):
            process = host.start([sys.executable, "-P", str(script)], {}, tmp_path)
            waiting = [threads.submit(process.wait, 10.0) for _ in range(8)]
            _end(process)
            assert [one.result() for one in waiting] == [7] * 8
            assert process.wait() == 7


def test_waiting_ends_when_the_time_is_over(host: ForkHost, tmp_path: Path) -> None:
    script = tmp_path / "stays.py"
    script.write_text("import sys\nsys.stdin.readline()\n")
    process = host.start([sys.executable, "-P", str(script)], {}, tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    _end(process)
    assert process.wait(10.0) == 0
