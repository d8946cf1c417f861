"""Puts batches on a stream until they are durable: forever, in order, never dropping one.

What happens to a batch the stream does not take, in this order; nothing received is ever dropped:

1. It stays in memory and is offered again, at a pace that falls with every refusal, while what
   arrives gathers behind it into larger batches. A bucket has one batch in flight, so its order
   holds whatever is refused.
2. With a spool, when the stream keeps refusing or the oldest record in hand waits too long: it goes
   to the disk, and is durable. As long as anything is on the disk, ALL later batches go there too,
   and the oldest are put on the stream from there; when the disk holds nothing more, batches go to
   the stream directly again. What an earlier run left on the disk goes first, in the same way.
3. When the disk refuses, batches stay in memory, up to ``BatchLimits.max_in_hand`` records.
4. When memory is full too, the feed is not read (:meth:`Publisher.room`), and whoever reads it is
   told that data may be missing from then until there is room.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tradelake.errors import SpoolFull, Throttled, Transient
from tradelake.market.records import Instrument
from tradelake.ports import AsyncStreamWriter, Clock, Outgoing, Spool
from tradelake.stream.envelope import Batch, encode_batch
from tradelake.usecases.ingest import Batcher
from tradelake.usecases.latency import Latencies
from tradelake.usecases.pace import Pace
from tradelake.usecases.spooling import SpoolDrain

_IDLE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When batches go to the disk instead of the stream.

    Parameters
    ----------
    failures : int
        Requests in a row of which the stream accepted nothing ...
    wait_ns : int
        ... or how long the oldest record in hand may wait once the stream refused it.
    spool_every_ns : int
        Time between two appends to the disk, for company: an append is a write and a sync.
    """

    failures: int = 5
    wait_ns: int = 2_000_000_000
    spool_every_ns: int = 20_000_000


@dataclass(slots=True)
class _Parcel:
    batch: Batch
    record: Outgoing


