"""Transforms to start from: one filters and derives, one enriches, one makes several of one.

Named in ``TRADELAKE_TRANSFORMS=examples.transforms.large_trades``.
"""
# ruff: noqa: INP001 - examples are no package of the product

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor
from typing import Any

import msgspec

from tradelake.market.records import BookUpdate, Quote, Trade
from tradelake.transforms import transform

LARGE_USD = 10_000.0


@transform(channel="trades", name="large_trades")
def large_trades(trade: Trade) -> dict[str, Any] | None:
    """Keep what is worth more than 10,000 of the quote currency, with its value."""
    value = trade.price * trade.size
    if value < LARGE_USD:
        return None
    return {"value": value, "price": trade.price, "taker_side": trade.taker_side}


@transform(channel="quotes", name="whole_cents", symbols=("BTC/USD", "ETH/USD"))
def whole_cents(quote: Quote) -> Quote:
    """Round the prices of a quote outwards to cents; its other fields stay."""
    bid, ask = floor(quote.bid * 100) / 100, ceil(quote.ask * 100) / 100
    return msgspec.structs.replace(quote, bid=bid, ask=ask)


@transform(channel="orderbooks", name="walls")
def walls(update: BookUpdate) -> Iterator[dict[str, Any]]:
    """Tell each level that is worth more than 10,000 of the quote currency."""
    for side, levels in (("bid", update.bids), ("ask", update.asks)):
        for price, size in levels:
            if price * size >= LARGE_USD:
                yield {"side": side, "price": price, "size": size}
