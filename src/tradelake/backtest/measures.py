"""Compiled sums of an equity curve that need the curve only once, and never twice.

:func:`follow` reads a curve that exists; :func:`hold` makes the values it reads from an account
that does not trade for some bars. Both take the same steps in the same order, so a sweep that keeps
no curve has the very numbers of a run that does. A value equal to the one before adds nothing to
any sum, so bars without a position cost nothing.
"""

from __future__ import annotations

from tradelake.backtest.curve import (
    BARS,
    BEFORE,
    BELOW,
    HELD,
    LATE,
    LOWEST,
    PEAK,
    SQUARES,
    TOTAL,
    WORST,
)
from tradelake.execution.compiled import compiled
from tradelake.market.arrays import FloatArray


@compiled
def hold(
    cells: FloatArray,
    close: FloatArray,
    first: int,
    last: int,
    cash: float,
    held: float,
    equity: FloatArray,
) -> None:
    """Add bars ``first`` to ``last - 1`` of an account worth ``cash + held * close``.

    The curve is written to ``equity``, of as many rows as ``close``, or of none.
    """
    kept = equity.shape[0] > 0
    before, total, squares, below = cells[BEFORE], cells[TOTAL], cells[SQUARES], cells[BELOW]
    peak, lowest, late, bar = cells[PEAK], cells[LOWEST], cells[LATE], cells[BARS]
    moves = last if held != 0.0 else min(first + 1, last)
    for row in range(first, moves):
        value = cash + held * close[row]
        if kept:
            equity[row] = value
        change = value - before
        gain = change / before
        loss = min(gain, 0.0)
        total += gain
        squares += gain * gain
        below += loss * loss
        late += bar * change
        bar += 1.0
        if value > peak:
            cells[WORST] = min(cells[WORST], lowest / peak)
            peak = lowest = value
        lowest = min(lowest, value)
        before = value
    if kept:
        for row in range(moves, last):
            equity[row] = before
    cells[BEFORE], cells[TOTAL], cells[SQUARES], cells[BELOW] = before, total, squares, below
    cells[PEAK], cells[LOWEST], cells[LATE] = peak, lowest, late
    cells[BARS] += last - first
    if held != 0.0:
        cells[HELD] += last - first


@compiled
def follow(cells: FloatArray, equity: FloatArray) -> None:
    """Add the bars of a curve."""
    hold(cells, equity, 0, equity.shape[0], 0.0, 1.0, equity[:0])


@compiled
def moments(returns: FloatArray) -> tuple[float, float, float]:
    """Sums of returns, of their squares and of the squares of those below 0."""
    total = squares = below = 0.0
    for gain in returns:
        loss = min(gain, 0.0)
        total += gain
        squares += gain * gain
        below += loss * loss
    return total, squares, below
