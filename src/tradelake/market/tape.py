"""Ticks of many symbols on one clock: the rows that matching cores and tick strategies read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.errors import InvalidData
from tradelake.market.arrays import IntArray
from tradelake.market.ticks import BookArrays, QuoteArrays, TradeArrays

Tape: TypeAlias = npt.NDArray[Any]
"""Rows of :data:`TICK`, sorted by time."""
TickArrays: TypeAlias = TradeArrays | QuoteArrays | BookArrays


class TickKind(IntEnum):
    """What a row of a tape says."""

    QUOTE = 0
    """``price`` and ``size`` of the bid, ``price2`` and ``size2`` of the ask."""
    TRADE = 1
    """``side`` is the taker's: 1 bought, -1 sold, 0 not told."""
    RESET = 2
    """The book is empty; levels follow."""
    PART = 3
    """A level (``side`` 1 bids, -1 asks; size 0 removes it); more of the same update follows."""
    LEVEL = 4
    """A level, the last of its update."""


TICK: Final = np.dtype(
    [
        ("ts_ns", np.int64),
        ("symbol", np.int64),
        ("kind", np.int64),
        ("side", np.int64),
        ("price", np.float64),
        ("size", np.float64),
        ("price2", np.float64),
        ("size2", np.float64),
        ("before", np.int64),  # row of the newest trade of the symbol before this row, or -1
    ]
)


def merged_ticks(streams: Sequence[tuple[int, TickArrays]]) -> Tape:
    """Return the ticks of all streams as one tape.

    Parameters
    ----------
    streams : sequence of (symbol number, ticks)
        A symbol may have several. At equal instants ticks are in the order of symbols, then of the
        streams as given, then of their rows; rows that a stream masked are left out.

    Raises
    ------
    InvalidData
        Rule ``order``: a book's update would be torn apart by another book of the same symbol.
    """
    if not streams:
        return np.empty(0, TICK)
    rows = np.concatenate([_rows(number, ticks) for number, ticks in streams])
    stream = np.repeat(np.arange(len(streams)), [int(t.usable.sum()) for _, t in streams])
    books = [number for number, ticks in streams if isinstance(ticks, BookArrays)]
    if len(set(books)) != len(books):
        raise InvalidData("order", f"expected one book a symbol; found books of symbols {books}")
    if len(streams) > 1:
        rows = rows[np.lexsort((stream, rows["symbol"], rows["ts_ns"]))]
    rows["before"] = _trades_before(rows)
    return rows


def _rows(number: int, ticks: TickArrays) -> Tape:
    used = ticks.usable
    rows = np.zeros(int(used.sum()), TICK)
    rows["ts_ns"], rows["symbol"] = ticks.ts_ns[used], number
    if isinstance(ticks, QuoteArrays):
        rows["kind"] = TickKind.QUOTE
        rows["price"], rows["size"] = ticks.bid[used], ticks.bid_size[used]
        rows["price2"], rows["size2"] = ticks.ask[used], ticks.ask_size[used]
        return rows
    for name in ("price", "size", "side"):
        rows[name] = getattr(ticks, name)[used]
    if isinstance(ticks, TradeArrays):
        rows["kind"] = TickKind.TRADE
    else:
        rows["kind"] = np.where(ticks.last[used], TickKind.LEVEL, TickKind.PART)
        rows["kind"][ticks.reset[used]] = TickKind.RESET
    return rows


def _trades_before(rows: Tape) -> IntArray:
    before = np.full(len(rows), -1, np.int64)
    trades = rows["kind"] == TickKind.TRADE
    for number in np.unique(rows["symbol"]):
        places = np.flatnonzero(rows["symbol"] == number)
        newest = np.maximum.accumulate(np.where(trades[places], places, -1))
        before[places[1:]] = newest[:-1]
    return before
