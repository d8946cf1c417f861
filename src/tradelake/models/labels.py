"""What a model learns to predict, with the interval of time each label looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradelake.errors import ConfigError
from tradelake.market.arrays import BarArrays, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """One label a bar.

    Attributes
    ----------
    values : FloatArray
        1.0 or 0.0; NaN where the future is not known yet.
    start_ns, end_ns : IntArray
        What a label looks at: from the bar's close (when a decision is taken) to the close that
        settles it. A row whose label is NaN has an empty interval.
    """

    values: FloatArray
    start_ns: IntArray
    end_ns: IntArray


def forward_sign(bars: BarArrays, horizon: int, threshold_bps: float = 0.0) -> Labels:
    """Return whether the close ``horizon`` bars on is higher by more than a threshold.

    Parameters
    ----------
    bars : BarArrays
        n bars.
    horizon : int
        Bars to look ahead, at least 1. The last ``horizon`` labels are NaN.
    threshold_bps : float
        Basis points a rise must exceed to count.

    Raises
    ------
    ConfigError
        ``horizon`` is less than 1.
    """
    if horizon < 1:
        raise ConfigError(f"label horizon: expected at least 1 bar; found {horizon}")
    values = np.full(len(bars), np.nan)
    known = max(len(bars) - horizon, 0)
    rise = bars.close[horizon:] / bars.close[:known] - 1.0
    values[:known] = rise > threshold_bps * 1e-4
    start = bars.close_ns
    end = start.copy()
    end[:known] = start[horizon:]
    return Labels(values, start, end)
