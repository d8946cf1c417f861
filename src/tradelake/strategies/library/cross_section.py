"""Strategies that compare symbols with one another."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.errors import ConfigError
from tradelake.features.rolling import rolling_mean
from tradelake.market.arrays import FloatArray, IntArray
from tradelake.strategies.api import Parameter
from tradelake.strategies.library.entry import LONGEST, Entry, Values
from tradelake.strategies.library.sides import previous
from tradelake.strategies.panel import Panel

_FLAT: Final = 1e-18
"""Variances of log prices below this are rounding."""


def _xs_momentum(panel: Panel, parameters: Values) -> FloatArray:
    lookback, every = int(parameters["lookback"]), int(parameters["every"])
    close = panel.carried(panel.close)
    earned = close / previous(close, lookback) - 1.0
    targets = np.zeros(close.shape)
    for row in range(0, len(panel), every):
        targets[row : row + every] = _ranked(earned[row], parameters)
    return targets


def _ranked(earned: FloatArray, parameters: Values) -> FloatArray:
    """Equal weights for the best, and where shorts are wanted against the worst, of one instant."""
    known = np.flatnonzero(~np.isnan(earned))
    order = known[np.argsort(-earned[known], kind="stable")]
    weights = np.zeros(earned.size)
    count = int(parameters["top"])
    if parameters["short"]:
        count = min(count, order.size // 2)
        weights[order[:count]] = 0.5 / count if count else 0.0
        weights[order[order.size - count :]] = -0.5 / count if count else 0.0
        return weights
    best = order[:count]
    if parameters["rising"]:
        best = best[earned[best] > 0.0]
    weights[best] = 1.0 / count
    return weights


def _pairs(panel: Panel, parameters: Values) -> FloatArray:
    if len(panel.symbols) != 2:
        raise ConfigError(f"strategy pairs: expected two symbols; found {list(panel.symbols)}")
    both = np.flatnonzero(panel.present.all(axis=1))
    logs = np.log(panel.close[both])
    ratio, score = _spread(logs[:, 0], logs[:, 1], int(parameters["window"]))
    sides = _sides(score, float(parameters["entry"]), float(parameters["exit"]))
    entered = _entered(sides)
    slope = ratio[entered]  # the hedge of the entry holds until the exit
    known = np.nan_to_num(slope)
    first = np.where(sides != 0, sides / (1.0 + np.abs(known)), 0.0)
    targets = np.column_stack((first, -first * known))
    if not parameters["short"]:
        targets = np.maximum(targets, 0.0)
    before = np.searchsorted(both, np.arange(len(panel)), side="right")
    return np.concatenate((np.zeros((1, 2)), targets))[before]


def _spread(left: FloatArray, right: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Rolling least squares of one log price on the other: slopes, and residuals' scores."""
    mean_left, mean_right = rolling_mean(left, window), rolling_mean(right, window)
    a, b = left - left[:1], right - right[:1]  # near 0, so that little cancels
    mean_a, mean_b = rolling_mean(a, window), rolling_mean(b, window)
    covariance = rolling_mean(a * b, window) - mean_a * mean_b
    variance = rolling_mean(b * b, window) - mean_b**2
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(variance > _FLAT, covariance / variance, np.nan)
        rest = rolling_mean(a * a, window) - mean_a**2 - slope * covariance
        residual = left - mean_left - slope * (right - mean_right)
        score = np.where(rest > _FLAT, residual / np.sqrt(np.maximum(rest, _FLAT)), np.nan)
    return slope, score


def _sides(score: FloatArray, entry: float, leave: float) -> IntArray:
    """-1 from a score above ``entry``, 1 from one below its negative, 0 from within ``leave``."""
    sides = np.zeros(score.size, np.int64)
    far = np.abs(score) >= entry
    inside = (np.abs(score) <= leave) | (np.sign(score) != np.sign(previous(score)))
    side, start = 0, 0
    for row in np.flatnonzero(far | inside).tolist():
        sides[start:row] = side
        start = row
        side = (-1 if score[row] > 0.0 else 1) if far[row] else 0
    sides[start:] = side
    return sides


def _entered(sides: IntArray) -> IntArray:
    """Row at which each row's side began."""
    rows = np.arange(sides.size)
    began = np.concatenate(([True], sides[1:] != sides[:-1]))[: sides.size]
    entered: IntArray = np.maximum.accumulate(np.where(began, rows, 0))
    return entered


ENTRIES: Final = (
    Entry(
        "xs_momentum",
        "long the symbols that rose most over the lookback, in equal parts",
        (
            Parameter("lookback", int, 240, 1, LONGEST, "instants of the return that ranks"),
            Parameter("every", int, 60, 1, LONGEST, "instants between rankings"),
            Parameter("top", int, 2, 1, 100, "symbols held"),
            Parameter("rising", bool, True, None, None, "hold only those that rose at all"),
            Parameter("short", bool, False, None, None, "half long the best, half short the worst"),
        ),
        panel_rule=_xs_momentum,
        assumes=(
            "Winners of the lookback go on winning against losers (Jegadeesh, Titman 1993). "
            "Instants at which any symbol has a bar count; one without keeps its last close."
        ),
    ),
    Entry(
        "pairs",
        "trades the spread of two symbols back to its mean",
        (
            Parameter("window", int, 240, 3, LONGEST, "bars of hedge ratio, mean and deviation"),
            Parameter("entry", float, 2.0, 0.1, 20.0, "deviations at which it enters"),
            Parameter("exit", float, 0.5, 0.0, 20.0, "deviations at which it leaves"),
            Parameter("short", bool, False, None, None, "short the dear leg; else the cheap alone"),
        ),
        ascending=("exit", "entry"),
        panel_rule=_pairs,
        assumes=(
            "The residual of the first symbol's log price on the second's reverts (Gatev, "
            "Goetzmann, Rouwenhorst 2006; hedge ratio by rolling least squares). It leaves too "
            "when the score changes its sign. Without shorts it is no hedge: half a pair."
        ),
    ),
)
