"""Bars from trades and quotes, in event time, for one source (lane live, venue, bucket).

What comes out of a batch depends on the batches before it, in the order of the stream, and on
nothing else: not on the clock, not on how batches were grouped into calls, not on when the state
was saved. So a consumer that replays batches emits the same bars again.

- *Once.* The last ``seq`` of every epoch is kept: a batch at or before it is a repeat and changes
  nothing. A batch of an older epoch than the newest (a replaced leader's, or a spool drained late)
  is applied all the same: its trades count unless they were seen, but it moves no watermark and
  tears no bar. Of ``MOST_EPOCHS`` epochs the positions are kept; what comes from one that was
  forgotten is counted and left out. Batches of other lanes than live are counted and left out too:
  a gap's bars are rebuilt from the lake.
- *Time bars* close when the watermark reaches their end plus the lateness. From ``quotes_from_ns``
  on, a bar without trades but with quotes has their midpoints and volume 0
  (:mod:`tradelake.stream.quote_minutes`); one without either does not exist. A bar's revision is
  twice its number of trades.
- A late trade revises its bar while the bar is retained
  (:func:`tradelake.stream.bar_series.retained_bars`), after that it is counted as too late; the
  trades table has it and a rebuild puts it right.
- A trade seen before (symbol, ts_event, trade_id) is ignored; one older than
  :mod:`tradelake.stream.identities` remembers is too late.
- *Event bars* follow the order of the stream: :mod:`tradelake.stream.event_bars`.
- A bar is ``partial`` when we know that we did not listen for all of its time: it began before the
  source's first trade or watermark, it was open while the epoch rose (a restart or takeover), a
  batch says that data before it is missing and for how long (an interrupted feed), or
  ``FINAL_WATERMARK`` cut it before its end. Once partial it stays so, until it is rebuilt.
- ``FINAL_WATERMARK`` closes every time bar but does not move the watermark: a source may go on in
  another epoch. Event bars stay open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tradelake.market.records import Bar, Quote, Trade
from tradelake.market.timeframes import TIMEFRAMES, bar_open_ns, plan_bars
from tradelake.stream.bar_series import BarSeries
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK, Batch
from tradelake.stream.event_bars import EventSeries
from tradelake.stream.identities import MOST_IDENTITIES, WINDOW_NS, RecentTrades
from tradelake.stream.partial_bars import PartialBar, merge, of_trade, to_bar
from tradelake.stream.positions import Positions
from tradelake.stream.quote_minutes import QuoteMinutes

SeriesKey = tuple[str, str]
"""(symbol, timeframe)."""

LIVE: Final = "live"


class Rules(msgspec.Struct, frozen=True):
    """Which bars are built and how long late trades are waited for.

    Parameters
    ----------
    timeframes : tuple of str
        Distinct entries of :func:`tradelake.market.timeframes.plan_bars`.
    lateness_ns : int
        How long after its end, by the watermark, a bar is kept open.
    most_identities : int
        How many trades are remembered at most, to recognise duplicates.
    quotes_from_ns : int or None
        Time bars at least this long are made of quotes where there is no trade; None: none is.
    """

    timeframes: tuple[str, ...]
    lateness_ns: int
    most_identities: int = MOST_IDENTITIES
    quotes_from_ns: int | None = TIMEFRAMES["1m"]


class Counts(msgspec.Struct):
    """What happened to the input.

    ``stale``: batches of an older epoch that were applied; ``forgotten``: of epochs so old that
    nothing is known of them; ``other_lanes``: of no concern. ``too_late``: trades that could be
    duplicates, and for each timeframe those whose bar was forgotten.
    """

    batches: int = 0
    repeats: int = 0
    stale: int = 0
    forgotten: int = 0
    other_lanes: int = 0
    trades: int = 0
    duplicates: int = 0
    too_late: int = 0
    bars: int = 0
    revisions: int = 0


class Aggregator:
    """Open and retained bars of one source, and how far it was read.

    Parameters
    ----------
    rules : Rules
        A timeframe that was not among the rules before begins partial; one that no longer is, is
        dropped.

    Attributes
    ----------
    applied : int
        Batches taken in since this object was made; 0: the state is as it was stored.
    """

    def __init__(self, rules: Rules) -> None:
        self._plan = plan_bars(rules.timeframes)
        self._lengths = self._plan.lengths
        self._finest_ns = min(self._lengths.values(), default=None)
        shortest = rules.quotes_from_ns
        self._quoted = tuple(
            name
            for name, length in self._lengths.items()
            if shortest is not None and length >= shortest
        )
        self.rules = rules
        self.counts = Counts()
        self.applied = 0
        self.positions = Positions()
        self.watermark_ns = NO_WATERMARK
        self.heard_ns = NO_WATERMARK
        self.covered_from_ns: int | None = None
        self.since_ns: dict[str, int] = {}
        self.recent = RecentTrades(most=rules.most_identities)
        self.series: dict[SeriesKey, BarSeries] = {}
        self.events: dict[SeriesKey, EventSeries] = {}
        self.minutes = QuoteMinutes(self._lengths[self._quoted[0]] if self._quoted else 1)
        self.next_due_ns: int | None = None

    def length_ns(self, timeframe: str) -> int:
        """Return the length of one of the rules' time bars."""
        return self._lengths[timeframe]

    def apply(self, batch: Batch) -> list[Bar]:
        """Take in one batch; returns the bars it closed or revised.

        Time bars come first, in order of their ends, then event bars in order of their closing.
        """
        self.counts.batches += 1
        if not self._is_due(batch):
            return []
        newest = self.positions.newest_epoch
        stale = newest is not None and batch.epoch < newest
        if newest is not None and batch.epoch > newest:
            self._tear()
        if batch.torn_until_ns != NO_WATERMARK and not stale:
            self._tear()
            self.covered_from_ns = batch.torn_until_ns
        self.positions.note(batch.epoch, batch.seq)
        self.applied += 1
        self.counts.stale += stale
        self._add_quotes(batch)
        trades = self._new_trades(batch)
        if not stale:
            self._listen(batch, trades)
        parts = [of_trade(trade) for trade in trades]
        revised = self._add(trades, parts)
        closed = self._close(final=not stale and batch.watermark_ns == FINAL_WATERMARK)
        bars = self._emit(revised | closed) + self._add_events(trades, parts)
        self.recent.raise_horizon(self.watermark_ns - self.rules.lateness_ns - WINDOW_NS)
        self.counts.revisions += len(revised)
        self.counts.bars += len(bars)
        return bars

    def _is_due(self, batch: Batch) -> bool:
        if batch.lane != LIVE:
            self.counts.other_lanes += 1
        elif self.positions.is_forgotten(batch.epoch):
            self.counts.forgotten += 1
        elif self.positions.is_repeat(batch.epoch, batch.seq):
            self.counts.repeats += 1
        else:
            return True
        return False

    def _tear(self) -> None:
        self._fold_quotes(None)
        for series in self.series.values():
            series.tear(self.heard_ns)
        for events in self.events.values():
            events.tear()
        self.covered_from_ns = None

    def _add_quotes(self, batch: Batch) -> None:
        if not self._quoted:
            return
        quotes = [record for record in batch.records if isinstance(record, Quote)]
        if quotes:
            self.minutes.add(quotes, self.watermark_ns - self.rules.lateness_ns)
            self._come_due(self.minutes.first_end())

    def _new_trades(self, batch: Batch) -> list[Trade]:
        fresh = []
        for record in batch.records:
            if not isinstance(record, Trade):
                continue
            if record.ts_event < self.recent.horizon_ns:
                self.counts.too_late += 1
            elif self.recent.is_new(record):
                fresh.append(record)
            else:
                self.counts.duplicates += 1
        self.counts.trades += len(fresh)
        return fresh

    def _listen(self, batch: Batch, trades: Sequence[Trade]) -> None:
        """Note from when we listen, until when we heard something, and the watermark."""
        watermark = batch.watermark_ns
        speaks = watermark not in (NO_WATERMARK, FINAL_WATERMARK)
        if self.covered_from_ns is None:
            if trades:
                self.covered_from_ns = min(trade.ts_event for trade in trades)
            elif speaks:
                self.covered_from_ns = watermark
        if speaks:
            self.watermark_ns = max(self.watermark_ns, watermark)
        latest = max((trade.ts_event for trade in trades), default=NO_WATERMARK)
        self.heard_ns = max(self.heard_ns, self.watermark_ns, latest)

    def _add(
        self, trades: Sequence[Trade], singles: Sequence[PartialBar]
    ) -> set[tuple[SeriesKey, int]]:
        """Add trades to their time bars; returns the bars that had been closed before."""
        if self._finest_ns is None:
            return set()
        parts: dict[tuple[str, int], PartialBar] = {}
        for trade, single in zip(trades, singles, strict=True):
            key = (trade.symbol, bar_open_ns(trade.ts_event, self._finest_ns))
            known = parts.get(key)
            parts[key] = single if known is None else merge(known, single)
        revised = set()
        for (symbol, finest_open_ns), part in parts.items():
            for timeframe in self._lengths:
                at = self._add_part((symbol, timeframe), finest_open_ns, part)
                if at is not None:
                    revised.add(((symbol, timeframe), at))
        return revised

    def _add_part(self, key: SeriesKey, ts_ns: int, part: PartialBar) -> int | None:
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = BarSeries(self._lengths[key[1]])
        open_ns = bar_open_ns(ts_ns, series.length_ns)
        if open_ns <= series.floor_ns:
            self.counts.too_late += part.trades
            return None
        if series.add(open_ns, part, self._known_from_ns(key[1])):
            return open_ns
        self._come_due(open_ns + series.length_ns)
        return None

    def _known_from_ns(self, *entries: str) -> int:
        """Return from when on every trade was heard for what the rules' entries ask for."""
        covered_from_ns = NO_WATERMARK if self.covered_from_ns is None else self.covered_from_ns
        since_ns = [self.since_ns.get(entry, NO_WATERMARK) for entry in entries]
        return max(covered_from_ns, *since_ns)

    def _add_events(self, trades: Sequence[Trade], parts: Sequence[PartialBar]) -> list[Bar]:
        bars: list[Bar] = []
        for trade, part in zip(trades, parts, strict=True):
            believed_ns = min(trade.ts_event, trade.ts_ingest)
            for timeframe in self._plan.events_of(trade.symbol):
                key = (trade.symbol, timeframe.name)
                series = self.events.get(key)
                if series is None:
                    series = self.events[key] = EventSeries(trade.symbol, timeframe)
                entries = (timeframe.name, timeframe.entry_of(trade.symbol))
                known_from_ns = self._known_from_ns(*entries)
                bars.extend(series.add(trade, part, believed_ns, known_from_ns))
        return bars

    def builds(self, symbol: str, timeframe: str) -> bool:
        """Whether the rules ask for event bars of this name for the symbol."""
        return any(one.name == timeframe for one in self._plan.events_of(symbol))

    def restore_minute(self, key: tuple[str, int], part: PartialBar) -> None:
        """Put back a minute of quotes; where minutes have another length now, it is dropped."""
        if self._quoted and key[1] % self.minutes.length_ns == 0:
            self.minutes.restore(key, part)

    def _fold_quotes(self, latest_end_ns: int | None) -> None:
        """Merge minutes of quotes that are over into the bars; the fewest wait for a close."""
        for (symbol, open_ns), part in self.minutes.take(latest_end_ns):
            for timeframe in self._quoted:
                self._add_part((symbol, timeframe), open_ns, part)

    def _close(self, *, final: bool) -> set[tuple[SeriesKey, int]]:
        """Close the bars that are due; returns them."""
        latest_end_ns = None if final else self.watermark_ns - self.rules.lateness_ns
        if self.next_due_ns is None:
            return set()
        if latest_end_ns is not None and latest_end_ns < self.next_due_ns:
            return set()
        self._fold_quotes(latest_end_ns)
        closed: set[tuple[SeriesKey, int]] = set()
        for key, series in self.series.items():
            if final:
                series.tear(self.heard_ns)
            closed.update((key, start) for start in series.close_until(latest_end_ns))
        self.find_next_due()
        return closed

    def _come_due(self, end_ns: int | None) -> None:
        if end_ns is not None and (self.next_due_ns is None or end_ns < self.next_due_ns):
            self.next_due_ns = end_ns

    def find_next_due(self) -> None:
        """Work out anew which open bar ends first."""
        self.next_due_ns = None
        self._come_due(self.minutes.first_end())
        for series in self.series.values():
            self._come_due(series.first_end())

    def _emit(self, changed: set[tuple[SeriesKey, int]]) -> list[Bar]:
        if not changed:
            return []
        bars = []
        for key, open_ns in changed:
            series = self.series[key]
            status: Literal["complete", "partial"] = (
                "partial" if open_ns in series.torn else "complete"
            )
            bars.append(to_bar(series.closed[open_ns], *key, open_ns, status))
        for key in {key for key, _ in changed}:
            self.series[key].forget()
        return sorted(bars, key=self._order)

    def _order(self, bar: Bar) -> tuple[int, int, str]:
        length = self._lengths[bar.timeframe]
        return (bar.ts_event + length, length, bar.symbol)
