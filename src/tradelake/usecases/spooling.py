"""From the disk to the stream: puts what a spool holds on the stream, oldest first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tradelake.errors import Throttled, Transient
from tradelake.ports import AsyncStreamWriter, Outgoing, Spool

_MAX_RECORDS: Final = 500
_MAX_BYTES: Final = 4 * 1024 * 1024


class SpoolDrain:
    """Empties a spool, in the order of every key.

    Parameters
    ----------
    spool, writer
        From where to where.
    backoff : callable
        Makes the waiting times in seconds while the stream accepts nothing.
    progressed : callable
        Called when records left the spool, and when stream or spool refused.

    Attributes
    ----------
    refused : bool
        Whether what was tried last was refused.
    """

    def __init__(
        self,
        spool: Spool,
        writer: AsyncStreamWriter,
        backoff: Callable[[], Iterator[float]],
        progressed: Callable[[], None],
    ) -> None:
        self.refused = False
        self._spool, self._writer = spool, writer
        self._backoff, self._progressed = backoff, progressed
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Say that there is something in the spool."""
        self._event.set()

    async def run(self) -> None:
        """Put what comes into the spool on the stream, until cancelled.

        Raises
        ------
        Fatal
            The stream refuses for good, or a later run took the spool over.
        """
        while True:
            self._event.clear()
            while not self._spool.empty:
                records = await self._read()
                for wave in _waves(records):
                    await self._put(wave)
                await asyncio.to_thread(self._spool.drop, len(records))
                self._progressed()
            await self._event.wait()

    async def _read(self) -> list[Outgoing]:
        waits = self._backoff()
        while True:
            try:
                return await asyncio.to_thread(self._spool.oldest, _MAX_RECORDS, _MAX_BYTES)
            except Transient:
                await self._wait(next(waits))

    async def _put(self, wave: list[Outgoing]) -> None:
        waits = self._backoff()
        while wave:
            refusals: Sequence[Transient | None]
            try:
                refusals = await self._writer.offer(wave)
            except Transient as error:
                refusals = [error] * len(wave)
            errors = [error for error in refusals if error is not None]
            if len(errors) < len(wave):
                waits = self._backoff()
                self.refused = False
            wave = [r for r, error in zip(wave, refusals, strict=True) if error is not None]
            if errors:
                asked_s = [e.retry_after_s or 0.0 for e in errors if isinstance(e, Throttled)]
                await self._wait(max(next(waits), *asked_s, 0.0))

    async def _wait(self, seconds: float) -> None:
        self.refused = True
        self._progressed()
        await asyncio.sleep(seconds)


def _waves(records: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Cut records into lists without two of one key, each key in order."""
    waiting: dict[str, deque[Outgoing]] = {}
    for record in records:
        waiting.setdefault(record.key, deque()).append(record)
    while waiting:
        yield [queue.popleft() for queue in waiting.values()]
        waiting = {key: queue for key, queue in waiting.items() if queue}
