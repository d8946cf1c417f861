"""Bars rebuilt from stored trades and quotes, with the parts the stream's bars are made of.

Merging parts is commutative and associative (:mod:`tradelake.stream.partial_bars`), so a time bar
that is rebuilt from the same trades is equal to the last bit to the one the stream gave, but for
its status ``backfilled`` and its revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradelake.market.records import Bar, Quote, Trade
from tradelake.market.timeframes import EventTimeframe, bar_open_ns
from tradelake.stream.envelope import NO_WATERMARK
from tradelake.stream.event_bars import EventSeries
from tradelake.stream.partial_bars import PartialBar, merge, of_trade, to_bar
from tradelake.stream.quote_minutes import QuoteMinutes

Interval = tuple[int, int]
"""[start, end) of bar opens, ns since 1970 UTC; multiples of the bar's length."""


class TimeBars:
    """Time bars of one symbol, from trades and quotes in any order.

    Parameters
    ----------
    symbol : str
        Pair.
    lengths : mapping of str to int
        Timeframes wanted and their lengths in ns; at least one.
    quotes_from_ns : int or None
        Bars at least this long are made of quotes where there is no trade.
    """

    def __init__(self, symbol: str, lengths: Mapping[str, int], quotes_from_ns: int | None) -> None:
        self._symbol = symbol
        self._lengths = dict(lengths)
        quoted = [
            length
            for length in self._lengths.values()
            if quotes_from_ns is not None and length >= quotes_from_ns
        ]
        self._finest_ns = min(self._lengths.values())
        self._quoted_ns = min(quoted, default=None)
        self._traded: dict[int, PartialBar] = {}
        self._quoted: dict[int, PartialBar] = {}

    def add_trades(self, trades: Iterable[Trade]) -> None:
        """Add trades, each once."""
        for trade in trades:
            open_ns = bar_open_ns(trade.ts_event, self._finest_ns)
            _merge_into(self._traded, open_ns, of_trade(trade))

    def lacks_trades(self, start_ns: int, end_ns: int) -> bool:
        """Whether a bar that quotes would fill has no trade in [start, end), so far."""
        length = self._quoted_ns
        if length is None:
            return False
        filled = {
            bar_open_ns(open_ns, length) for open_ns in self._traded if start_ns <= open_ns < end_ns
        }
        first = bar_open_ns(start_ns, length)
        return any(open_ns not in filled for open_ns in range(first, end_ns, length))

    def add_quotes(self, quotes: Iterable[Quote]) -> None:
        """Add quotes; they matter where a bar has no trade."""
        if self._quoted_ns is None:
            return
        minutes = QuoteMinutes(self._quoted_ns)
        minutes.add(quotes, NO_WATERMARK)
        for (_, open_ns), part in minutes.take(None):
            _merge_into(self._quoted, open_ns, part)

    def bars(self, timeframe: str, within: Interval) -> list[Bar]:
        """Return the bars that open within the interval, oldest first, as ``backfilled``."""
        length, (start_ns, end_ns) = self._lengths[timeframe], within
        parts: dict[int, PartialBar] = {}
        sources = [self._traded]
        if self._quoted_ns is not None and length >= self._quoted_ns:
            sources.append(self._quoted)
        for source in sources:
            for at_ns, part in source.items():
                open_ns = bar_open_ns(at_ns, length)
                if start_ns <= open_ns < end_ns:
                    _merge_into(parts, open_ns, part)
        return [
            to_bar(part, self._symbol, timeframe, open_ns, "backfilled")
            for open_ns, part in sorted(parts.items())
        ]


def _merge_into(parts: dict[int, PartialBar], open_ns: int, part: PartialBar) -> None:
    known = parts.get(open_ns)
    parts[open_ns] = part if known is None else merge(known, part)


def event_bars_of_day(
    symbol: str, timeframe: EventTimeframe, trades: Sequence[Trade], day_ns: int
) -> list[Bar]:
    """Return the event bars of one UTC day that is over, from all its trades.

    The trades are taken by (ts_event, trade_id), not in the order of receipt. All the bars have one
    revision, twice the day's number of trades and one: the bars of a day belong together, and those
    of the greatest such revision replace all others of that day (ADR 0011).
    """
    series = EventSeries(symbol, timeframe)
    bars: list[Bar] = []
    for trade in sorted(trades, key=lambda one: (one.ts_event, one.trade_id, one.price)):
        bars += series.add(trade, of_trade(trade), trade.ts_event, NO_WATERMARK)
    bars += series.finish_day(day_ns)
    revision = 2 * len(trades) + 1
    return [msgspec.structs.replace(bar, revision=revision, status="backfilled") for bar in bars]
