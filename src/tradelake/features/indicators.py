"""Indicators: TA-Lib in batch, its recurrences bar by bar online.

TA-Lib's seeds matter for agreement: RSI and ATR start from a plain average, and MACD starts both
exponential averages at the slow one's first bar. TA-Lib is loaded on first use.
"""

from __future__ import annotations

import math

import msgspec

from tradelake.features.feature import Feature
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.market.records import Bar

_ZERO = 1e-14
"""TA-Lib takes magnitudes below this for 0."""


class RsiState(msgspec.Struct, tag="rsi"):
    """Wilder's average gain and loss."""

    period: int
    last: float = math.nan
    changes: int = 0
    gain: float = 0.0
    loss: float = 0.0

    def update(self, bar: Bar) -> float:
        """RSI as a fraction in [0, 1]."""
        previous, self.last = self.last, bar.close
        if math.isnan(previous):
            return math.nan
        change = bar.close - previous
        self.changes += 1
        up, down = max(change, 0.0), max(-change, 0.0)
        if self.changes <= self.period:
            self.gain += up / self.period
            self.loss += down / self.period
        else:
            self.gain += (up - self.gain) / self.period
            self.loss += (down - self.loss) / self.period
        if self.changes < self.period:
            return math.nan
        total = self.gain + self.loss
        return self.gain / total if total > _ZERO else 0.0


def rsi(period: int) -> Feature:
    """Relative strength index (Wilder 1978) as a fraction in [0, 1].

    0 where prices have not moved.
    """

    def batch(bars: BarArrays) -> FloatArray:
        import talib

        values: FloatArray = talib.RSI(bars.close, period) / 100.0
        return values

    return Feature(
        f"rsi_{period}",
        period,
        batch,
        lambda: RsiState(period),
        f"relative strength index of {period} bars, 0 to 1",
    )


class MacdState(msgspec.Struct, tag="macd_histogram"):
    """The first closes, then three exponential averages."""

    fast: int
    slow: int
    signal: int
    closes: list[float] = []
    fast_mean: float = math.nan
    slow_mean: float = math.nan
    macds: list[float] = []
    signal_mean: float = math.nan

    def update(self, bar: Bar) -> float:
        """MACD less its signal line, over the close."""
        if math.isnan(self.slow_mean):
            self.closes.append(bar.close)
            if len(self.closes) < self.slow:
                return math.nan
            self.slow_mean = math.fsum(self.closes) / self.slow
            self.fast_mean = math.fsum(self.closes[-self.fast :]) / self.fast
            self.closes = []
        else:
            self.slow_mean += 2.0 / (self.slow + 1) * (bar.close - self.slow_mean)
            self.fast_mean += 2.0 / (self.fast + 1) * (bar.close - self.fast_mean)
        macd = self.fast_mean - self.slow_mean
        if math.isnan(self.signal_mean):
            self.macds.append(macd)
            if len(self.macds) < self.signal:
                return math.nan
            self.signal_mean = math.fsum(self.macds) / self.signal
            self.macds = []
        else:
            self.signal_mean += 2.0 / (self.signal + 1) * (macd - self.signal_mean)
        return (macd - self.signal_mean) / bar.close


def macd_histogram(fast: int, slow: int, signal: int) -> Feature:
    """MACD less its signal line (Appel), over the close."""

    def batch(bars: BarArrays) -> FloatArray:
        import talib

        values: FloatArray = talib.MACD(bars.close, fast, slow, signal)[2] / bars.close
        return values

    return Feature(
        f"macd_histogram_{fast}_{slow}_{signal}",
        slow + signal - 2,
        batch,
        lambda: MacdState(fast, slow, signal),
        "MACD less its signal line, as a fraction of the close",
    )


class AtrState(msgspec.Struct, tag="atr"):
    """Wilder's average true range."""

    period: int
    last: float = math.nan
    ranges: int = 0
    mean: float = 0.0

    def update(self, bar: Bar) -> float:
        """Average true range over the close."""
        previous, self.last = self.last, bar.close
        if math.isnan(previous):
            return math.nan
        true_range = max(bar.high - bar.low, abs(bar.high - previous), abs(bar.low - previous))
        self.ranges += 1
        if self.ranges <= self.period:
            self.mean += true_range / self.period
        else:
            self.mean += (true_range - self.mean) / self.period
        return self.mean / bar.close if self.ranges >= self.period else math.nan


def atr(period: int) -> Feature:
    """Average true range (Wilder 1978) over the close."""

    def batch(bars: BarArrays) -> FloatArray:
        import talib

        values: FloatArray = talib.ATR(bars.high, bars.low, bars.close, period) / bars.close
        return values

    return Feature(
        f"atr_{period}",
        period,
        batch,
        lambda: AtrState(period),
        f"average true range of {period} bars, as a fraction of the close",
    )
