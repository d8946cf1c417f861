"""Partial bars: what some trades of one bar add up to, exact and in any order.

``merge`` is commutative and associative, so however the trades of a bar are cut into micro-batches
and in whichever order the parts arrive, the bar is the same to the last bit. That holds because

- sums are integers, scaled by 10**18 (Spark's ``Decimal(38, 18)``): float sums change with the cut;
- open and close are the least and greatest trade in the total order (ts_event, trade_id, price),
  not the first and last to arrive.

A part may also be of quotes alone: no trades, no sums, prices of midpoints in the total order
(ts_event, occurrence, midpoint). Trades outrank quotes: merging the two leaves the trades.

A float64 stands for the shortest decimal that reads back as it (its ``repr``): what the venue
wrote, up to 17 digits. Sizes are rounded half-even to 1e-18 base units and notionals (price * size,
multiplied exactly) to 1e-18 quote units, once for each trade. Inputs of at most 18 decimals and
products of at most 18, such as prices and sizes of 9 decimals each, are exact; what has more digits
is off by at most 5e-19 a trade, the same 5e-19 in every cut.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Literal

import msgspec

from tradelake.market.channels import AGGREGATE
from tradelake.market.records import Bar, Trade

SCALE: Final = 10**18
"""Units of the integer sums: 1e-18 base units of volume, 1e-18 quote units of notional."""

Status = Literal["complete", "partial", "backfilled"]

TradeKey = tuple[int, int, float]
"""(ts_event, trade_id, price): the total order of a symbol's trades; of quotes see above."""

# A float's 17 digits lie between 10**-324 and 10**308: scaled products have up to 650 digits.
_EXACT: Final = Context(prec=700, rounding=ROUND_HALF_EVEN, Emin=-9999, Emax=9999)


class PartialBar(msgspec.Struct, frozen=True, gc=False):
    """Trades of one bar, added up; or midpoints of its quotes, with ``trades`` 0.

    Parameters
    ----------
    first, last : TradeKey
        Least and greatest trade; their prices are open and close.
    high, low : float
        Quote units.
    volume, notional : int
        In 1e-18 base units and 1e-18 quote units.
    trades : int
        Number of trades.
    ts_ingest : int
        Greatest ``ts_ingest`` of the trades (or quotes), ns.
    """

    first: TradeKey
    last: TradeKey
    high: float
    low: float
    volume: int
    notional: int
    trades: int
    ts_ingest: int


def scaled(value: Decimal) -> int:
    """Return ``value`` in units of 1e-18, rounded half-even.

    >>> scaled(Decimal("0.25")), scaled(Decimal("5e-19")), scaled(Decimal("15e-19"))
    (250000000000000000, 0, 2)
    """
    return int(_EXACT.to_integral_exact(_EXACT.scaleb(value, 18)))


def of_trade(trade: Trade) -> PartialBar:
    """Return the partial bar of a single trade; price and size must be finite."""
    size = Decimal(repr(trade.size))
    key = (trade.ts_event, trade.trade_id, trade.price)
    return PartialBar(
        first=key,
        last=key,
        high=trade.price,
        low=trade.price,
        volume=scaled(size),
        notional=scaled(_EXACT.multiply(Decimal(repr(trade.price)), size)),
        trades=1,
        ts_ingest=trade.ts_ingest,
    )


def merge(one: PartialBar, other: PartialBar) -> PartialBar:
    """Return the partial bar of the trades of both, which must have no trade in common.

    Where only one has trades, that one.
    """
    if not one.trades or not other.trades:
        if one.trades:
            return one
        if other.trades:
            return other
    return PartialBar(
        first=min(one.first, other.first),
        last=max(one.last, other.last),
        high=max(one.high, other.high),
        low=min(one.low, other.low),
        volume=one.volume + other.volume,
        notional=one.notional + other.notional,
        trades=one.trades + other.trades,
        ts_ingest=max(one.ts_ingest, other.ts_ingest),
    )


def to_bar(
    partial: PartialBar,
    symbol: str,
    timeframe: str,
    open_ns: int,
    status: Status,
    flags: str = "",
) -> Bar:
    """Return the bar in float64, each value rounded once.

    Its revision is twice the number of trades, and one more when it was rebuilt from the lake
    (``backfilled``): a rebuild outranks what the stream gave for the same trades. Where the volume
    is 0 (trades of size 0, or none) the vwap is 0.
    """
    return Bar(
        symbol=symbol,
        ts_event=open_ns,
        ts_ingest=partial.ts_ingest,
        open=partial.first[2],
        high=partial.high,
        low=partial.low,
        close=partial.last[2],
        volume=partial.volume / SCALE,
        vwap=partial.notional / partial.volume if partial.volume else 0.0,
        trades=partial.trades,
        timeframe=timeframe,
        source="tradelake",
        channel=AGGREGATE,
        revision=2 * partial.trades + (status == "backfilled"),
        status=status,
        flags=flags,
    )
