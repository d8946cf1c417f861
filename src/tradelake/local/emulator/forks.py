"""Starts Python scripts as forks of a host process, :mod:`tradelake.local.emulator.fork_host`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from tradelake.local.children import Children, Process
from tradelake.local.emulator import fork_host

PRELOADED: Final = (
    "boto3",
    "botocore.regions",
    "msgspec",
    "numba",
    "numpy",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "duckdb",
    "xgboost",
)


class ForkedProcess:
    """A script in a fork: what is used of ``subprocess.Popen``, whose contract it keeps.

    Several threads may wait for it at once: one that ends it, and one that reads what it says.
    """

    def __init__(self, pid: int, given: int, output: int, report: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: IO[str] | None = os.fdopen(given, "w", encoding="utf-8")
        self.stdout: IO[str] | None = os.fdopen(output, encoding="utf-8", errors="replace")
        self._report = report
        self._reading = threading.Lock()
        weakref.finalize(self, os.close, report)  # not before: others may wait on it

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit code, negative: the signal that ended it.

        Raises
        ------
        subprocess.TimeoutExpired
            It goes on.
        """
        ended = self.returncode
        if ended is None:
            readable, _, _ = select.select([self._report], [], [], timeout)
            with self._reading:
                ended = self._told(bool(readable))
        if ended is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return ended

    def _told(self, readable: bool) -> int | None:
        """Return the exit code, that another thread may have read by now, or None."""
        if self.returncode is None and readable:
            # Nothing to read: the host itself was killed, and took the answer with it.
            self.returncode = int(os.read(self._report, 16) or b"-9")
        return self.returncode


class ForkHost:
    """The host process, from this side.

    Parameters
    ----------
    environment : Mapping of str to str
        Of the host; libraries read some variables when they are loaded.
    modules : sequence of str
        What to load.
    """

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str] = PRELOADED) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", fork_host.__file__, str(theirs.fileno()), *modules],
                env=dict(environment),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], cwd: Path
    ) -> ForkedProcess:
        """Run ``[sys.executable, "-P", script, ...]`` in a fork; waits while libraries load.

        Standard input, and output with errors, are text pipes.

        Raises
        ------
        OSError
            The host is gone.
        """
        request = {
            "script": command[2],
            "arguments": list(command[3:]),
            "environment": dict(environment),
            "cwd": str(cwd),
        }
        their_input, given = os.pipe()
        output, their_output = os.pipe()
        report, their_report = os.pipe()
        theirs = (their_input, their_output, their_report)
        try:
            with self._lock:
                socket.send_fds(self._control, [json.dumps(request).encode()], theirs)
                answer = self._control.recv(32)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        if not answer:
            for descriptor in (given, output, report):
                os.close(descriptor)
            raise OSError("the host of forks has ended")
        return ForkedProcess(int(answer), given, output, report)

    def close(self) -> None:
        """End the host; forks are ended by their owner."""
        self._control.close()
        self.process.wait()


class Launcher:
    """Starts the processes of jobs and functions, in forks where it can.

    Parameters
    ----------
    children : Children
        Owner of the processes.
    host : ForkHost
        Where Python scripts run; other commands are started as they are.
    environment : Mapping of str to str
        Variables below those of each process.
    root : Path
        Working directory of each process.
    """

    def __init__(
        self, children: Children, host: ForkHost, environment: Mapping[str, str], root: Path
    ) -> None:
        self.root = root
        self._children = children
        self._host = host
        self._environment = environment

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a command; standard input, and output with errors, are text pipes.

        Raises
        ------
        OSError
            The command cannot be started.
        """
        merged = {**self._environment, **environment}
        if is_forkable(command):
            return self._children.adopt(lambda: self._host.start(command, merged, self.root))
        return self._children.start(command, merged, stdin=subprocess.PIPE, cwd=self.root)

    def finished(self, process: Process) -> None:
        """Forget a process that was waited for, and end what it left behind in its group."""
        self._children.finished(process)
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def is_forkable(command: Sequence[str]) -> bool:
    """Whether a command runs a script with this interpreter and ``-P``.

    >>> is_forkable([sys.executable, "-P", "/app/main.py"]), is_forkable(["/bin/true"])
    (True, False)
    """
    return (
        len(command) > 2
        and list(command[:2]) == [sys.executable, "-P"]
        and command[2].endswith(".py")
        and sys.platform == "linux"
    )
