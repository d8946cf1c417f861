"""Group commit: one write and one fsync a log serve every request that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tradelake.local.stream_server.log import ShardLog, Staged
from tradelake.local.stream_server.options import Fsync
from tradelake.local.stream_server.protocol import KinesisError

_THREADS: Final = 4


class GroupCommit:
    """Commits staged records in rounds: what is staged during a round is written by the next one.

    Parameters
    ----------
    fsync : {"always", "interval", "never"}
        See :class:`~tradelake.local.stream_server.options.ServerOptions`.
    interval_s : float
        Period of ``interval``.
    """

    def __init__(self, fsync: Fsync, interval_s: float) -> None:
        self._sync_now = fsync == "always"
        self._interval_s = interval_s if fsync == "interval" else None
        self._waiting: dict[ShardLog, asyncio.Future[None]] = {}
        self._unsynced: set[ShardLog] = set()
        self._sync_due: set[ShardLog] = set()
        self._wake = asyncio.Event()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="commit")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start committing."""
        self._tasks.append(asyncio.create_task(self._commit_for_ever()))
        if self._interval_s is not None:
            self._tasks.append(asyncio.create_task(self._sync_for_ever(self._interval_s)))

    async def stop(self) -> None:
        """Commit what waits, then stop."""
        while self._waiting:
            await asyncio.wait(list(self._waiting.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown()

    async def durable(self, logs: Iterable[ShardLog]) -> None:
        """Return when everything staged in these logs so far is committed.

        Raises
        ------
        KinesisError
            ``InternalFailure``: a write failed, for instance on a full disk; nothing of it is
            acknowledged.
        """
        rounds = [self._round_of(log) for log in logs]
        if not rounds:
            return
        await asyncio.wait(rounds)
        for finished in rounds:
            error = finished.exception()
            if error is not None:
                raise KinesisError("InternalFailure", f"the log refused: {error}", 500) from error

    def _round_of(self, log: ShardLog) -> asyncio.Future[None]:
        future = self._waiting.get(log)
        if future is None:
            future = self._waiting[log] = asyncio.get_running_loop().create_future()
            self._wake.set()
        return future

    async def _commit_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, {}
            works = [(log, future, log.take()) for log, future in batch.items()]
            results = await asyncio.gather(
                *(
                    loop.run_in_executor(self._pool, self._write, log, staged)
                    for log, _, staged in works
                ),
                return_exceptions=True,
            )
            for (log, future, staged), result in zip(works, results, strict=True):
                if isinstance(result, BaseException):
                    log.discard()
                    future.set_exception(result)
                else:
                    log.commit(staged)
                    future.set_result(None)

    def _write(self, log: ShardLog, staged: Staged) -> None:
        sync = self._sync_now or log in self._sync_due
        self._sync_due.discard(log)
        log.write(staged, sync=sync)
        if self._interval_s is not None and not sync:
            self._unsynced.add(log)

    async def _sync_for_ever(self, interval_s: float) -> None:
        """Ask for a round that syncs: a log is only ever touched by its rounds."""
        while True:
            await asyncio.sleep(interval_s)
            while self._unsynced:
                log = self._unsynced.pop()
                self._sync_due.add(log)
                self._round_of(log)
