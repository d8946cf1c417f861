"""Strategies that go against what prices have done."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.features.indicators import rsi
from tradelake.features.rolling import rolling_mean, rolling_std
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import Parameter
from tradelake.strategies.library.entry import LONGEST, Entry, Values
from tradelake.strategies.library.sides import TIE, held
from tradelake.strategies.named import column_of


def _bollinger_reversion(bars: BarArrays, parameters: Values) -> FloatArray:
    window = int(parameters["window"])
    mean = rolling_mean(bars.close, window) * (1.0 - TIE)
    band = float(parameters["width"]) * rolling_std(bars.close, window)
    return held(bars.close < mean - band, bars.close >= mean)


def _rsi(bars: BarArrays, parameters: Values) -> FloatArray:
    strength = 100.0 * column_of(bars, rsi(int(parameters["period"])))
    moved = np.logical_or.accumulate(bars.close != bars.close[:1])  # an index of 0 says either
    low, high = float(parameters["low"]), float(parameters["high"])
    return held(moved & (strength < low), strength > high)


ENTRIES: Final = (
    Entry(
        "bollinger_reversion",
        "long when the close falls out of the lower band, flat when it is back at the mean",
        (
            Parameter("window", int, 20, 2, LONGEST, "bars of mean and deviation"),
            Parameter("width", float, 2.0, 0.1, 10.0, "standard deviations to the band"),
        ),
        _bollinger_reversion,
        assumes="Moves away from the mean are noise; there is no stop.",
    ),
    Entry(
        "rsi",
        "long when the relative strength index falls below a level, flat above another",
        (
            Parameter("period", int, 14, 2, LONGEST, "bars of Wilder's averages"),
            Parameter("low", float, 30.0, 0.0, 100.0, "index below which it goes long"),
            Parameter("high", float, 70.0, 0.0, 100.0, "index above which it leaves"),
        ),
        _rsi,
        ascending=("low", "high"),
        assumes="What has fallen fast rebounds (Wilder 1978); there is no stop.",
    ),
)
