"""Rolling statistics over trailing windows.

Row i sees rows i - window + 1 to i, and NaN before there are enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tradelake.market.arrays import FloatArray

_CHUNK_CELLS = 1 << 18
"""Cells of windows looked at together.

Keeps the temporaries in the cache instead of n x window long.
"""


def rolling_mean(values: FloatArray, window: int) -> FloatArray:
    """Mean of each window, from differences of one running sum.

    O(n); the error is about 1e-16 x n of the values' range. The running sum starts at the first
    value, so constant input is exact.
    """
    result = np.full(values.shape, np.nan)
    if values.size < window:
        return result
    origin = values[0]
    total = values - origin
    np.cumsum(total, out=total)
    result[window - 1 :] = total[window - 1 :]
    result[window:] -= total[:-window]
    result /= window
    result += origin
    return result


def rolling_reduce(
    values: FloatArray, window: int, reduce: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Apply ``reduce`` (shape (m, window) to (m,)) to every window.

    No running sums, so nothing cancels.
    """
    result = np.full(values.shape, np.nan)
    if values.size < window:
        return result
    windows = sliding_window_view(values, window)
    rows = max(1, _CHUNK_CELLS // window)
    for first in range(0, windows.shape[0], rows):
        part = reduce(windows[first : first + rows])
        result[first + window - 1 : first + window - 1 + part.shape[0]] = part
    return result


def rolling_max(values: FloatArray, window: int) -> FloatArray:
    """Largest value of each window, O(n log window)."""
    return _extreme(values, window, np.maximum)


def rolling_min(values: FloatArray, window: int) -> FloatArray:
    """Smallest value of each window, O(n log window)."""
    return _extreme(values, window, np.minimum)


def rolling_std(values: FloatArray, window: int) -> FloatArray:
    """Population standard deviation of each window, two-pass.

    Exactly 0 where the window is flat.
    """
    spread = rolling_max(values, window) - rolling_min(values, window)
    return np.where(
        spread == 0.0, 0.0, rolling_reduce(values, window, lambda rows: rows.std(axis=1))
    )


def _extreme(values: FloatArray, window: int, pick: np.ufunc) -> FloatArray:
    """Doubling: the extreme of 2w values is the extreme of two neighbouring extremes of w."""
    result = np.full(values.shape, np.nan)
    if values.size < window:
        return result
    covered, reach = values, 1
    while reach * 2 <= window:
        covered = pick(covered[reach:], covered[:-reach])
        reach *= 2
    rest = window - reach
    if rest:
        covered = pick(covered[rest:], covered[:-rest])
    result[window - 1 :] = covered
    return result
