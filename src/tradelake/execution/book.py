"""Order books in plain memory: levels in sorted arrays, the best at the end. Compiled.

Asks are kept under their negated price, so that on both sides the best level has the largest key
and lies last: what happens near the top moves few levels.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from tradelake.execution.account import units_of
from tradelake.execution.compiled import lean
from tradelake.market.arrays import FloatArray, IntArray

LEVELS: Final = 4096
"""Of a side at most; where more are told the worst are let go, and counted."""


class Books(NamedTuple):
    """Books by symbol and side (0 bids, 1 asks); levels by key, up to ``counts``."""

    keys: FloatArray
    sizes: FloatArray
    traded: FloatArray
    """Base units that traded at the level since it was last told (L2)."""
    taken: FloatArray
    """Base units that own orders took of the level (L1)."""
    counts: IntArray
    dropped: IntArray
    """By symbol: levels let go because there was no room."""


def new_books(symbols: int, levels: int = LEVELS) -> Books:
    """Return empty books with room for so many levels on each side of each symbol."""
    shape = (symbols, 2, levels)
    return Books(
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros((symbols, 2), np.int64),
        np.zeros(symbols, np.int64),
    )


@lean
def half_of(side: int) -> int:
    """Return the half of the book in which orders of a side (1 buys, -1 sells) rest."""
    return 0 if side > 0 else 1


@lean
def key_of(half: int, price: float) -> float:
    """Return what a price is sorted by, and back."""
    return price if half == 0 else -price


@lean
def find(books: Books, symbol: int, half: int, price: float) -> int:
    """Return the place of the first level with a key not below the price's."""
    keys, key = books.keys[symbol, half], key_of(half, price)
    first, last = 0, books.counts[symbol, half]
    if last > 16 and keys[last - 16] < key:
        first = last - 15
    while first < last:
        middle = (first + last) // 2
        if keys[middle] < key:
            first = middle + 1
        else:
            last = middle
    return first


@lean
def is_level(books: Books, symbol: int, half: int, place: int, price: float) -> bool:
    """Return whether there is a level of that price at a place."""
    return bool(
        place < books.counts[symbol, half]
        and books.keys[symbol, half, place] == key_of(half, price)
    )


@lean
def size_at(books: Books, symbol: int, half: int, price: float) -> float:
    """Return what is displayed at a price, base units; 0 where there is no level."""
    place = find(books, symbol, half, price)
    if is_level(books, symbol, half, place, price):
        return float(books.sizes[symbol, half, place])
    return 0.0


@lean
def best(books: Books, symbol: int, half: int) -> float:
    """Return the best price of a half, NaN where it is empty."""
    count = books.counts[symbol, half]
    if count == 0:
        return np.nan
    return key_of(half, books.keys[symbol, half, count - 1])


@lean
def best_size(books: Books, symbol: int, half: int) -> float:
    """Return what is displayed at the best price, base units; 0 where the half is empty."""
    count = books.counts[symbol, half]
    return float(books.sizes[symbol, half, count - 1]) if count > 0 else 0.0


@lean
def is_crossed(books: Books, symbol: int) -> bool:
    """Return whether the best bid is at or above the best ask."""
    return bool(best(books, symbol, 0) >= best(books, symbol, 1))


@lean
def reset(books: Books, symbol: int) -> None:
    """Empty a symbol's book."""
    books.counts[symbol, 0] = 0
    books.counts[symbol, 1] = 0


@lean
def _move(books: Books, symbol: int, half: int, first: int, last: int, by: int) -> None:
    """Move levels ``first`` to ``last - 1`` by one place up or down."""
    keys, sizes = books.keys[symbol, half], books.sizes[symbol, half]
    traded, taken = books.traded[symbol, half], books.taken[symbol, half]
    for step in range(last - first):
        place = last - 1 - step if by > 0 else first + step
        keys[place + by], sizes[place + by] = keys[place], sizes[place]
        traded[place + by], taken[place + by] = traded[place], taken[place]


@lean
def set_level(
    books: Books, symbol: int, half: int, price: float, size: float, keeps_taken: bool
) -> float:
    """Tell a level anew; size 0 removes it. Return what of the old size had not traded.

    What own orders took of it comes back, unless ``keeps_taken``.
    """
    place, count = find(books, symbol, half, price), books.counts[symbol, half]
    if is_level(books, symbol, half, place, price):
        left = books.sizes[symbol, half, place] - books.traded[symbol, half, place]
        if size <= 0.0:
            _move(books, symbol, half, place + 1, count, -1)
            books.counts[symbol, half] = count - 1
            return float(max(left, 0.0))
        books.sizes[symbol, half, place] = size
        books.traded[symbol, half, place] = 0.0
        if not keeps_taken:
            books.taken[symbol, half, place] = 0.0
        return float(max(left, 0.0))
    if size > 0.0:
        _insert(books, symbol, half, place, price, size)
    return 0.0


@lean
def _insert(books: Books, symbol: int, half: int, place: int, price: float, size: float) -> None:
    """Put a new level in; a full half lets its worst level go."""
    count = books.counts[symbol, half]
    if count == books.keys.shape[2]:
        books.dropped[symbol] += 1
        if place == 0:
            return
        _move(books, symbol, half, 1, place, -1)
        place -= 1
    else:
        _move(books, symbol, half, place, count, 1)
        books.counts[symbol, half] = count + 1
    books.keys[symbol, half, place] = key_of(half, price)
    books.sizes[symbol, half, place] = size
    books.traded[symbol, half, place] = 0.0
    books.taken[symbol, half, place] = 0.0


@lean
def add_traded(books: Books, symbol: int, half: int, price: float, size: float) -> None:
    """Remember that a size traded at a level, where there is one."""
    place = find(books, symbol, half, price)
    if is_level(books, symbol, half, place, price):
        books.traded[symbol, half, place] += size


@lean
def room_at(books: Books, symbol: int, half: int, place: int, unit: float) -> int:
    """Return how many units of a level own orders have not taken yet."""
    left = books.sizes[symbol, half, place] - books.taken[symbol, half, place]
    return int(max(units_of(left, unit, 1), 0))


@lean
def walk(
    books: Books, symbol: int, half: int, unit: float, quantity: int, limit: float
) -> tuple[int, float]:
    """Return how many units of a quantity a half has up to a limit, and what they cost.

    Nothing is taken. ``limit`` NaN is none; the cost is in quote units.
    """
    left, cost = quantity, 0.0
    place = books.counts[symbol, half] - 1
    worst = key_of(half, limit)
    while place >= 0 and left > 0 and not books.keys[symbol, half, place] < worst:
        took = min(left, room_at(books, symbol, half, place, unit))
        cost += took * unit * key_of(half, books.keys[symbol, half, place])
        left -= took
        place -= 1
    return quantity - left, cost
