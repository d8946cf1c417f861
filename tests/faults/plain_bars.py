"""Bars of trades in the plainest way, and their comparison with the pipeline's.

Left out, by rule: bars that open before the first message somebody was subscribed for, and bars
that end after the last one. Both are partial by nature; all others must be equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isclose

from tradelake.market.records import Trade
from tradelake.market.timeframes import timeframe_ns

Key = tuple[str, str, int]
"""(symbol, timeframe, open in ns)."""


@dataclass(frozen=True, slots=True)
class PlainBar:
    """Prices, volume in base units, volume-weighted price and number of trades."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    trades: int

    def equals(self, other: PlainBar) -> bool:
        """Return whether all but the volume-weighted price is equal, and that to 1e-12."""
        mine = (self.open, self.high, self.low, self.close, self.volume, self.trades)
        its = (other.open, other.high, other.low, other.close, other.volume, other.trades)
        return mine == its and isclose(self.vwap, other.vwap, rel_tol=1e-12)


def bars_of(
    trades: Iterable[Trade], timeframes: Sequence[str], start_ns: int, end_ns: int
) -> dict[Key, PlainBar]:
    """Return the bars of distinct trades that lie within [start, end]; none without a trade."""
    grouped: dict[Key, list[Trade]] = defaultdict(list)
    for trade in trades:
        for timeframe in timeframes:
            length = timeframe_ns(timeframe)
            open_ns = trade.ts_event // length * length
            if start_ns <= open_ns and open_ns + length <= end_ns:
                grouped[trade.symbol, timeframe, open_ns].append(trade)
    return {key: _bar(members) for key, members in grouped.items()}


def _bar(trades: list[Trade]) -> PlainBar:
    trades = sorted(trades, key=lambda one: (one.ts_event, one.trade_id, one.price))
    prices = [one.price for one in trades]
    sizes = [Fraction(repr(one.size)) for one in trades]
    notional = sum(Fraction(repr(price)) * size for price, size in zip(prices, sizes, strict=True))
    volume = sum(sizes, Fraction())
    return PlainBar(
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        float(volume),
        float(notional / volume) if volume else 0.0,
        len(trades),
    )


def differing(
    expected: Mapping[Key, PlainBar], found: Mapping[Key, PlainBar], start_ns: int, end_ns: int
) -> list[str]:
    """Return which bars are missing, unexpected or different, as text."""
    wrong = []
    for key, bar in expected.items():
        other = found.get(key)
        if other is None:
            wrong.append(f"missing: {key} {bar}")
        elif not bar.equals(other):
            wrong.append(f"different: {key} expected {bar}, found {other}")
    for key, bar in found.items():
        within = start_ns <= key[2] and key[2] + timeframe_ns(key[1]) <= end_ns
        if key not in expected and within and bar.trades:
            wrong.append(f"unexpected: {key} {bar}")
    return wrong
