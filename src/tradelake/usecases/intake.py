"""What a feed found goes where it belongs: records to the batcher, gaps to the ledger."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from tradelake.errors import Conflict, Transient
from tradelake.feed.events import (
    STOP,
    Event,
    GapClosed,
    GapOpened,
    Interrupted,
    Records,
    Subscribed,
    VenueError,
)
from tradelake.feed.refusals import SLOW_CLIENT
from tradelake.feed.subscription import EVERY_SYMBOL, Change
from tradelake.market.channels import CHANNELS, QUOTES, TRADES
from tradelake.market.records import Record, channel_of
from tradelake.ports import OPEN, Clock, Gap, GapLedger, Stage
from tradelake.usecases.ingest import Batcher
from tradelake.usecases.latency import Percentiles
from tradelake.usecases.publish import Publisher

_UNREAD_NS: Final = 1_000_000_000
"""What the venue sent so shortly before may still be in the socket's buffers."""


class Feed(Protocol):
    """A connection to a venue, over as many sockets as it takes."""

    async def run(self, intake: Intake, stop: asyncio.Event) -> None:
        """Feed ``intake`` until ``stop`` is set and all that arrived before the end is handed over.

        Raises
        ------
        Fatal
            The venue refuses for good.
        """
        ...

    def request(self, change: Change) -> None:
        """Change the subscription as soon as there is a connection; called in the feed's loop."""
        ...


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the ingester answers when asked how it is."""

    state: str
    epoch: int
    received: dict[str, int]
    missing: dict[str, list[str]]
    acknowledged_batches: int
    acknowledged_records: int
    in_hand: int
    retries: int
    throttled: int
    spooled_batches: int
    spool_bytes: int
    spool_since_ns: int | None
    spool_damaged_bytes: int
    times_full: int
    gaps: int
    venue_errors: dict[str, int]
    latency_ms: Percentiles
    put_ms: Percentiles


class Report(Status, frozen=True, kw_only=True):
    """A status with what happened since the report before; rates in records a second.

    ``gap_s`` is how long the feed has been interrupted now, ``disk_full`` whether neither stream
    nor disk takes what is received.
    """

    received_per_s: float
    durable_per_s: float
    recent_ms: Percentiles
    recent_gaps: int
    gap_s: float
    disk_full: bool


class Intake:
    """Takes the events of a feed.

    Parameters
    ----------
    venue : str
        Venue of every record and gap.
    epoch : int
        Fence of this run.
    batcher, publisher
        Where records go.
    ledger : GapLedger
        Where gaps go, from a thread.
    clock : Clock
        The time.
    backoff : callable
        Makes the waiting times in seconds after the ledger failed.
    inherited : sequence of Gap
        Gaps an earlier run left open; they end with the first subscription of this one.
    symbols : tuple of str
        What this ingester is there for: a gap of which no symbol is known is one of these.
    note_durable : callable, optional
        Told, about once a second and from a thread, until when all that was received is durable;
        None when the run ends in order. Whoever comes after a run that was killed opens a gap
        there.
    stages : sequence of Stage
        What the records of every frame pass, in order, before they are batched.
    interrupted : callable, optional
        Told when the stream of records was interrupted: what was built of it is no longer whole.
    final : bool
        The end of this run is the end of time: every bucket gets a last heartbeat that says so,
        and no gap begins.
    """

    def __init__(
        self,
        venue: str,
        epoch: int,
        batcher: Batcher,
        publisher: Publisher,
        ledger: GapLedger,
        clock: Clock,
        backoff: Callable[[], Iterator[float]],
        inherited: Sequence[Gap] = (),
        symbols: tuple[str, ...] = (EVERY_SYMBOL,),
        *,
        note_durable: Callable[[int | None], None] = lambda _: None,
        stages: Sequence[Stage] = (),
        interrupted: Callable[[], None] = lambda: None,
        final: bool = False,
    ) -> None:
        self.final = final
        self.state = "starting"
        self.received: Counter[str] = Counter()
        self._venue, self._epoch = venue, epoch
        self._batcher, self._publisher = batcher, publisher
        self._ledger, self._clock, self._backoff = ledger, clock, backoff
        self._inherited, self._symbols = list(inherited), symbols
        self._note_durable = note_durable
        self._stages, self._interrupted = tuple(stages), interrupted
        self._missing: dict[str, list[str]] = {}
        self._errors: Counter[str] = Counter()
        self._gaps = 0
        self._interrupted_ns: int | None = None
        self._disk_full = False
        self._reported = (clock.now_ns(), 0, 0, 0)
        self._to_write: asyncio.Queue[Gap | None] = asyncio.Queue()
        self._unwritten = 0
        self._closed = asyncio.Event()
        publisher.when_full(self._unread, self._unread)

    def take(self, event: Event, now_ns: int) -> None:
        """Take one event of the session; actions of the shell are not among them."""
        match event:
            case Records():
                self.received.update(map(channel_of, event.records))
                self.add(event.records, now_ns)
            case Subscribed():
                self.state = "streaming"
                self._interrupted_ns = None
                self._missing = {channel: list(lacks) for channel, lacks in event.missing.items()}
                self._batcher.watermark.resume(now_ns)
                for gap in self._inherited:
                    self._write_later(replace(gap, closed_ns=now_ns))
                self._inherited = []
            case GapOpened(cause=cause) if cause == STOP and self.final:
                pass
            case GapOpened():
                self._gaps += 1
                self._write_later(self._gap(event, OPEN))
            case GapClosed():
                self._tear(event.gap.channels, event.gap.symbols, now_ns)
                self._write_later(self._gap(event.gap, event.closed_ns))
            case Interrupted():
                self.state = "interrupted"
                if self._interrupted_ns is None:
                    self._interrupted_ns = now_ns
                self._interrupted()
                self._batcher.watermark.hold(now_ns)
            case VenueError():
                self._errors[str(event.code)] += 1
                if event.code == SLOW_CLIENT:
                    # The stream goes on, but it is no longer whole.
                    self._interrupted()
            case _:
                raise TypeError(f"expected a fact about the feed, found {type(event).__name__}")

    def add(self, records: Sequence[Record], now_ns: int) -> None:
        """Take in records that came together, of the feed or of whoever watches the venue."""
        for stage in self._stages:
            records = stage.process(records, now_ns)
        self._batcher.add(records, now_ns)
        self._publisher.wake()

    @property
    def full(self) -> bool:
        """Whether the feed must not be read for now."""
        return self._batcher.full

    async def room(self) -> None:
        """Return when the feed may be read again, or is to end; what waits unread holds time up."""
        self._batcher.watermark.hold(self._clock.now_ns())
        await self._publisher.room()
        if self.state == "streaming":
            self._batcher.watermark.resume(self._clock.now_ns())

    async def write_gaps(self) -> None:
        """Write gaps to the ledger until :meth:`close` was called and all are written."""
        while (gap := await self._to_write.get()) is not None:
            await self._write(gap)
            self._unwritten -= 1

    def close(self) -> None:
        """Let :meth:`write_gaps` return when all gaps are written, and :meth:`keep_noting`."""
        self._to_write.put_nowait(None)
        self._closed.set()

    async def keep_noting(self, every_s: float = 1.0) -> None:
        """Note until when all is durable, while the feed streams, until :meth:`close` was called.

        What cannot be noted leaves an earlier instant standing, and a wider gap after a crash.
        """
        while not self._closed.is_set():
            if self.state == "streaming" and not self._unwritten and not self.full:
                oldest_ns = self._batcher.oldest_ns()
                durable_ns = self._clock.now_ns() if oldest_ns is None else oldest_ns
                with contextlib.suppress(Transient, Conflict):
                    await asyncio.to_thread(self._note_durable, durable_ns - _UNREAD_NS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._closed.wait()

    async def keep_time(self, every_s: float = 0.5) -> None:
        """Let the stages know that time passes where no frame says so, until :meth:`close`."""
        while not self._closed.is_set():
            self.add((), self._clock.now_ns())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._closed.wait()

    async def end_in_order(self) -> None:
        """Note that nothing is in hand and every gap is written."""
        with contextlib.suppress(Transient, Conflict):
            await asyncio.to_thread(self._note_durable, None)

    async def give_up(self, cause: str) -> None:
        """Write that from the oldest record in hand on, or from now, all may be missing.

        Raises
        ------
        TradelakeError
            The ledger refuses, or keeps failing.
        """
        oldest_ns = self._batcher.oldest_ns()
        opened_ns = self._clock.now_ns() if oldest_ns is None else oldest_ns
        gap = Gap(self._venue, opened_ns, OPEN, CHANNELS, self._symbols, cause)
        await asyncio.to_thread(self._ledger.record, gap)

    def status(self) -> Status:
        """How the ingester is."""
        publisher = self._publisher
        return Status(
            state=self.state,
            epoch=self._epoch,
            received=dict(self.received),
            missing=self._missing,
            acknowledged_batches=publisher.acknowledged_batches,
            acknowledged_records=publisher.acknowledged_records,
            in_hand=self._batcher.in_hand,
            retries=publisher.retries,
            throttled=publisher.throttled,
            spooled_batches=publisher.spooled_batches,
            spool_bytes=publisher.spool_bytes,
            spool_since_ns=publisher.spool_since_ns,
            spool_damaged_bytes=publisher.damaged_bytes,
            times_full=publisher.times_full,
            gaps=self._gaps,
            venue_errors=dict(self._errors),
            latency_ms=Percentiles.of(publisher.latencies),
            put_ms=Percentiles.of(publisher.puts),
        )

    def report(self) -> Report:
        """How the ingester is and what it did since it was asked before; for its one log."""
        now_ns, status, recent = self._clock.now_ns(), self.status(), self._publisher.recent
        since_ns, received_before, durable_before, gaps_before = self._reported
        seconds = max(1e-9, (now_ns - since_ns) / 1e9)
        received, durable = self.received.total(), status.acknowledged_records
        self._reported = (now_ns, received, durable, self._gaps)
        interrupted_ns = now_ns if self._interrupted_ns is None else self._interrupted_ns
        percentiles = Percentiles.of(recent)
        recent.clear()
        return Report(
            **msgspec.structs.asdict(status),
            received_per_s=round((received - received_before) / seconds, 1),
            durable_per_s=round((durable - durable_before) / seconds, 1),
            recent_ms=percentiles,
            recent_gaps=self._gaps - gaps_before,
            gap_s=round((now_ns - interrupted_ns) / 1e9, 3),
            disk_full=self._disk_full,
        )

    def _unread(self, opened_ns: int, cause: str, closed_ns: int = OPEN) -> None:
        """Write that the feed is not, or was not, read: the venue may drop what waits there."""
        self._disk_full = closed_ns == OPEN
        self._gaps += self._disk_full
        if closed_ns != OPEN:
            self._tear(CHANNELS, self._symbols, closed_ns)
        self._write_later(Gap(self._venue, opened_ns, closed_ns, CHANNELS, self._symbols, cause))

    def _tear(self, channels: Sequence[str], symbols: Sequence[str], now_ns: int) -> None:
        """Let bars know that they may miss trades, or quotes."""
        if TRADES in channels or QUOTES in channels:
            self._batcher.tear(symbols, now_ns)

    def _write_later(self, gap: Gap) -> None:
        self._unwritten += 1
        self._to_write.put_nowait(gap)

    async def _write(self, gap: Gap) -> None:
        waits = self._backoff()
        while True:
            try:
                await asyncio.to_thread(self._ledger.record, gap)
            except Transient:
                await asyncio.sleep(next(waits))
            else:
                return

    def _gap(self, event: GapOpened, closed_ns: int) -> Gap:
        return Gap(
            self._venue, event.opened_ns, closed_ns, event.channels, event.symbols, event.cause
        )


def unended_run(venue: str, durable_ns: int, symbols: tuple[str, ...] = (EVERY_SYMBOL,)) -> Gap:
    """Return the gap after a run that was killed: what it had in memory is missing, and since."""
    cause = "restart: the run before did not end in order"
    return Gap(venue, durable_ns, OPEN, CHANNELS, symbols, cause)
