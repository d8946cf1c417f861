"""Ends process groups whose owner died. Run as a script; standard library only.

The owner holds the write end of this process' standard input and writes ``+<pid>`` after a start
and ``-<pid>`` after an end. However the owner dies, kill -9 included, the kernel closes the pipe:
every group still listed is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable


def reap(lines: Iterable[str]) -> None:
    """Follow the lines to their end, then kill the groups that are left."""
    alive: set[int] = set()
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            alive.add(pid)
        else:
            alive.discard(pid)
    for pid in alive:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    reap(sys.stdin)
