"""Subprocesses that never outlive this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, TypeVar

from tradelake.local import reaper

_GRACE_S = 3.0


class Process(Protocol):
    """A child: ``subprocess.Popen`` or a look-alike. It leads a process group of its own."""

    pid: int
    stdin: IO[str] | None
    stdout: IO[str] | None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, as ``subprocess.Popen.wait``."""
        ...


SomeProcess = TypeVar("SomeProcess", bound=Process)


class Children:
    """Starts subprocesses in process groups of their own and ends them all with :meth:`close`.

    A reaper process does the same when this one is killed and cannot. (``PR_SET_PDEATHSIG`` would
    not do: it follows the thread that started the child, and jobs are started from short-lived
    request threads.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alive: dict[int, Process] = {}
        self._closed = False
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(reaper.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], *, stdin: int, cwd: Path
    ) -> subprocess.Popen[str]:
        """Start a command; standard output and error come on one text pipe, line by line.

        Raises
        ------
        OSError
            The command cannot be started.
        RuntimeError
            :meth:`close` was called.
        """
        return self.adopt(
            lambda: subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                cwd=cwd,
            )
        )

    def adopt(self, start: Callable[[], SomeProcess]) -> SomeProcess:
        """Own the process that ``start`` starts; it must lead a process group.

        Raises
        ------
        RuntimeError
            :meth:`close` was called; nothing was started.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the owner is stopping; nothing is started any more")
            process = start()
            self._alive[process.pid] = process
            self._tell_reaper(f"+{process.pid}")
        return process

    def finished(self, process: Process) -> None:
        """Forget a process that was waited for, and end what it left behind in its group."""
        _signal_group(process, signal.SIGKILL)
        with self._lock:
            if self._alive.pop(process.pid, None) is not None and not self._closed:
                self._tell_reaper(f"-{process.pid}")

    def close(self) -> None:
        """End every child, SIGTERM first and SIGKILL after a grace; return when all are gone."""
        with self._lock:
            self._closed = True
            alive = list(self._alive.values())
        for process in alive:
            _signal_group(process, signal.SIGTERM)
        for process in alive:
            end(process)
        assert self._reaper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._reaper.stdin.close()
        self._reaper.wait()

    def _tell_reaper(self, line: str) -> None:
        assert self._reaper.stdin is not None
        # Without a reaper, because somebody killed it, children end with :meth:`close` alone.
        with contextlib.suppress(BrokenPipeError):
            self._reaper.stdin.write(line + "\n")
            self._reaper.stdin.flush()


def end(process: Process, grace_s: float = _GRACE_S) -> None:
    """End a process and its group: SIGTERM, then SIGKILL after the grace."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: Process, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
