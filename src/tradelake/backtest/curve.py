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
LATE: Final = 7
"""Sum of the changes of equity, each times the number of bars before it (:func:`mean`)."""
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


def mean(cells: FloatArray) -> float:
    """Return the mean equity of the bars so far, of which there is one at least.

    What changed at bar ``i`` was missing in the ``i`` bars before it: so the sum of ``n`` equities
    is ``n`` times the last one less :data:`LATE`, and a bar without a change needs no addition.
    """
    return float(cells[BEFORE] - cells[LATE] / cells[BARS])
