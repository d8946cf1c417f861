"""The limit of seconds: what is left behind when its block is."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tradelake.backtest.limits import OutOfTime, watched

PROFILED = """
import sys
from tradelake.backtest.limits import watched
with watched(100.0):
    pass
sys.setprofile(lambda *_: None)
(lambda: None)()
sys.setprofile(None)
"""


def work(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_a_profiler_works_after_a_run_that_was_in_time() -> None:
    subprocess.run([sys.executable, "-c", PROFILED], check=True, timeout=60)


def test_nothing_is_raised_after_the_block_when_the_limit_was_reached() -> None:
    with pytest.raises(OutOfTime), watched(0.05):
        work(10.0)
    work(0.3)
