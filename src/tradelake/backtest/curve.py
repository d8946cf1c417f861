"""The cells with the sums of an equity curve, made by ``measures`` and read by ``metrics``.

An array and not an object because compiled code writes it; here and not there because reading it
needs no compiler.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.market.arrays import FloatArray

BEFORE: Final = 0
"""Equity at the last bar."""
TOTAL: Final = 1
"""Sum of returns."""
SQUARES: Final = 2
"""Sum of their squares."""
BELOW: Final = 3
"""Sum of the squares of those below 0."""
PEAK: Final = 4
LOWEST: Final = 5
"""Lowest equity since the peak."""
WORST: Final = 6
"""Lowest equity over its peak, of the peaks before this one."""
MONEY: Final = 7
"""Sum of equities."""
BARS: Final = 8
HELD: Final = 9
"""Bars with a position."""
CELLS: Final = 10


def start(cash: float) -> FloatArray:
    """Return the cells of a curve that starts at ``cash`` and has no bar yet."""
    cells = np.zeros(CELLS)
    cells[[BEFORE, PEAK, LOWEST]] = cash
    cells[WORST] = 1.0
    return cells
