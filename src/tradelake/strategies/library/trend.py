"""Strategies that go with what prices have done."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.features.indicators import macd_histogram
from tradelake.features.rolling import rolling_max, rolling_mean, rolling_min, rolling_std
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import Parameter
from tradelake.strategies.library.entry import LONGEST, Entry, Values
from tradelake.strategies.library.sides import TIE, crossed, held, previous
from tradelake.strategies.named import column_of

_BELOW: Final = Parameter("below", float, 0.0, -1.0, 0.0, "target after a cross below")


def _buy_and_hold(bars: BarArrays, parameters: Values) -> FloatArray:
    return np.full(len(bars), float(parameters["fraction"]))


def _sma_cross(bars: BarArrays, parameters: Values) -> FloatArray:
    difference = rolling_mean(bars.close, int(parameters["fast"]))
    slow = rolling_mean(bars.close, int(parameters["slow"]))
    difference -= slow
    slow *= TIE
    return crossed(difference > slow, difference < -slow, float(parameters["below"]))


def _donchian(bars: BarArrays, parameters: Values) -> FloatArray:
    ceiling = previous(rolling_max(bars.high, int(parameters["entry"])))
    floor = previous(rolling_min(bars.low, int(parameters["exit"])))
    return held(bars.close > ceiling, bars.close < floor)


def _macd(bars: BarArrays, parameters: Values) -> FloatArray:
    fast, slow, signal = (int(parameters[name]) for name in ("fast", "slow", "signal"))
    histogram = column_of(bars, macd_histogram(fast, slow, signal))  # as a fraction of the close
    return crossed(histogram > TIE, histogram < -TIE, float(parameters["below"]))


def _ts_momentum(bars: BarArrays, parameters: Values) -> FloatArray:
    lookback, window = int(parameters["lookback"]), int(parameters["volatility_window"])
    earned = bars.close / previous(bars.close, lookback) - 1.0
    side = np.sign(np.where(np.abs(earned) < TIE, 0.0, earned))
    size = np.ones(len(bars))
    wanted = float(parameters["volatility"])
    if wanted > 0.0:
        moves = np.log(bars.close[1:] / bars.close[:-1])
        deviation = np.concatenate((np.full(min(1, len(bars)), np.nan), rolling_std(moves, window)))
        size = np.minimum(1.0, wanted / np.maximum(deviation, wanted))
    target = np.where(side < 0.0, float(parameters["below"]), side) * size
    return _steady(np.nan_to_num(target), int(parameters["every"]))


def _steady(targets: FloatArray, every: int) -> FloatArray:
    """Take each ``every``-th target, counted from the first bar, and keep it in between."""
    rows = np.arange(targets.size) // every * every
    return targets[rows]


ENTRIES: Final = (
    Entry(
        "buy_and_hold",
        "buys at the second bar's open and stays",
        (Parameter("fraction", float, 1.0, 0.0, 1.0, "of equity"),),
        _buy_and_hold,
        assumes="nothing; it is the measure of all the others.",
    ),
    Entry(
        "sma_cross",
        "long from where the fast average crosses above the slow until it crosses below",
        (
            Parameter("fast", int, 20, 1, LONGEST, "bars of the fast average"),
            Parameter("slow", int, 100, 2, LONGEST, "bars of the slow average"),
            _BELOW,
        ),
        _sma_cross,
        ascending=("fast", "slow"),
        assumes="Trends outlast the slow window; sideways markets cost a round trip a cross.",
    ),
    Entry(
        "donchian",
        "long when the close exceeds the earlier bars' high, flat when below their low",
        (
            Parameter("entry", int, 20, 1, LONGEST, "earlier bars whose high counts"),
            Parameter("exit", int, 10, 1, LONGEST, "earlier bars whose low counts"),
        ),
        _donchian,
        assumes="A new extreme is followed by more of the same.",
    ),
    Entry(
        "macd",
        "long from where MACD crosses above its signal line until it crosses below",
        (
            Parameter("fast", int, 12, 2, LONGEST, "bars of the fast exponential average"),
            Parameter("slow", int, 26, 3, LONGEST, "bars of the slow exponential average"),
            Parameter("signal", int, 9, 1, LONGEST, "bars of the signal line"),
            _BELOW,
        ),
        _macd,
        ascending=("fast", "slow"),
        assumes="A trend that gathers pace goes on (Appel 2005); averages start as TA-Lib's do.",
    ),
    Entry(
        "ts_momentum",
        "long after a rise over the lookback, scaled to a volatility",
        (
            Parameter("lookback", int, 240, 1, LONGEST, "bars of the return that decides"),
            Parameter("every", int, 60, 1, LONGEST, "bars between decisions"),
            Parameter("volatility", float, 0.0, 0.0, 1.0, "wanted, a bar; 0: whole position"),
            Parameter("volatility_window", int, 240, 2, LONGEST, "bars of the volatility"),
            Parameter("below", float, 0.0, -1.0, 0.0, "target after a fall"),
        ),
        _ts_momentum,
        assumes=(
            "Returns over the lookback have the sign of those to come (Moskowitz, Ooi, Pedersen "
            "2012, eq. 5); decisions are counted from the first bar."
        ),
    ),
)
