"""Rebuild bars from the lake once a gap's trades and quotes are in it.

A bar is rebuilt when its interval is over and the lake is whole up to its end; those that are not
yet, wait for a later run (a day's bar until the day is over). What was rebuilt is kept per gap and
timeframe, and when nothing is left the gap is ``settled``.

**Twice is harmless.** A run puts its bars under an epoch of its own and notes its progress after
they are durable; a run that died in between puts them again. The same trades give the same bars
with the same revision, so whoever stores them by identity stores them once.

Event bars depend on the order of receipt, which a gap has broken for the rest of its day: they are
only counted here, and rebuilt by the day when asked (:func:`rebuild`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tradelake.decoding import msgpack_decoder
from tradelake.errors import Conflict, Transient
from tradelake.feed.subscription import EVERY_SYMBOL
from tradelake.market.channels import QUOTES, TRADES
from tradelake.market.records import Bar
from tradelake.market.symbols import bucket_of
from tradelake.market.timeframes import (
    SECOND_NS,
    TIMEFRAMES,
    bar_open_ns,
    event_timeframe,
    plan_bars,
    timeframe_ns,
)
from tradelake.ports import OPEN, Clock, Gap, GapLedger, StateStore, StreamWriter, TickSource
from tradelake.stream.aggregation import Rules
from tradelake.stream.envelope import NO_WATERMARK, Batch
from tradelake.stream.rebuilding import TimeBars, event_bars_of_day
from tradelake.usecases.bundles import Bundles
from tradelake.usecases.cross_check import MINUTE, Checked, cross_check, flagged, venue_minutes
from tradelake.usecases.fill_plan import MARGINS

CONSUMER: Final = "rebuild_bars"
ORIGIN: Final = "rebuild"
"""Origin of the batches: their epochs are no ingester's and no backfill's."""
GRACE_S: Final = 30.0
"""How much later than the lake's watermark a trade may still come to it."""
PATIENCE_S: Final = 900.0
"""After this long the lake is taken to be whole: a source that ended must not hold up all."""
_DAY_NS: Final = TIMEFRAMES["1d"]
_HOUR_NS: Final = TIMEFRAMES["1h"]
_BARS_A_BATCH: Final = 1_000
_DONE: Final = frozenset({"filled", "unrecoverable"})


class Rebuilt(msgspec.Struct, kw_only=True):
    """What one run did.

    Parameters
    ----------
    gaps : int
        Closed gaps that are not settled.
    unfilled : int
        Of these, gaps the backfill has not done with, or whose records are not in the lake yet.
    waiting : int
        Of these, gaps with bars that are not over yet.
    settled : int
        Gaps settled by this run.
    bars : int
        Bars put.
    flagged : int
        Minute bars put that differ from the venue's all the same.
    event_bars_due : int
        Settled gaps whose day's event bars need a rebuild.
    lost : int
        Gaps left to a concurrent run.
    stopped : str
        Why the run ended before all was done; empty: it did not.
    """

    gaps: int = 0
    unfilled: int = 0
    waiting: int = 0
    settled: int = 0
    bars: int = 0
    flagged: int = 0
    event_bars_due: int = 0
    lost: int = 0
    stopped: str = ""


class Maintained(msgspec.Struct, kw_only=True):
    """What one run of the scheduled function did."""

    rebuilt: Rebuilt
    checked: Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildParts:
    """What a rebuild works with.

    Parameters
    ----------
    venue : str
        Whose bars.
    ledger, ticks, bars, states, clock
        The ports; ``bars`` writes the stream of bars.
    rules : Rules
        Which bars there are.
    is_delivered : callable
        Whether the lake holds what the backfill put for a gap.
    whole_until_ns : callable
        Event time up to which the lake has the venue's live trades; None: there is no live source.
    buckets : int
        Symbol buckets.
    grace_s, patience_s : float
        A bar is rebuilt so long after its end by the lake's watermark, or by our clock.
    """

    venue: str
    ledger: GapLedger
    ticks: TickSource
    bars: StreamWriter
    states: StateStore
    clock: Clock
    rules: Rules
    is_delivered: Callable[[Gap], bool]
    whole_until_ns: Callable[[str], int | None]
    buckets: int
    grace_s: float = GRACE_S
    patience_s: float = PATIENCE_S


def maintain_bars(parts: RebuildParts, stop_ns: int | None = None) -> Maintained:
    """Rebuild the bars of filled gaps, then look for minutes in which ours lack trades."""
    rebuilt = rebuild_gaps(parts, stop_ns)
    checked = cross_check(parts.venue, parts.ticks, parts.ledger, parts.clock)
    return Maintained(rebuilt=rebuilt, checked=checked)


