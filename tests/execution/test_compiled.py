"""Compiled functions where their machine code cannot be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = """\
import resource
from tradelake.execution.compiled import compiled
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

@compiled
def double(number):
    return 2 * number

print(double(21))
"""


def test_a_compiled_function_runs_where_the_disk_takes_no_code(tmp_path: Path) -> None:
    script = tmp_path / "doubling.py"
    script.write_text(MODULE)
    kept = tmp_path / "kept"
    kept.mkdir()
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept)}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    assert not list(kept.rglob("*.nb?"))
