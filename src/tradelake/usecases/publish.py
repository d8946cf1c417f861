"""Puts batches on a stream until they are durable: forever, in order, never dropping one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from tradelake.errors import Throttled, Transient
from tradelake.ports import Clock, Outgoing, StreamWriter
from tradelake.stream.envelope import Batch, encode_batch
from tradelake.usecases.ingest import Batcher
from tradelake.usecases.latency import Latencies


class Publisher:
    """Carries the batches of a :class:`~tradelake.usecases.ingest.Batcher` to a stream.

    Buckets are divided over lanes; a lane has one put in flight, in a thread, so that one slow
    shard does not hold up the others. A batch leaves memory only when the writer returned.

    Parameters
    ----------
    batcher : Batcher
        Where batches come from.
    writer : StreamWriter
        Where they go, under the key ``str(bucket)``. Called from several threads.
    clock : Clock
        When a put became durable.
    backoff : callable
        Makes the waiting times in seconds after a put failed.
    buckets, lanes : int
        Symbol buckets, and how many puts may be in flight.
    """

    def __init__(
        self,
        batcher: Batcher,
        writer: StreamWriter,
        clock: Clock,
        backoff: Callable[[], Iterator[float]],
        *,
        buckets: int,
        lanes: int = 2,
    ) -> None:
        self.latencies = Latencies()
        self.recent = Latencies()
        self.acknowledged_batches = 0
        self.acknowledged_records = 0
        self.retries = 0
        self._batcher, self._writer, self._clock = batcher, writer, clock
        self._backoff = backoff
        self._lanes = [range(lane, buckets, lanes) for lane in range(min(lanes, buckets))]
        self._wakes = [asyncio.Event() for _ in self._lanes]
        self._room = asyncio.Event()
        self._draining = False
        self._final = False

    def wake(self) -> None:
        """Say that records were added."""
        for event in self._wakes:
            event.set()

    async def room(self) -> None:
        """Return when there is room for more records."""
        while self._batcher.full:
            self._room.clear()
            await self._room.wait()

    def drain(self, *, final: bool) -> None:
        """Let :meth:`run` return when nothing is in hand; ``final``: and the end is said."""
        self._final = final
        self._draining = True
        self.wake()

    async def run(self) -> None:
        """Put batches until drained.

        Raises
        ------
        ExceptionGroup
            Of what the writer raised that is not ``Transient``.
        """
        async with asyncio.TaskGroup() as lanes:
            for buckets, wake in zip(self._lanes, self._wakes, strict=True):
                lanes.create_task(self._run_lane(buckets, wake))

    async def _run_lane(self, buckets: range, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            now_ns = self._clock.now_ns()
            batches = self._batcher.take(now_ns, buckets, flush=self._draining)
            if batches:
                await self._put(batches)
            elif self._draining:
                break
            else:
                await self._pause(buckets, wake, now_ns)
        if self._final:
            await self._put(self._batcher.final(self._clock.now_ns(), buckets))

    async def _pause(self, buckets: range, wake: asyncio.Event, now_ns: int) -> None:
        due_ns = self._batcher.next_due_ns(buckets)
        seconds = 1.0 if due_ns is None else max(0.0, (due_ns - now_ns) / 1e9)
        if self._batcher.waiting(buckets):
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            return

    async def _put(self, batches: list[Batch]) -> None:
        waits = self._backoff()
        outgoing: list[Outgoing] = []

        def put() -> None:
            if not outgoing:
                outgoing.extend(_encode(batches))
            self._writer.put(outgoing)

        while True:
            try:
                await asyncio.to_thread(put)
                break
            except Transient as error:
                self.retries += 1
                asked_s = error.retry_after_s if isinstance(error, Throttled) else None
                await asyncio.sleep(max(next(waits), asked_s or 0.0))
        self._acknowledge(batches)

    def _acknowledge(self, batches: list[Batch]) -> None:
        now_ns = self._clock.now_ns()
        self._batcher.acknowledged(batches)
        self._room.set()
        received = Counter(record.ts_ingest for batch in batches for record in batch.records)
        for received_ns, count in received.items():
            self.latencies.add(now_ns - received_ns, count)
            self.recent.add(now_ns - received_ns, count)
        self.acknowledged_batches += len(batches)
        self.acknowledged_records += received.total()


def _encode(batches: list[Batch]) -> list[Outgoing]:
    return [Outgoing(str(batch.bucket), encode_batch(batch)) for batch in batches]