def rebuild_gaps(parts: RebuildParts, stop_ns: int | None = None) -> Rebuilt:
    """Rebuild the time bars of every filled gap of a venue, oldest first.

    Parameters
    ----------
    parts : RebuildParts
        What to work with.
    stop_ns : int or None
        On our clock: no symbol is begun after it. None: no limit.
    """
    outcome, lane = Rebuilt(), _Lane(parts)
    for gap in parts.ledger.gaps():
        if gap.venue != parts.venue or gap.closed_ns == OPEN or gap.fill.settled:
            continue
        outcome.gaps += 1
        if not _is_filled(gap) or not parts.is_delivered(gap):
            outcome.unfilled += 1
            continue
        try:
            _GapRebuild(parts, gap, lane, outcome, stop_ns).run()
        except _OutOfTime:
            outcome.stopped = "the time is over"
            break
        except Conflict:
            outcome.lost += 1
        except Transient as error:
            outcome.stopped = str(error)
            break
    return outcome


def rebuild(
    parts: RebuildParts, symbol: str, timeframe: str, start_ns: int, end_ns: int
) -> list[Bar]:
    """Rebuild and put the bars of one symbol that open at ``start_ns <= ts_event < end_ns``.

    Both bounds are widened to whole bars; of event bars to whole UTC days, since each day begins
    anew. Bars that are not over, by our clock and the grace, are left out.

    Returns
    -------
    list of Bar
        What was put, oldest first.

    Raises
    ------
    InvalidData
        Rule ``timeframe``.
    Transient
        The stream kept refusing.
    """
    event = event_timeframe(timeframe)
    length = _DAY_NS if event is not None else timeframe_ns(timeframe)
    latest_ns = _whole_until_ns(parts)
    first_ns = bar_open_ns(start_ns, length)
    past_ns = min(bar_open_ns(end_ns - 1, length) + length, bar_open_ns(latest_ns, length))
    bars: list[Bar] = []
    if event is None:
        for start_ns, past_day_ns in _slices(first_ns, past_ns, _DAY_NS):
            bars += _time_bars(parts, symbol, {timeframe: (start_ns, past_day_ns)})
    else:
        for day_ns in range(first_ns, past_ns, _DAY_NS):
            trades = parts.ticks.trades(parts.venue, symbol, day_ns, day_ns + _DAY_NS)
            bars += event_bars_of_day(symbol, event, trades, day_ns)
    _Lane(parts).put(symbol, bars)
    return bars


class _OutOfTime(Exception):
    """The time of the run is over; what was finished is noted."""


def _is_filled(gap: Gap) -> bool:
    fills = gap.fill.channels
    return all(
        channel in fills and fills[channel].status in _DONE
        for channel in (TRADES, QUOTES)
        if channel in gap.channels
    )


def _whole_until_ns(parts: RebuildParts) -> int:
    now_ns = parts.clock.now_ns()
    long_ago_ns = now_ns - round(parts.patience_s * SECOND_NS)
    reached_ns = parts.whole_until_ns(parts.venue)
    if reached_ns is None:
        return long_ago_ns
    return max(long_ago_ns, min(now_ns, reached_ns) - round(parts.grace_s * SECOND_NS))


