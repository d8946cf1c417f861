"""Fetch over REST what gaps lost, and put it on the backfill stream.

**Once is enough, twice is harmless.** A page is put, then noted with a cursor; a run that dies in
between puts the page again, under the epoch of the next run. Positions (epoch, bucket, seq) are
therefore never used twice, and records that come again are recognised by their identity.

**One backfiller a gap.** Every note names the fill that was read. Who finds another there has lost
the gap to a concurrent run, and leaves it.

**What can come back.** Trades and quotes: all of them. Minute bars: in the revision that stands
when they are fetched; the first version of a minute that late trades changed is superseded. Where a
gap lost both channels of minute bars, ``bars`` is fetched for both, since history does not say
which of the two carried a revision. Daily bars: of every day that the gap touches, as the venue has
it when asked; what was said of a day in between is superseded. Order books have no history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tradelake.errors import Conflict, Fatal, InsufficientData, InvalidData, Transient
from tradelake.feed.subscription import EVERY_SYMBOL
from tradelake.market.channels import BARS, DAILY_BARS, QUOTES, TRADES, UPDATED_BARS
from tradelake.market.records import Record
from tradelake.ports import (
    OPEN,
    ChannelFill,
    ChannelHistory,
    Clock,
    EpochStore,
    Gap,
    GapLedger,
    Outgoing,
    Stage,
    StreamWriter,
)
from tradelake.stream.envelope import NO_WATERMARK, Batch, Lane, encode_batch
from tradelake.usecases.fill_plan import MARGINS, Margins, Request, requests, whole_instants
from tradelake.usecases.ingest import Batcher, BatchLimits

LANE: Final[Lane] = "backfill"
ORDER: Final = (TRADES, QUOTES, BARS, UPDATED_BARS, DAILY_BARS)
"""Channels with history, in the order they are fetched."""
STOP_EARLY_S: Final = 30.0
"""Nothing is fetched so shortly before the end of an invocation: a page may take that long."""
_DONE: Final = frozenset({"filled", "unrecoverable"})


class Backfilled(msgspec.Struct, kw_only=True):
    """What one run did.

    Parameters
    ----------
    gaps : int
        Gaps of the venue in the ledger.
    open, settling : int
        Gaps that last; closed ones whose history is not settled in some channel.
    filled : int
        Channels of gaps that were completed.
    unrecoverable : int
        Channels of gaps marked as such.
    pages, records : int
        Put on the backfill stream.
    lost : int
        Gaps left to a concurrent run.
    stopped : str
        Why the run ended before all was done; empty: it did not.
    unfilled : int
        Closed gaps that this run left with a channel to be filled.
    unfilled_s, oldest_s : float
        How long they lasted together; how long ago the first of them was closed; seconds.
    """

    gaps: int = 0
    open: int = 0
    settling: int = 0
    filled: int = 0
    unrecoverable: int = 0
    pages: int = 0
    records: int = 0
    lost: int = 0
    stopped: str = ""
    unfilled: int = 0
    unfilled_s: float = 0.0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillParts:
    """What the backfill works with.

    Parameters
    ----------
    venue : str
        Whose gaps.
    ledger, history, writer, epochs, clock
        The ports.
    symbols : callable
        Every symbol of the venue, for gaps of all symbols.
    buckets : int
        Symbol buckets.
    margins : Margins
        By how much intervals are widened, and when history has settled.
    stages : callable
        Makes what the records of one gap pass before they are put.
    """

    venue: str
    ledger: GapLedger
    history: ChannelHistory
    writer: StreamWriter
    epochs: EpochStore
    clock: Clock
    symbols: Callable[[], Sequence[str]]
    buckets: int
    margins: Margins = MARGINS
    stages: Callable[[], Sequence[Stage]] = tuple


class _OutOfTime(Exception):
    """The time of the run is over; all that was put is noted."""


def backfill(
    parts: BackfillParts, stop_ns: int | None = None, only: Callable[[Gap], bool] | None = None
) -> Backfilled:
    """Fill the gaps of a venue, oldest first, until all are filled or the time is over.

    Parameters
    ----------
    parts : BackfillParts
        What to work with.
    stop_ns : int or None
        On our clock: nothing is fetched after it. None: no limit.
    only : callable or None
        Which gaps; None: all.

    Raises
    ------
    Fatal
        The venue refuses requests or answers what it does not document; every other gap was tried.
    """
    outcome = Backfilled()
    refused: list[str] = []
    runs = [
        _GapRun(parts, gap, outcome, stop_ns)
        for gap in parts.ledger.gaps()
        if gap.venue == parts.venue and (only is None or only(gap))
    ]
    outcome.gaps = len(runs)
    for run in runs:
        gap = run.gap
        try:
            run.run()
        except _OutOfTime:
            outcome.stopped = "the time is over"
            break
        except Conflict:
            outcome.lost += 1
        except Transient as error:
            outcome.stopped = str(error)
            break
        except (Fatal, InvalidData, InsufficientData) as error:
            refused.append(f"gap {gap.venue} {gap.opened_ns} ({gap.cause}): {error}")
    if refused:
        raise Fatal(f"{len(refused)} gaps cannot be filled, first {refused[0]}")
    _note_unfilled(outcome, [run.gap for run in runs], parts.clock.now_ns())
    return outcome


def _note_unfilled(outcome: Backfilled, gaps: Sequence[Gap], now_ns: int) -> None:
    left = [gap for gap in gaps if gap.closed_ns != OPEN and not _is_done(gap)]
    if left:
        outcome.unfilled = len(left)
        outcome.unfilled_s = sum(gap.closed_ns - gap.opened_ns for gap in left) / 1e9
        outcome.oldest_s = (now_ns - min(gap.closed_ns for gap in left)) / 1e9


def _is_done(gap: Gap) -> bool:
    fills = gap.fill.channels
    return all(name in fills and fills[name].status in _DONE for name in gap.channels)


class _GapRun:
    """One gap's share of a run; ``gap`` is what the ledger holds of it now."""

    def __init__(
        self, parts: BackfillParts, gap: Gap, outcome: Backfilled, stop_ns: int | None
    ) -> None:
        self._parts = parts
        self.gap = gap
        self._outcome = outcome
        self._stop_ns = stop_ns
        self._lane: _BackfillLane | None = None

    def run(self) -> None:
        self._mark_unrecoverable()
        if self.gap.closed_ns == OPEN:
            self._outcome.open += 1
            return
        settling = False
        for channel in ORDER:
            if channel not in self.gap.channels or self._fill_of(channel).status in _DONE:
                continue
            if self._settled(channel):
                self._fill(channel)
            else:
                settling = True
        self._outcome.settling += settling

    def _fill_of(self, channel: str) -> ChannelFill:
        return self.gap.fill.channels.get(channel, ChannelFill())

    def _note(self, changed: dict[str, ChannelFill]) -> None:
        old, lane = self.gap.fill, self._lane
        fill = msgspec.structs.replace(old, channels={**old.channels, **changed})
        if lane is not None:
            earlier = old.earlier
            if old.last_seq and old.epoch != lane.epoch:
                earlier = {**earlier, old.epoch: old.last_seq}
            fill = msgspec.structs.replace(
                fill, epoch=lane.epoch, last_seq=dict(lane.last_seq), earlier=earlier
            )
        self._parts.ledger.note_fill(self.gap, fill)
        self.gap = replace(self.gap, fill=fill)

    def _mark_unrecoverable(self) -> None:
        lost = [
            channel
            for channel in self.gap.channels
            if channel not in ORDER and self._fill_of(channel).status not in _DONE
        ]
        if lost:
            self._note({channel: ChannelFill(status="unrecoverable") for channel in lost})
            self._outcome.unrecoverable += len(lost)

    def _settled(self, channel: str) -> bool:
        settled_ns = self.gap.closed_ns + self._parts.margins.settle_of(channel)
        return self._parts.clock.now_ns() >= settled_ns

    def _fill(self, channel: str) -> None:
        for page, cursor in self._pages(channel):
            if page:
                self._put(page)
            counts = Counter(self._fill_of(channel).fetched)
            counts.update(record.symbol for record in page)
            self._note(
                {channel: ChannelFill(status="filling", cursor=cursor, fetched=dict(counts))}
            )
        fetched = self._fill_of(channel).fetched
        changed = {channel: ChannelFill(status="filled", fetched=fetched)}
        if channel == BARS and UPDATED_BARS in self.gap.channels:
            changed[UPDATED_BARS] = ChannelFill(status="filled")
        self._note(changed)
        self._outcome.filled += len(changed)

    def _put(self, page: Sequence[Record]) -> None:
        if self._lane is None:
            self._lane = _BackfillLane(self._parts)
        self._lane.put(page)
        self._outcome.pages += 1
        self._outcome.records += len(page)

    def _pages(self, channel: str) -> Iterator[tuple[list[Record], str]]:
        """Pages of whole instants, each with the cursor that follows it."""
        gap, parts = self.gap, self._parts
        symbols = parts.symbols() if EVERY_SYMBOL in gap.symbols else gap.symbols
        if not symbols:
            raise InsufficientData("no symbol of the venue is known")
        both = channel == BARS and UPDATED_BARS in gap.channels
        interval = parts.margins.widened(
            UPDATED_BARS if both else channel, gap.opened_ns, gap.closed_ns
        )
        cursor = self._fill_of(channel).cursor
        for request in requests(interval, symbols, cursor):
            yield from whole_instants(request, self._fetch(channel, request))
            if request.end_ns < interval[1]:
                yield [], request.done()

    def _fetch(self, channel: str, request: Request) -> Iterator[Sequence[Record]]:
        pages = iter(
            self._parts.history.pages(channel, request.symbols, request.start_ns, request.end_ns)
        )
        while True:
            if self._stop_ns is not None and self._parts.clock.now_ns() >= self._stop_ns:
                raise _OutOfTime
            page = next(pages, None)
            if page is None:
                return
            yield page


