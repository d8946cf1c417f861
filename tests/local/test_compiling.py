"""Compiling beside the demo: a real compiler that ends, hangs or is killed never ends the demo."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tradelake.local.board import Board
from tradelake.local.demo.run import finish_compiling
from tradelake.local.layout import Layout
from tradelake.local.runtime import Runtime, RuntimeOptions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A runtime that has started nothing."""
    layout = Layout(tmp_path)
    layout.logs.mkdir(parents=True)
    made = Runtime(RuntimeOptions(layout=layout, project_root=ROOT))
    yield made
    made.__exit__(None, None, None)


def said(runtime: Runtime, sent: signal.Signals, timeout_s: float) -> str:
    """Return what the board says when a signal was sent to the compiler."""
    compiler, out = runtime.start_compiling(), io.StringIO()
    os.kill(compiler.child.pid, sent)
    finish_compiling(runtime, compiler, Board((), Console(file=out, width=80)), timeout_s)
    assert not compiler.running
    runtime.check()
    return out.getvalue()


def test_the_demo_goes_on_without_the_compiler_when_it_hangs(runtime: Runtime) -> None:
    line = said(runtime, signal.SIGSTOP, 0.5)
    assert line.startswith("note   compiler had not ended after 0.5 s (see ")
    assert line.endswith("compiler.log); each job compiles the matching core for itself\n")


def test_the_demo_goes_on_without_the_compiler_when_it_is_killed(runtime: Runtime) -> None:
    line = said(runtime, signal.SIGKILL, 60.0)
    assert line.startswith("note   compiler was ended by SIGKILL (see ")
    assert line.count("\n") == 1


@pytest.mark.timeout(600)
def test_nothing_is_said_of_a_compiler_that_ended_well(runtime: Runtime) -> None:
    assert said(runtime, signal.SIGCONT, 570.0) == ""