class Publisher:
    """Carries the batches of a :class:`~tradelake.usecases.ingest.Batcher` to a stream.

    Parameters
    ----------
    batcher : Batcher
        Where batches come from; one leaves memory only when it is durable.
    writer : AsyncStreamWriter
        Where they go, under the key ``str(bucket)``.
    clock : Clock
        When a batch became durable.
    backoff : callable
        Makes the waiting times in seconds while the stream accepts nothing.
    buckets, lanes : int
        Symbol buckets, and how many requests may be in flight.
    spool : Spool, optional
        Where batches go while the stream keeps refusing.
    patience : Patience
        When they go there.
    """

    def __init__(
        self,
        batcher: Batcher,
        writer: AsyncStreamWriter,
        clock: Clock,
        backoff: Callable[[], Iterator[float]],
        *,
        buckets: int,
        lanes: int = 2,
        spool: Spool | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.latencies = Latencies()
        self.recent = Latencies()
        self.puts = Latencies()
        self.acknowledged_batches = 0
        self.acknowledged_records = 0
        self.retries = 0
        self.throttled = 0
        self.spooled_batches = 0
        self.times_full = 0
        self.spool_since_ns: int | None = None
        self._batcher, self._writer, self._clock = batcher, writer, clock
        self._backoff, self._waits = backoff, backoff()
        self._pace = Pace(min(lanes, buckets))
        self._spool = spool
        self._patience = patience or Patience()
        self._drain = None if spool is None else SpoolDrain(spool, writer, backoff, self._poke)
        self._refusal: SpoolFull | None = None
        self._refused: list[_Parcel] = []
        self._in_flight = 0
        self._next_append_ns = 0
        self._event = asyncio.Event()
        self._idle = True
        self._room = asyncio.Event()
        self._opened: Callable[[int, str], None] = lambda _opened_ns, _cause: None
        self._closed: Callable[[int, str, int], None] = lambda _opened_ns, _cause, _closed_ns: None
        self._reading_on = False
        self._draining = False
        self._final = self._end_said = self._leaving = False

    @property
    def spool_bytes(self) -> int:
        """What waits on the disk."""
        return 0 if self._spool is None else self._spool.size_bytes

    @property
    def damaged_bytes(self) -> int:
        """What the disk lost of what was acknowledged."""
        return 0 if self._spool is None else self._spool.damaged_bytes

    def when_full(
        self,
        opened: Callable[[int, str], None],
        closed: Callable[[int, str, int], None],
    ) -> None:
        """Name who is told that memory and disk are full (since, cause), and when no more (until).

        Between the two the feed is not read.
        """
        self._opened, self._closed = opened, closed

    def wake(self) -> None:
        """Say that records were added."""
        if self._idle:
            self._event.set()

    async def room(self) -> None:
        """Return when there is room for more records, or the end was asked for."""
        since: tuple[int, str] | None = None
        while self._batcher.full and not self._reading_on:
            self._room.clear()
            if since is None and self._refusal is not None:
                since = (self._clock.now_ns(), f"disk full: {self._refusal}")
                self.times_full += 1
                self._opened(*since)
            await self._room.wait()
        if since is not None:
            self._closed(*since, self._clock.now_ns())

    def read_on(self) -> None:
        """Hold nobody up any more: the end was asked for, and what had arrived is still taken."""
        self._reading_on = True
        self._room.set()

    def drain(self, *, final: bool) -> None:
        """Let :meth:`run` return when nothing is in hand; ``final``: and the end is said.

        What is on the disk is put on the stream while the stream takes it, and left for the next
        run when it refuses; if this is the end of time (``final``), nothing is left.
        """
        self._final = final
        self._draining = True
        self._poke()

    def leave(self) -> None:
        """Leave what is on the disk to the next run, however willing the stream is."""
        self._leaving = True
        self._poke()

    async def run(self) -> None:
        """Put batches until drained; writer and spool are closed then.

        Raises
        ------
        ExceptionGroup
            Of what the writer or the spool raised that is not ``Transient``.
        """
        try:
            async with asyncio.TaskGroup() as group:
                drain = None if self._drain is None else group.create_task(self._drain.run())
                await self._pump(group)
                if drain is not None:
                    drain.cancel()
        finally:
            await self._writer.close()
            if self._spool is not None:
                self._spool.close()

    async def _pump(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._event.clear()
            now_ns = self._clock.now_ns()
            self._choose_way(now_ns)
            if self.spool_since_ns is not None:
                due_ns = await self._append(now_ns)
            else:
                due_ns = self._start_request(now_ns, group)
            if not (due_ns is None and self._is_drained()):
                await self._pause(now_ns, due_ns)
            elif self._final and not self._end_said:
                self._end_said = True
                self._refused = self._parcels(self._batcher.final(now_ns))
            else:
                return

    def _choose_way(self, now_ns: int) -> None:
        """Decide between stream and disk."""
        spool = self._spool
        if spool is None:
            return
        if self.spool_since_ns is not None:
            if spool.empty and (self._refusal is not None or not self._refused):
                self.spool_since_ns = None
            return
        patience = self._patience
        oldest_ns = self._batcher.oldest_ns() if self._refused else None
        waits = oldest_ns is not None and now_ns - oldest_ns > patience.wait_ns
        if not spool.empty or (
            self._refused
            and now_ns >= self._next_append_ns
            and (waits or self._pace.failures >= patience.failures)
        ):
            self.spool_since_ns = now_ns
            self._poke_drain()

    def _start_request(self, now_ns: int, group: asyncio.TaskGroup) -> int | None:
        """Offer what is due; return when to look again, None when a wake will say so."""
        if not self._pace.may_start(now_ns, self._in_flight):
            return self._pace.next_ns if self._pace.next_ns > now_ns else None
        parcels = self._take(now_ns)
        if parcels:
            self._in_flight += 1
            self._pace.started(now_ns)
            group.create_task(self._request(parcels, now_ns))
        return self._batcher.next_due_ns() if not self._draining else None

    async def _request(self, parcels: list[_Parcel], started_ns: int) -> None:
        refusals: Sequence[Transient | None]
        try:
            refusals = await self._writer.offer([parcel.record for parcel in parcels])
        except Transient as error:
            refusals = [error] * len(parcels)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # not ours: the writer's own; a request nobody counts as ended would end the run's work
            refusals = [Transient("the request was cancelled")] * len(parcels)
        now_ns = self._clock.now_ns()
        self.puts.add(now_ns - started_ns)
        accepted = [p.batch for p, error in zip(parcels, refusals, strict=True) if error is None]
        errors = [error for error in refusals if error is not None]
        self._refused += [
            p for p, error in zip(parcels, refusals, strict=True) if error is not None
        ]
        if accepted:
            self._refusal = None
            self._acknowledge(accepted, now_ns)
        self._adapt(len(accepted), errors, started_ns, now_ns)
        self._in_flight -= 1
        self._poke()

    def _adapt(self, accepted: int, errors: list[Transient], started_ns: int, now_ns: int) -> None:
        throttles = [error for error in errors if isinstance(error, Throttled)]
        self.throttled += len(throttles)
        if not errors:
            self._waits = self._backoff()
            self._pace.accepted()
            return
        self.retries += 1
        if accepted:
            self._waits = self._backoff()
            self._pace.refused(started_ns, now_ns)
            return
        asked_s = max((error.retry_after_s or 0.0 for error in throttles), default=0.0)
        self._pace.failed(now_ns, max(next(self._waits), asked_s))

    async def _append(self, now_ns: int) -> int | None:
        """Append what is due to the spool; return when to look again."""
        assert self._spool is not None
        if now_ns < self._next_append_ns:
            return self._next_append_ns
        parcels = self._take(now_ns)
        if parcels:
            self._next_append_ns = now_ns + self._patience.spool_every_ns
            try:
                await asyncio.to_thread(self._spool.append, [parcel.record for parcel in parcels])
            except SpoolFull as error:
                self._refusal = error
                self._refused = parcels + self._refused
                self._next_append_ns = self._clock.now_ns() + self._patience.wait_ns // 4
                self._room.set()
                return self._next_append_ns
            self._refusal = None
            self.spooled_batches += len(parcels)
            self._acknowledge([parcel.batch for parcel in parcels], self._clock.now_ns())
            self._poke_drain()
        if self._draining:
            return None
        return self._batcher.next_due_ns()

    def _take(self, now_ns: int) -> list[_Parcel]:
        refused, self._refused = self._refused, []
        return refused + self._parcels(self._batcher.take(now_ns, flush=self._draining))

    def _parcels(self, batches: list[Batch]) -> list[_Parcel]:
        return [_Parcel(b, Outgoing(str(b.bucket), encode_batch(b))) for b in batches]

    def _acknowledge(self, batches: list[Batch], now_ns: int) -> None:
        self._batcher.acknowledged(batches)
        self._room.set()
        # What we say of instruments may be said again after a restart, with the time it had.
        received = Counter(
            record.ts_ingest
            for batch in batches
            for record in batch.records
            if type(record) is not Instrument
        )
        for received_ns, count in received.items():
            self.latencies.add(now_ns - received_ns, count)
            self.recent.add(now_ns - received_ns, count)
        self.acknowledged_batches += len(batches)
        self.acknowledged_records += sum(len(batch.records) for batch in batches)

    def _is_drained(self) -> bool:
        if not self._draining or self._in_flight or self._refused or self._batcher.in_hand:
            return False
        if self._spool is None or self._drain is None or self._spool.empty:
            return True
        return (self._drain.refused or self._leaving) and not self._final

    async def _pause(self, now_ns: int, due_ns: int | None) -> None:
        self._idle = not self._batcher.waiting()
        seconds = _IDLE_S if due_ns is None else max(0.0, (due_ns - now_ns) / 1e9)
        timer = asyncio.get_running_loop().call_later(min(seconds, _IDLE_S), self._event.set)
        await self._event.wait()
        timer.cancel()

    def _poke(self) -> None:
        self._event.set()

    def _poke_drain(self) -> None:
        if self._drain is not None:
            self._drain.wake()
