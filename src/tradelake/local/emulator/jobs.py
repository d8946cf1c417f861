"""Runs one attempt of a batch job as a subprocess."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tradelake.local.children import Process, end
from tradelake.local.emulator.forks import Launcher

LOG_LINES: Final = 10_000
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended: exit code, last lines printed, and why it was stopped, if it was."""

    exit_code: int
    lines: tuple[str, ...]
    stopped_because: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and self.stopped_because is None


class JobRunner:
    """Runs attempts, at most ``slots`` at once.

    Parameters
    ----------
    launcher : Launcher
        Starts the processes.
    slots : int
        Attempts that run at once; the others wait for :attr:`slot`.
    """

    def __init__(self, launcher: Launcher, slots: int) -> None:
        self.slot = threading.BoundedSemaphore(slots)
        self._launcher = launcher

    def attempt(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        timeout_s: float | None,
        cancelled: Callable[[], bool],
    ) -> Attempt:
        """Run the command to its end, time-out or cancellation; the caller holds :attr:`slot`.

        A command that cannot be started ends with exit code 127, as in a shell.
        """
        try:
            process = self._launcher.start(command, environment)
        except OSError as error:
            return Attempt(127, (f"cannot start {list(command)}: {error}",))
        lines: deque[str] = deque(maxlen=LOG_LINES)
        if process.stdin is not None:
            process.stdin.close()
        reader = threading.Thread(target=_drain, args=(process, lines), daemon=True)
        reader.start()
        reason = _wait(process, timeout_s, cancelled)
        self._launcher.finished(process)
        reader.join(timeout=5.0)
        return Attempt(process.wait(), tuple(lines), reason)


def _drain(process: Process, lines: deque[str]) -> None:
    assert process.stdout is not None
    with process.stdout:
        lines.extend(line.rstrip("\n") for line in process.stdout)


def _wait(process: Process, timeout_s: float | None, cancelled: Callable[[], bool]) -> str | None:
    """Wait; returns why the process was stopped, or None when it ended by itself."""
    left_s = timeout_s if timeout_s is not None else float("inf")
    while left_s > 0:
        try:
            process.wait(timeout=min(_POLL_S, left_s))
        except subprocess.TimeoutExpired:
            left_s -= _POLL_S
        else:
            return None
        if cancelled():
            end(process)
            return "the job was terminated"
    end(process)
    return "Job attempt duration exceeded timeout"
