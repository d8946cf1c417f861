"""Trades, quotes and books of one symbol out of Arrow tables with the columns of recordings.

Rows are taken in their order; what is wrong in them is refused, masked or flagged as
:mod:`tradelake.market.ticks` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tradelake.market.arrays import FloatArray, IntArray
from tradelake.market.ticks import BookArrays, QuoteArrays, TradeArrays, Treatment


def trades_of(symbol: str, rows: pa.Table, bad: Treatment = "refuse") -> TradeArrays:
    """Return trades.

    Parameters
    ----------
    symbol : str
        Whose.
    rows : pa.Table
        ``ts_ns``, ``price``, ``size``, and ``side``: buy, sell, or null where it is not told.
    bad : {"refuse", "mask", "flag"}
        What becomes of bad rows.

    Raises
    ------
    InvalidData
        As :class:`TradeArrays`.
    """
    bought, sold = (_is(rows["side"], side) for side in ("buy", "sell"))
    side = bought.astype(np.int64) - sold.astype(np.int64)
    return TradeArrays(
        symbol, _whole(rows["ts_ns"]), _numbers(rows["price"]), _numbers(rows["size"]), side, bad
    )


def quotes_of(symbol: str, rows: pa.Table, bad: Treatment = "refuse") -> QuoteArrays:
    """Return quotes, of ``ts_ns``, ``bid``, ``bid_size``, ``ask`` and ``ask_size``.

    Raises
    ------
    InvalidData
        As :class:`QuoteArrays`.
    """
    sides = {name: _numbers(rows[name]) for name in ("bid", "bid_size", "ask", "ask_size")}
    return QuoteArrays(symbol, _whole(rows["ts_ns"]), **sides, bad=bad)


def books_of(symbol: str, rows: pa.Table, bad: Treatment = "refuse") -> BookArrays:
    """Return what changed in a book, from its first reset on: before it nobody knows the book.

    Parameters
    ----------
    symbol, bad
        As of :func:`trades_of`.
    rows : pa.Table
        ``ts_ns``; ``bids`` and ``asks``, lists of (price, size); ``reset``.

    Raises
    ------
    InvalidData
        As :class:`BookArrays`.
    """
    resets = np.flatnonzero(_is(rows["reset"], True))
    rows = rows.slice(resets[0] if len(resets) else len(rows))
    reset = _is(rows["reset"], True)
    bids, asks = _Levels(rows["bids"]), _Levels(rows["asks"])
    counts = reset + bids.counts + asks.counts
    starts = np.cumsum(counts) - counts
    size = int(counts.sum())
    side, price, amount = np.zeros(size, np.int64), np.zeros(size), np.zeros(size)
    for sign, levels, first in (
        (1, bids, starts + reset),
        (-1, asks, starts + reset + bids.counts),
    ):
        places = levels.places(first)
        side[places], price[places], amount[places] = sign, levels.price, levels.size
    is_reset, is_last = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    is_reset[starts[reset]] = True
    is_last[(starts + counts - 1)[counts > 0]] = True
    ts_ns = np.repeat(_whole(rows["ts_ns"]), counts)
    return BookArrays(symbol, ts_ns, side, price, amount, is_reset, is_last, bad)


class _Levels:
    """Levels of one side of all updates, one after the other."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        flat = pc.list_flatten(column)
        self.counts: IntArray = (
            pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        )
        self.price = _numbers(pc.struct_field(flat, "price"))
        self.size = _numbers(pc.struct_field(flat, "size"))

    def places(self, first: IntArray) -> IntArray:
        """Return where each level goes when those of an update begin at ``first``."""
        before = np.cumsum(self.counts) - self.counts
        return np.repeat(first - before, self.counts) + np.arange(len(self.price))


def _is(column: pa.ChunkedArray, value: object) -> Any:  # noqa: ANN401 - an array of bool
    same = pc.fill_null(pc.equal(column, value), fill_value=False)
    return same.to_numpy()


def _whole(column: pa.ChunkedArray) -> IntArray:
    found: IntArray = column.to_numpy()
    return found


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    found: FloatArray = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()
    return found
