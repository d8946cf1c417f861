"""The ingester: keeps the venue's socket open and pushes micro-batches to Kinesis.

Exit codes: 0 after a clean stop with nothing in hand, 2 when settings are wrong or the other side
refuses, with one line on standard error.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tradelake.adapters.system import collect_seldom
from tradelake.bootstrap import wire_ingester
from tradelake.errors import TradelakeError

_THREADS: Final = 32


async def run_until_signal(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run ``work`` with an event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # AWS calls that hang must not keep the spool and the lease from a thread.
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="ingester"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    collect_seldom()
    await work(stop)


def main() -> int:
    """Run the ingester; returns the exit code."""
    try:
        asyncio.run(run_until_signal(wire_ingester(os.environ)))
    except TradelakeError as error:
        sys.stderr.write(f"ingester: {type(error).__name__}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
