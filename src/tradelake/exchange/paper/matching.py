"""How the paper account's orders are filled, and what of the market fills them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from tradelake.exchange.options import MatchingName
from tradelake.exchange.wire import MarketRecord
from tradelake.execution.broker import BrokerRules
from tradelake.execution.brokers.alpaca import ALPACA
from tradelake.execution.costs import Costs, FillOptions, PartialFills
from tradelake.execution.layout import NONE
from tradelake.execution.terms import Rung
from tradelake.market.channels import ORDERBOOKS, QUOTES, TRADES
from tradelake.market.records import BookUpdate, Quote, Trade
from tradelake.market.tape import TICK, Tape, TickKind

BROKER: Final[BrokerRules] = replace(ALPACA, hold_unoffered=False)
"""The venue's own rules: what it does not take is refused, nobody holds it for the client."""
_SIDES: Final = {"buy": 1, "sell": -1, "": 0}


@dataclass(frozen=True, slots=True)
class Matching:
    """A way of filling orders.

    Parameters
    ----------
    rung : Rung
        Of the ladder of realism.
    costs : Costs
        Beside the broker's fees.
    channels : frozenset of str
        What of the market fills orders.
    """

    rung: Rung
    costs: Costs
    channels: frozenset[str]


MATCHINGS: Final[Mapping[MatchingName, Matching]] = {
    "paper": Matching(
        Rung.QUOTES,
        Costs(fills=FillOptions(beyond_top=True), partial_fills=PartialFills(0.1)),
        frozenset({QUOTES}),
    ),
    "quotes": Matching(Rung.QUOTES, Costs(), frozenset({QUOTES, TRADES})),
    "books": Matching(Rung.BOOK, Costs(), frozenset({ORDERBOOKS, TRADES})),
}
"""``paper``: as Alpaca's paper venue does it, against quotes alone, whole however little is
displayed, one fill in ten cut at random. ``quotes``: at the size that quotes display, limits by
trades too. ``books``: level by level, with a place in the queue."""


def tick_rows(record: MarketRecord, number: int, ts_ns: int) -> list[tuple[Any, ...]]:
    """Return rows of a tape for what the venue publishes; none for what no price can be had of.

    Parameters
    ----------
    record : Trade, Quote, BookUpdate or Bar
        Bars make no rows, nor do crossed quotes.
    number : int
        Of the symbol.
    ts_ns : int
        When it is published, ns since 1970 UTC.
    """
    where = ts_ns, number
    if isinstance(record, Quote):
        sides = record.bid, record.bid_size, record.ask, record.ask_size
        if not all(map(math.isfinite, sides)) or min(sides) < 0.0 or record.bid > record.ask > 0.0:
            return []
        return [(*where, TickKind.QUOTE, 0, *sides, NONE)]
    if isinstance(record, Trade):
        if not (_is_price(record.price) and _is_size(record.size)):
            return []
        side = _SIDES.get(record.taker_side, 0)
        return [(*where, TickKind.TRADE, side, record.price, record.size, 0.0, 0.0, NONE)]
    if isinstance(record, BookUpdate):
        return _book_rows(record, where)
    return []


def tape_of(rows: list[tuple[Any, ...]]) -> Tape:
    """Return the rows as a tape."""
    return np.array(rows, TICK)


def _book_rows(record: BookUpdate, where: tuple[int, int]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    if record.reset:
        rows.append((*where, TickKind.RESET, 0, 0.0, 0.0, 0.0, 0.0, NONE))
    levels = [
        (side, price, size)
        for side, told in ((1, record.bids), (-1, record.asks))
        for price, size in told
        if _is_price(price) and _is_size(size)
    ]
    for place, level in enumerate(levels, 1):
        kind = TickKind.LEVEL if place == len(levels) else TickKind.PART
        rows.append((*where, kind, *level, 0.0, 0.0, NONE))
    return rows


def _is_price(value: float) -> bool:
    return 0.0 < value < math.inf


def _is_size(value: float) -> bool:
    return 0.0 <= value < math.inf
