"""Compiling ahead: an image built so runs a backtest of any kind without the compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RUN = """
from numba.core import event

compiled = []

class Heard(event.Listener):
    def on_start(self, told): compiled.append(told.data["dispatcher"].py_func.__name__)
    def on_end(self, told): pass

event.register("numba:compile", Heard())
from tradelake.backtest import engine, session, warm
from tradelake.strategies.library import build, make
{runs}
print(compiled)
"""
JOBS = """
engine.run(warm.bars(), make("sma_cross", {"fast": 3, "slow": 9}))
session.run(warm.bars(), build("donchian", {}), costs=None, broker="ideal")
session.run(warm.bars(), build("grid", {}), seed=3)
"""


def python(code: str, cache: Path) -> str:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def test_nothing_is_compiled_by_jobs_when_the_core_was_compiled_ahead(tmp_path: Path) -> None:
    python("from tradelake.backtest import warm; warm.warm()", tmp_path)
    assert python(RUN.replace("{runs}", JOBS), tmp_path).strip() == "[]"
