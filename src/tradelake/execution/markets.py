"""What a venue shows of each symbol on ticks: the memory of rungs 3 and 4 beside the account's."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tradelake.execution.book import LEVELS, Books, new_books
from tradelake.execution.layout import NONE
from tradelake.execution.state import Rows

MARKET: Final = np.dtype(
    [
        ("bid", np.float64),
        ("ask", np.float64),
        ("bid_size", np.float64),
        ("ask_size", np.float64),
        ("bid_taken", np.float64),  # base units own orders took of what is displayed
        ("ask_taken", np.float64),
        ("quoted", np.int64),  # 1: there was a quote or a book
        ("marked", np.int64),  # 1: there was a mid
        ("traded", np.int64),
        ("booked", np.int64),
        ("telling", np.int64),  # TOLD, PARTLY or ANEW: whether an update of the book is whole
        ("last_trade", np.int64),  # row on the tape, or NONE
        ("crossed", np.int64),  # how many updates left the book crossed
        # The next inputs that touch an order: any, an ask at or below, a bid at or above, ...
        ("always", np.int64),
        ("ask_below", np.float64),
        ("bid_above", np.float64),
        ("bid_below", np.float64),
        ("ask_above", np.float64),
        ("trade_below", np.float64),
        ("trade_above", np.float64),
    ]
)


class Market(NamedTuple):
    """What is shown: one row of :data:`MARKET` for each symbol, its book, and the tape."""

    rows: Rows
    books: Books
    tape: Rows
    """Rows of :data:`~tradelake.market.tape.TICK`."""
    resting: npt.NDArray[np.int8]
    """By order: whether it rests as a limit (``RESTS``), and in a known place (``QUEUED``)."""


RESTS: Final = 1
QUEUED: Final = 2
TOLD: Final = 0
PARTLY: Final = 1
"""More of an update follows."""
ANEW: Final = 2
"""More of an update follows that began with a reset."""


def roomier(market: Market, orders: int) -> Market:
    """Return the market with room for so many orders."""
    if orders <= len(market.resting):
        return market
    resting = np.zeros(orders, np.int8)
    resting[: len(market.resting)] = market.resting
    return market._replace(resting=resting)


def wider(market: Market, symbols: int) -> Market:
    """Return the market with so many symbols; of the new ones nothing is known yet."""
    levels = market.books.keys.shape[2]
    wide = new_market(symbols, market.tape, levels)
    wide.rows[: len(market.rows)] = market.rows
    deepest = int(market.books.counts.max(initial=0))
    for old, new in zip(market.books, wide.books, strict=True):
        kept = old[..., :deepest] if old.ndim == 3 else old
        new[tuple(slice(size) for size in kept.shape)] = kept
    return wide._replace(resting=market.resting)


def new_market(symbols: int, tape: Rows, levels: int = LEVELS) -> Market:
    """Return a market of which nothing is known yet.

    Parameters
    ----------
    symbols : int
        How many.
    tape : Rows
        As :func:`tradelake.market.tape.merged_ticks` makes it.
    levels : int
        Largest number of levels of a side; their memory is taken when they are told.
    """
    rows = np.zeros(symbols, MARKET)
    rows["bid"], rows["ask"], rows["last_trade"] = np.nan, np.nan, NONE
    for name in ("ask_below", "bid_below", "trade_below"):
        rows[name] = -np.inf
    for name in ("bid_above", "ask_above", "trade_above"):
        rows[name] = np.inf
    return Market(rows, new_books(symbols, levels), tape, np.zeros(0, np.int8))
