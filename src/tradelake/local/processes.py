"""Processes of the embedded AWS: started with a log file each, watched, and ended together."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tradelake.errors import ConfigError, Transient
from tradelake.local.children import Children, end

_READY: Final = '"ready"'
_CULPRIT_S: Final = 0.5
_REFUSED: Final = 2
"""Exit code of our processes for wrong settings."""
_NOT_INHERITED: Final = ("AWS_", "TRADELAKE_", "APCA_")


def plain_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return ``inherited`` without what could reach a real account or change a setting."""
    return {k: v for k, v in inherited.items() if not k.startswith(_NOT_INHERITED)}


class Process:
    """A running child; its output goes to ``log``. Without an ``optional`` one the rest goes on."""

    def __init__(
        self, name: str, child: subprocess.Popen[str], log: Path, *, optional: bool = False
    ) -> None:
        self.name = name
        self.log = log
        self.child = child
        self._optional = optional
        self._ready: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._said: deque[str] = deque(maxlen=1)
        self._pump = threading.Thread(target=self._copy, name=f"log-{name}", daemon=True)
        self._pump.start()

    def _copy(self) -> None:
        assert self.child.stdout is not None
        self._keep("")
        with self.child.stdout as lines:
            for line in lines:
                if line.strip():
                    self._said.append(line.strip())
                self._keep(line)
                if _READY in line and line.startswith("{"):
                    self._ready.put(json.loads(line))
        self._ready.put(None)

    def _keep(self, line: str) -> None:
        """Append to the log file; without one (a full disk) the process is still listened to."""
        with contextlib.suppress(OSError), self.log.open("a", encoding="utf-8") as log:
            log.write(line)

    def wait_ready(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Return the ready line.

        Raises
        ------
        ConfigError
            The process refused its settings; the message is its last line.
        Transient
            It ended otherwise, or did not become ready in time.
        """
        try:
            ready = self._ready.get(timeout=timeout_s)
        except queue.Empty:
            raise Transient(f"{self.name} was not ready after {timeout_s:g} s") from None
        if ready is None:
            if self.child.wait() != _REFUSED:
                raise Transient(self.obituary())
            raise ConfigError(f"{self.name}: {self.last_line().removeprefix('tradelake: ')}")
        return ready

    def last_line(self) -> str:
        """Return the last line of output, or what stands for it."""
        self._pump.join(timeout=2)
        return self._said[-1] if self._said else f"ended with code {self.child.poll()} and no word"

    def obituary(self) -> str:
        """Return in one line how a process ended that nobody asked to end."""
        code = self.child.wait()
        how = (
            f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )
        last = "" if code < 0 else f": {self.last_line()}"
        return f"{self.name} {how}{last} (see {self.log})"

    def failure(self, timeout_s: float) -> str:
        """Wait until it has ended by itself; return what went wrong, nothing where all is well."""
        try:
            code = self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"{self.name} had not ended after {timeout_s:g} s (see {self.log})"
        return self.obituary() if code else ""

    def stop(self, timeout_s: float = 30.0) -> int:
        """End it with SIGTERM, after ``timeout_s`` with SIGKILL; return its exit code."""
        end(self.child, timeout_s)
        self._pump.join(timeout=5)
        return int(self.child.returncode)

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.child.poll() is None

    @property
    def died(self) -> bool:
        """Whether it ended though nobody asked and the rest depends on it."""
        return not self.running and not self._optional


class Processes:
    """Starts processes; closing ends them all, the last started first."""

    def __init__(self, logs: Path, project_root: Path) -> None:
        self._logs = logs
        self._root = project_root
        self._children = Children()
        self._running: list[Process] = []

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        optional: bool = False,
    ) -> Process:
        """Start this Python with ``arguments``; ``variables`` come on top of a cleaned environment.

        An ``optional`` process may end when it likes, and however it likes.

        Inherited ``AWS_*`` and ``TRADELAKE_*`` variables are left out, so nothing local can reach
        a real account.
        """
        child = self._children.start(
            [sys.executable, "-P", *arguments],
            {**plain_environment(os.environ), "PYTHONUNBUFFERED": "1", **(variables or {})},
            stdin=subprocess.DEVNULL,
            cwd=self._root,
        )
        process = Process(name, child, self._logs / f"{name}.log", optional=optional)
        self._running.append(process)
        return process

    def died(self) -> Process | None:
        """Return a process that ended though nobody asked, or None."""
        return next((one for one in self._running if one.died), None)

    def culprit(self) -> Process | None:
        """As :meth:`died`, but gives an end that shows as a refused connection time to be seen."""
        deadline = time.monotonic() + _CULPRIT_S
        while (dead := self.died()) is None and time.monotonic() < deadline:
            time.sleep(_CULPRIT_S / 10)
        return dead

    def stop(self, process: Process, timeout_s: float = 30.0) -> int:
        """End one process and forget it; return its exit code."""
        self._running.remove(process)
        code = process.stop(timeout_s)
        self._children.finished(process.child)
        return code

    def close(self) -> None:
        """End every process."""
        while self._running:
            self.stop(self._running[-1], timeout_s=5.0)
        self._children.close()
