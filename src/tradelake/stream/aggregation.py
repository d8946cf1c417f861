"""Bars from trades, in event time, for one ordered source (lane, venue, bucket).

What comes out of a batch depends on the batches before it and on nothing else: not on the clock,
not on how batches were grouped into calls, not on when the state was saved. So a consumer that
replays batches emits the same bars again.

- A bar closes when the watermark reaches its end plus the lateness. A symbol and timeframe without
  a trade has no bar (Alpaca's empty minutes are in its own channel). A bar's revision is its number
  of trades.
- A late trade revises its bar while the bar is retained
  (:func:`tradelake.stream.bar_series.retained_bars`), after that it is counted as too late; the
  trades table has it and a rebuild puts it right.
- A trade seen before (symbol, ts_event, trade_id) is ignored within
  :mod:`tradelake.stream.identities`' window.
- A bar is ``partial`` when we know that we did not listen for all of its time: it began before the
  source's first trade or watermark, it was open while the epoch changed (a restart or takeover), or
  ``FINAL_WATERMARK`` cut it before its end. Once partial it stays so. Bars of the backfill lane are
  ``backfilled``. Others are ``complete``.
- ``FINAL_WATERMARK`` closes every bar but does not move the watermark: a source may go on in
  another epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from tradelake.market.records import Bar, Record, Trade
from tradelake.market.timeframes import bar_open_ns, timeframe_ns
from tradelake.stream.bar_series import BarSeries
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK, Batch
from tradelake.stream.identities import MOST_IDENTITIES, WINDOW_NS, RecentTrades
from tradelake.stream.partial_bars import PartialBar, merge, of_trade, to_bar

SeriesKey = tuple[str, str]
"""(symbol, timeframe)."""

NO_POSITION = (-1, -1)


class Rules(msgspec.Struct, frozen=True):
    """Which bars are built and how long late trades are waited for.

    Parameters
    ----------
    timeframes : tuple of str
        Distinct names of ``market.timeframes``.
    lateness_ns : int
        How long after its end, by the watermark, a bar is kept open.
    most_identities : int
        How many trades are remembered at most, to recognise duplicates.
    """

    timeframes: tuple[str, ...]
    lateness_ns: int
    most_identities: int = MOST_IDENTITIES


class Counts(msgspec.Struct):
    """What happened to the input; ``stale`` are repeats of an older epoch, a replaced leader's."""

    batches: int = 0
    repeats: int = 0
    stale: int = 0
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
    """

    def __init__(self, rules: Rules) -> None:
        self._lengths = {name: timeframe_ns(name) for name in rules.timeframes}
        self._finest_ns = min(self._lengths.values())
        assert all(length % self._finest_ns == 0 for length in self._lengths.values())
        self.rules = rules
        self.counts = Counts()
        self.position = NO_POSITION
        self.watermark_ns = NO_WATERMARK
        self.heard_ns = NO_WATERMARK
        self.covered_from_ns: int | None = None
        self.since_ns: dict[str, int] = {}
        self.recent = RecentTrades(most=rules.most_identities)
        self.series: dict[SeriesKey, BarSeries] = {}
        self.next_due_ns: int | None = None

    def length_ns(self, timeframe: str) -> int:
        """Return the length of one of the rules' timeframes."""
        return self._lengths[timeframe]

    def apply(self, batch: Batch) -> list[Bar]:
        """Take in one batch; returns the bars it closed or revised, in order of their ends.

        A batch at or before the last position is a repeat: ignored and counted.
        """
        self.counts.batches += 1
        if batch.position <= self.position:
            self.counts.repeats += 1
            self.counts.stale += batch.epoch < self.position[0]
            return []
        if self.position != NO_POSITION and batch.epoch != self.position[0]:
            self._tear()
        self.position = batch.position
        trades = self._new_trades(batch.records)
        self._listen(batch, trades)
        revised = self._add(trades)
        closed = self._close(final=batch.watermark_ns == FINAL_WATERMARK)
        bars = self._emit(revised | closed, batch.lane)
        self.recent.raise_horizon(self.watermark_ns - self.rules.lateness_ns - WINDOW_NS)
        self.counts.revisions += len(revised)
        self.counts.bars += len(bars)
        return bars

    def _tear(self) -> None:
        for series in self.series.values():
            series.tear(self.heard_ns)
        self.covered_from_ns = None

    def _new_trades(self, records: Iterable[Record]) -> list[Trade]:
        trades = [record for record in records if isinstance(record, Trade)]
        fresh = [trade for trade in trades if self.recent.is_new(trade)]
        self.counts.trades += len(fresh)
        self.counts.duplicates += len(trades) - len(fresh)
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

    def _add(self, trades: Sequence[Trade]) -> set[tuple[SeriesKey, int]]:
        """Add trades to their bars; returns the bars that had been closed before."""
        parts: dict[tuple[str, int], PartialBar] = {}
        for trade in trades:
            key = (trade.symbol, bar_open_ns(trade.ts_event, self._finest_ns))
            known = parts.get(key)
            parts[key] = of_trade(trade) if known is None else merge(known, of_trade(trade))
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
        covered_from_ns = NO_WATERMARK if self.covered_from_ns is None else self.covered_from_ns
        since_ns = max(covered_from_ns, self.since_ns.get(key[1], NO_WATERMARK))
        if series.add(open_ns, part, since_ns):
            return open_ns
        end_ns = open_ns + series.length_ns
        self.next_due_ns = end_ns if self.next_due_ns is None else min(self.next_due_ns, end_ns)
        return None

    def _close(self, *, final: bool) -> set[tuple[SeriesKey, int]]:
        """Close the bars that are due; returns them."""
        latest_end_ns = None if final else self.watermark_ns - self.rules.lateness_ns
        if self.next_due_ns is None:
            return set()
        if latest_end_ns is not None and latest_end_ns < self.next_due_ns:
            return set()
        closed: set[tuple[SeriesKey, int]] = set()
        for key, series in self.series.items():
            if final:
                series.tear(self.heard_ns)
            closed.update((key, start) for start in series.close_until(latest_end_ns))
        self.find_next_due()
        return closed

    def find_next_due(self) -> None:
        """Work out anew which open bar ends first."""
        ends = (series.first_end() for series in self.series.values())
        self.next_due_ns = min((end for end in ends if end is not None), default=None)

    def _emit(self, changed: set[tuple[SeriesKey, int]], lane: str) -> list[Bar]:
        if not changed:
            return []
        bars = []
        for key, open_ns in changed:
            series = self.series[key]
            status: Literal["complete", "partial", "backfilled"] = "complete"
            if lane == "backfill":
                status = "backfilled"
            elif open_ns in series.torn:
                status = "partial"
            bars.append(to_bar(series.closed[open_ns], *key, open_ns, status))
        for key in {key for key, _ in changed}:
            self.series[key].forget()
        lengths = self._lengths
        return sorted(
            bars,
            key=lambda bar: (
                bar.ts_event + lengths[bar.timeframe],
                lengths[bar.timeframe],
                bar.symbol,
            ),
        )
