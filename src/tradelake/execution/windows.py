"""Volume and volatility of the newest bars, or trades, of each symbol (C2). Compiled.

A symbol's rows are counted from its first one and divided into blocks as long as the window. A
window is then the end of a block and the beginning of the next: a sum from the back, kept for every
place of the block before, and one that grows by each row. So a row costs the same however long the
window is, nothing is ever taken away from a sum (what is small would drown in what once was large),
and rows that come one by one leave what those that come at once leave.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.compiled import compiled
from tradelake.execution.state import WINDOW, Record, Rows
from tradelake.market.arrays import FloatArray, IntArray

_LEAST_ROOM: Final = 64
_SYMBOL: Final = np.dtype(
    [
        ("rows", np.int64),  # so far
        ("place", np.int64),  # of the next one in its block
        ("price", np.float64),  # of the newest one
        ("volume", np.float64),  # sums of the block that grows
        ("total", np.float64),
        ("squares", np.float64),
    ]
)
_PLACE: Final = np.dtype(
    [
        ("size", np.float64),  # of the newest row at this place of its block
        ("change", np.float64),  # its log return; 0 of the very first
        ("volume", np.float64),  # sums from here to the end of the block before
        ("total", np.float64),
        ("squares", np.float64),
    ]
)


class Windows:
    """What is known of the windows of some symbols.

    Parameters
    ----------
    symbols : int
        How many.
    window : int
        Rows of a symbol, 1 or more.
    """

    def __init__(self, symbols: int, window: int) -> None:
        self._window = window
        self._symbols = np.zeros(symbols, _SYMBOL)
        self._places = np.zeros((symbols, min(window, _LEAST_ROOM)), _PLACE)

    def add(self, numbers: IntArray, prices: FloatArray, sizes: FloatArray) -> Rows:
        """Return the windows that end with each of some rows, which follow those before.

        Parameters
        ----------
        numbers : IntArray, shape (n,)
            Symbols.
        prices : FloatArray, shape (n,)
            Quote units, positive.
        sizes : FloatArray, shape (n,)
            Base units, 0 or more.
        """
        found = np.empty(len(numbers), WINDOW)
        if len(numbers):
            self._make_room(numbers)
            _add(numbers, prices, sizes, self._window, self._symbols, self._places, found)
        return found

    def _make_room(self, numbers: IntArray) -> None:
        """Make room for new symbols, and for longer blocks as long as none is whole."""
        symbols, room = self._places.shape
        most = int(self._symbols["rows"].max(initial=0)) + len(numbers)
        longer = min(self._window, 2 * most) if room < min(self._window, most) else room
        more = max(int(numbers.max()) + 1 - symbols, 0)
        if more or longer > room:
            self._places = np.pad(self._places, ((0, more), (0, longer - room)))
            self._symbols = np.pad(self._symbols, (0, more))


@compiled
def _add(
    numbers: IntArray,
    prices: FloatArray,
    sizes: FloatArray,
    window: int,
    symbols: Rows,
    places: Rows,
    found: Rows,
) -> None:
    for row in range(numbers.shape[0]):
        symbol, block = symbols[numbers[row]], places[numbers[row]]
        before, at = symbol.rows, symbol.place
        if at == window:
            _close_block(symbol, block)
            at = 0
        change = np.log(prices[row] / symbol.price) if before > 0 else 0.0
        block[at].size, block[at].change = sizes[row], change
        symbol.rows, symbol.place, symbol.price = before + 1, at + 1, prices[row]
        symbol.volume += sizes[row]
        symbol.total += change
        symbol.squares += change * change
        volume, total, squares = symbol.volume, symbol.total, symbol.squares
        if before >= window and at + 1 < window:
            older = block[at + 1]
            volume, total = older.volume + volume, older.total + total
            squares = older.squares + squares
        changes = min(before, window)
        found[row].volume = volume / min(before + 1, window)
        found[row].volatility = 0.0
        if changes > 0:
            mean = total / changes
            found[row].volatility = np.sqrt(max(squares / changes - mean * mean, 0.0))


@compiled
def _close_block(symbol: Record, block: Rows) -> None:
    """Sum up a whole block from its back, and begin the next one."""
    volume = total = squares = 0.0
    for at in range(block.shape[0] - 1, -1, -1):
        change = block[at].change
        volume += block[at].size
        total += change
        squares += change * change
        block[at].volume, block[at].total, block[at].squares = volume, total, squares
    symbol.volume = symbol.total = symbol.squares = 0.0