class _GapRebuild:
    """One gap's share of a run."""

    def __init__(
        self,
        parts: RebuildParts,
        gap: Gap,
        lane: _Lane,
        outcome: Rebuilt,
        stop_ns: int | None,
    ) -> None:
        self._parts = parts
        self._gap = gap
        self._lane = lane
        self._outcome = outcome
        self._stop_ns = stop_ns
        self._plan = plan_bars(parts.rules.timeframes)
        named = "\n".join((gap.cause, *gap.channels, *gap.symbols))
        digest = hashlib.blake2b(named.encode(), digest_size=8).hexdigest()
        self._key = f"{gap.venue}/{gap.opened_ns:019d}/{digest}"
        self._interval = MARGINS.widened(TRADES, gap.opened_ns, gap.closed_ns)

    def run(self) -> None:
        if not {TRADES, QUOTES} & set(self._gap.channels):
            self._settle()
            return
        stored = self._parts.states.load(CONSUMER, self._key)
        version = 0 if stored is None else stored.version
        done = {} if stored is None else msgpack_decoder(dict[str, int]).decode(stored.value)
        while due := self._due(done):
            self._rebuild(due)
            done |= {timeframe: end_ns for timeframe, (_, end_ns) in due.items()}
            self._parts.states.save(CONSUMER, self._key, msgspec.msgpack.encode(done), version)
            version += 1
        if all(done.get(name, 0) >= self._end_ns(name) for name in self._plan.lengths):
            self._settle()
        else:
            self._outcome.waiting += 1

    def _settle(self) -> None:
        fill = msgspec.structs.replace(self._gap.fill, settled=True)
        self._parts.ledger.note_fill(self._gap, fill)
        self._gap = replace(self._gap, fill=fill)
        self._outcome.settled += 1
        if TRADES in self._gap.channels and (self._plan.events or self._plan.own_events):
            self._outcome.event_bars_due += 1

    def _end_ns(self, timeframe: str) -> int:
        length = self._plan.lengths[timeframe]
        return bar_open_ns(self._interval[1] - 1, length) + length

    def _due(self, done: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Return the opens to be rebuilt next by timeframe: those of one day at most."""
        whole_ns = _whole_until_ns(self._parts)
        intervals = {}
        for name, length in self._plan.lengths.items():
            first_ns = done.get(name, bar_open_ns(self._interval[0], length))
            past_ns = min(self._end_ns(name), bar_open_ns(whole_ns, length))
            if first_ns < past_ns:
                intervals[name] = (first_ns, past_ns)
        if not intervals:
            return {}
        day_end_ns = bar_open_ns(min(first for first, _ in intervals.values()), _DAY_NS) + _DAY_NS
        return {
            name: (first_ns, min(past_ns, day_end_ns))
            for name, (first_ns, past_ns) in intervals.items()
            if first_ns < day_end_ns
        }

    def _rebuild(self, due: Mapping[str, tuple[int, int]]) -> None:
        parts = self._parts
        minutes = {}
        if MINUTE in due:
            minutes = venue_minutes(parts.ticks.bars(parts.venue, MINUTE, *due[MINUTE]))
        symbols: Sequence[str] = self._gap.symbols
        if EVERY_SYMBOL in symbols:
            symbols = parts.ticks.symbols(parts.venue, *_span(due))
        for symbol in symbols:
            if self._stop_ns is not None and parts.clock.now_ns() >= self._stop_ns:
                raise _OutOfTime
            bars = [flagged(bar, minutes) for bar in _time_bars(parts, symbol, due)]
            self._lane.put(symbol, bars)
            self._outcome.bars += len(bars)
            self._outcome.flagged += sum(bool(bar.flags) for bar in bars)


def _span(due: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    return min(first for first, _ in due.values()), max(past for _, past in due.values())


def _time_bars(parts: RebuildParts, symbol: str, due: Mapping[str, tuple[int, int]]) -> list[Bar]:
    """Return a symbol's bars; an hour of its ticks is held at a time."""
    lengths = {name: TIMEFRAMES[name] for name in due}
    made = TimeBars(symbol, lengths, parts.rules.quotes_from_ns)
    hours = list(_slices(*_span(due), _HOUR_NS))
    for start_ns, end_ns in hours:
        made.add_trades(parts.ticks.trades(parts.venue, symbol, start_ns, end_ns))
    for start_ns, end_ns in hours:
        if made.lacks_trades(start_ns, end_ns):
            made.add_quotes(parts.ticks.quotes(parts.venue, symbol, start_ns, end_ns))
    return [bar for name, within in due.items() for bar in made.bars(name, within)]


def _slices(start_ns: int, end_ns: int, length_ns: int) -> Iterator[tuple[int, int]]:
    while start_ns < end_ns:
        past_ns = min(bar_open_ns(start_ns, length_ns) + length_ns, end_ns)
        yield start_ns, past_ns
        start_ns = past_ns


class _Lane:
    """Stamps and puts rebuilt bars, under an epoch of this run."""

    def __init__(self, parts: RebuildParts) -> None:
        self._venue, self._buckets = parts.venue, parts.buckets
        self._writer = parts.bars
        self._epoch = parts.clock.now_ns()
        self._next_seq: dict[int, int] = {}

    def put(self, symbol: str, bars: Sequence[Bar]) -> None:
        """Return when the bars are durable."""
        bucket, bundles = bucket_of(symbol, self._buckets), Bundles()
        for first in range(0, len(bars), _BARS_A_BATCH):
            seq = self._next_seq.get(bucket, 0)
            self._next_seq[bucket] = seq + 1
            bundles.add_batch(
                Batch(
                    lane="backfill",
                    venue=self._venue,
                    epoch=self._epoch,
                    bucket=bucket,
                    seq=seq,
                    watermark_ns=NO_WATERMARK,
                    records=list(bars[first : first + _BARS_A_BATCH]),
                    origin=ORIGIN,
                )
            )
        if outgoing := bundles.outgoing():
            self._writer.put(outgoing)