class _BackfillLane:
    """Stamps and puts the records of one gap's run, under an epoch of its own."""

    def __init__(self, parts: BackfillParts) -> None:
        self.epoch = parts.epochs.next_fence(f"{LANE}/{parts.venue}").epoch
        self.last_seq: dict[str, int] = {}
        limits = BatchLimits(max_in_hand=2**31)
        self._batcher = Batcher(parts.venue, self.epoch, parts.buckets, limits, LANE)
        self._stages = parts.stages()
        self._writer, self._clock = parts.writer, parts.clock

    def put(self, records: Sequence[Record]) -> None:
        """Return when the records are durable."""
        now_ns = self._clock.now_ns()
        for stage in self._stages:
            records = stage.process(records, now_ns)
        self._batcher.add(records, now_ns)
        while batches := self._batcher.take(now_ns, flush=True):
            self._writer.put(_outgoing(batches))
            self._batcher.acknowledged(batches)
            self.last_seq |= {str(batch.bucket): batch.seq for batch in batches}


def _outgoing(batches: Iterable[Batch]) -> list[Outgoing]:
    """Encode batches; none of this lane lets a consumer close anything."""
    return [
        Outgoing(
            str(batch.bucket),
            encode_batch(msgspec.structs.replace(batch, watermark_ns=NO_WATERMARK)),
        )
        for batch in batches
    ]
