"""Processes of this machine as holders of a lease."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from tradelake.errors import Transient

_PREFIX: Final = "process"
_STARTED_FIELD: Final = 19
"""Field 22 of ``/proc/<pid>/stat``, counted behind the command, which may hold spaces."""


def own_process() -> str:
    """Return the name of this process as a holder: its pid, and when it started.

    The start tells it from a later process that was given the same pid.
    """
    return _holder(os.getpid())


class ProcessEvictor:
    """An :class:`tradelake.ports.Evictor` of processes on this machine."""

    def evict(self, holder: str) -> None:
        """Kill the process, paused or not; nothing when it is gone or is no process of ours.

        Raises
        ------
        Transient
            It belongs to somebody else.
        """
        prefix, _, rest = holder.partition(":")
        pid = rest.partition("@")[0]
        if prefix != _PREFIX or not pid.isdecimal():
            return
        try:
            if _holder(int(pid)) == holder:
                os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise Transient(f"cannot end {holder}: {error}") from error


def _holder(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return f"{_PREFIX}:{pid}@"
    started = stat.rpartition(")")[2].split()[_STARTED_FIELD]
    return f"{_PREFIX}:{pid}@{started}"
