"""Returns, realised volatility, volume and position in the range.

Exact sums over a bounded window in both forms.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from tradelake.features.feature import Feature
from tradelake.features.rolling import (
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_reduce,
    rolling_std,
)
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.market.records import Bar
from tradelake.market.timeframes import timeframe_ns

DAY_NS = 86_400 * 1_000_000_000


def _push(window: list[float], value: float, size: int) -> bool:
    """Append, keep the last ``size``, and say whether there are so many."""
    window.append(value)
    if len(window) > size:
        del window[0]
    return len(window) == size


def _log_returns(close: FloatArray, lag: int) -> FloatArray:
    result = np.full(close.shape, np.nan)
    result[lag:] = np.log(close[lag:] / close[:-lag])
    return result


class LogReturnState(msgspec.Struct, tag="log_return"):
    """Closes of the last ``lag + 1`` bars."""

    lag: int
    closes: list[float] = []

    def update(self, bar: Bar) -> float:
        """Log of the close over the close ``lag`` bars ago."""
        full = _push(self.closes, bar.close, self.lag + 1)
        return math.log(bar.close / self.closes[0]) if full else math.nan


def log_return(lag: int) -> Feature:
    """Log return over ``lag`` bars (bars, not minutes: a missing bar is not counted)."""
    return Feature(
        f"log_return_{lag}",
        lag,
        lambda bars: _log_returns(bars.close, lag),
        lambda: LogReturnState(lag),
        f"log of close over the close {lag} bars ago",
    )


class RealisedVolatilityState(msgspec.Struct, tag="realised_volatility"):
    """Squares of the last log returns."""

    window: int
    last: float = math.nan
    squares: list[float] = []

    def update(self, bar: Bar) -> float:
        """Root mean square of the last log returns."""
        previous, self.last = self.last, bar.close
        if math.isnan(previous):
            return math.nan
        full = _push(self.squares, math.log(bar.close / previous) ** 2, self.window)
        return math.sqrt(math.fsum(self.squares) / self.window) if full else math.nan


def realised_volatility(window: int) -> Feature:
    """Root mean square of one-bar log returns over ``window`` returns, per bar, not annualised.

    The mean is not taken off: over short windows it is noise (Andersen et al. 2003, Econometrica
    71(2), eq. 5).
    """

    def batch(bars: BarArrays) -> FloatArray:
        squares = _log_returns(bars.close, 1)[1:] ** 2
        mean = rolling_reduce(squares, window, lambda rows: rows.mean(axis=1))
        return np.concatenate(([np.nan], np.sqrt(mean)))

    return Feature(
        f"realised_volatility_{window}",
        window,
        batch,
        lambda: RealisedVolatilityState(window),
        f"root mean square of the last {window} one-bar log returns",
    )


class SmaRatioState(msgspec.Struct, tag="sma_ratio"):
    """Closes of the slow window."""

    fast: int
    slow: int
    closes: list[float] = []

    def update(self, bar: Bar) -> float:
        """Fast average over slow average, less 1."""
        if not _push(self.closes, bar.close, self.slow):
            return math.nan
        fast = math.fsum(self.closes[-self.fast :]) / self.fast
        return fast / (math.fsum(self.closes) / self.slow) - 1.0


def sma_ratio(fast: int, slow: int) -> Feature:
    """Simple average of ``fast`` closes over that of ``slow`` closes, less 1."""
    return Feature(
        f"sma_ratio_{fast}_{slow}",
        slow - 1,
        lambda bars: rolling_mean(bars.close, fast) / rolling_mean(bars.close, slow) - 1.0,
        lambda: SmaRatioState(fast, slow),
        f"average of {fast} closes over average of {slow}, less 1",
    )


class VolumeZscoreState(msgspec.Struct, tag="volume_zscore"):
    """Volumes of the window."""

    window: int
    volumes: list[float] = []

    def update(self, bar: Bar) -> float:
        """Deviations of this bar's volume from the window's mean."""
        if not _push(self.volumes, bar.volume, self.window):
            return math.nan
        if max(self.volumes) == min(self.volumes):
            return 0.0
        mean = math.fsum(self.volumes) / self.window
        variance = math.fsum((volume - mean) ** 2 for volume in self.volumes) / self.window
        return (bar.volume - mean) / math.sqrt(variance) if variance > 0.0 else 0.0


def volume_zscore(window: int) -> Feature:
    """Volume less its mean over ``window`` bars, this one included, in population deviations.

    0 where all are equal.
    """

    def batch(bars: BarArrays) -> FloatArray:
        mean = rolling_reduce(bars.volume, window, lambda rows: rows.mean(axis=1))
        deviation = rolling_std(bars.volume, window)
        flat = deviation == 0.0
        return np.where(flat, 0.0, (bars.volume - mean) / np.where(flat, 1.0, deviation))

    return Feature(
        f"volume_zscore_{window}",
        window - 1,
        batch,
        lambda: VolumeZscoreState(window),
        f"volume in standard deviations from its mean over {window} bars",
    )


class RangePositionState(msgspec.Struct, tag="range_position"):
    """Highs and lows of the window."""

    window: int
    highs: list[float] = []
    lows: list[float] = []

    def update(self, bar: Bar) -> float:
        """Where the close lies between the window's low and high."""
        _push(self.highs, bar.high, self.window)
        if not _push(self.lows, bar.low, self.window):
            return math.nan
        low, high = min(self.lows), max(self.highs)
        return (bar.close - low) / (high - low) if high > low else 0.5


def range_position(window: int) -> Feature:
    """Close between the lowest low (0) and the highest high (1) of ``window`` bars.

    0.5 where they are equal.
    """

    def batch(bars: BarArrays) -> FloatArray:
        low, high = rolling_min(bars.low, window), rolling_max(bars.high, window)
        flat = high <= low
        return np.where(flat, 0.5, (bars.close - low) / np.where(flat, 1.0, high - low))

    return Feature(
        f"range_position_{window}",
        window - 1,
        batch,
        lambda: RangePositionState(window),
        f"close between the low and the high of {window} bars",
    )


class TimeOfDayState(msgspec.Struct, tag="time_of_day"):
    """No memory."""

    phase: float

    def update(self, bar: Bar) -> float:
        """Sine of the time of day at the bar's close."""
        elapsed = (bar.ts_event + timeframe_ns(bar.timeframe)) % DAY_NS
        return math.sin(2.0 * math.pi * (elapsed / DAY_NS) + self.phase)


def _time_of_day(name: str, phase: float) -> Feature:
    def batch(bars: BarArrays) -> FloatArray:
        return np.sin(2.0 * np.pi * ((bars.close_ns % DAY_NS) / DAY_NS) + phase)

    return Feature(
        name, 0, batch, lambda: TimeOfDayState(phase), "time of day (UTC) of the bar's close"
    )


def time_of_day() -> tuple[Feature, Feature]:
    """Sine and cosine of the time of day (UTC) at the bar's close."""
    return _time_of_day("time_of_day_sin", 0.0), _time_of_day("time_of_day_cos", math.pi / 2.0)
