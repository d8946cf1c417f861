"""The strategies that come with the package, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.errors import ConfigError
from tradelake.features.rolling import rolling_max, rolling_mean, rolling_min, rolling_std
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies import classifier
from tradelake.strategies.api import Parameter, Predictor, Strategy, Value, resolve

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Rule: TypeAlias = Callable[[BarArrays, Mapping[str, Value]], FloatArray]

TIE: Final = 1e-9
"""Averages closer than this fraction of the price are equal.

Rounding of flat prices must not look like a cross.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy of the library: how to build it and what it can be told.

    Parameters
    ----------
    name : str
        Name in the library.
    doc : str
        What it does, one line.
    parameters : tuple of Parameter
        What it can be told.
    rule : callable, optional
        Targets of bars under parameters; None where a predictor decides.
    ascending : tuple of str
        Parameters each of which must be less than the next.
    """

    name: str
    doc: str
    parameters: tuple[Parameter, ...] = ()
    rule: Rule | None = None
    ascending: tuple[str, ...] = ()

    def check(self, given: Mapping[str, object]) -> Mapping[str, Value]:
        """Return all parameters, defaults filled in.

        Raises
        ------
        ConfigError
            Unknown name, value out of range, or values out of order.
        """
        values = resolve(self.name, self.parameters, given)
        for lower, upper in zip(self.ascending, self.ascending[1:], strict=False):
            if not float(values[lower]) < float(values[upper]):
                raise ConfigError(
                    f"strategy {self.name}: parameter {lower}: expected less than {upper} = "
                    f"{values[upper]}; found {values[lower]}"
                )
        return MappingProxyType(values)


@dataclass(frozen=True, slots=True)
class RuleStrategy:
    """A strategy whose targets are a function of bars and parameters."""

    name: str
    parameters: Mapping[str, Value]
    rule: Rule

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,)."""
        return self.rule(bars, self.parameters)


def _turns(up: BoolArray, down: BoolArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int8]]:
    """Bars at which the side changes, and the side (1 up, -1 down) from there on.

    A bar that is neither keeps the side before it. Only the few bars that change are touched, which
    is what makes this several times quicker than carrying values forward.
    """
    side = up.astype(np.int8) - down.astype(np.int8)
    points = np.flatnonzero(np.concatenate(([True], side[1:] != side[:-1]))[: side.size])
    points = points[side[points] != 0]
    sides = side[points]
    kept = np.concatenate(([True], sides[1:] != sides[:-1]))[: sides.size]
    return points[kept], sides[kept]


def _staircase(size: int, points: npt.NDArray[np.intp], targets: FloatArray) -> FloatArray:
    """Flat, then each target from its point on."""
    lengths = np.diff(np.concatenate(([0], points, [size])))
    return np.repeat(np.concatenate(([0.0], targets)), lengths)


def _long_or_flat(enter: BoolArray, leave: BoolArray) -> FloatArray:
    """1 from a bar that enters until one that leaves."""
    points, sides = _turns(enter, leave)
    return _staircase(enter.size, points, (sides > 0).astype(np.float64))


def _previous(values: FloatArray) -> FloatArray:
    return np.concatenate(([np.nan], values[:-1]))[: values.size]


def _buy_and_hold(bars: BarArrays, parameters: Mapping[str, Value]) -> FloatArray:
    return np.full(len(bars), float(parameters["fraction"]))


def _sma_cross(bars: BarArrays, parameters: Mapping[str, Value]) -> FloatArray:
    difference = rolling_mean(bars.close, int(parameters["fast"]))
    slow = rolling_mean(bars.close, int(parameters["slow"]))
    difference -= slow
    slow *= TIE
    points, sides = _turns(difference > slow, difference < -slow)
    crosses = slice(1, None)  # the first side is where the averages start, not a cross
    targets = np.where(sides[crosses] > 0, 1.0, float(parameters["below"]))
    return _staircase(len(bars), points[crosses], targets)


def _donchian(bars: BarArrays, parameters: Mapping[str, Value]) -> FloatArray:
    ceiling = _previous(rolling_max(bars.high, int(parameters["entry"])))
    floor = _previous(rolling_min(bars.low, int(parameters["exit"])))
    return _long_or_flat(bars.close > ceiling, bars.close < floor)


def _bollinger_reversion(bars: BarArrays, parameters: Mapping[str, Value]) -> FloatArray:
    window = int(parameters["window"])
    mean = rolling_mean(bars.close, window) * (1.0 - TIE)
    band = float(parameters["width"]) * rolling_std(bars.close, window)
    return _long_or_flat(bars.close < mean - band, bars.close >= mean)


_WINDOW_HIGH: Final = 100_000

STRATEGIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                "buy_and_hold",
                "buys at the second bar's open and stays",
                (Parameter("fraction", float, 1.0, 0.0, 1.0, "of equity"),),
                _buy_and_hold,
            ),
            Entry(
                "sma_cross",
                "long from where the fast average crosses above the slow until it crosses below",
                (
                    Parameter("fast", int, 20, 1, _WINDOW_HIGH, "bars of the fast average"),
                    Parameter("slow", int, 100, 2, _WINDOW_HIGH, "bars of the slow average"),
                    Parameter("below", float, 0.0, -1.0, 0.0, "target after a cross below"),
                ),
                _sma_cross,
                ascending=("fast", "slow"),
            ),
            Entry(
                "donchian",
                "long when the close exceeds the earlier bars' high, flat when below their low",
                (
                    Parameter("entry", int, 20, 1, _WINDOW_HIGH, "earlier bars whose high counts"),
                    Parameter("exit", int, 10, 1, _WINDOW_HIGH, "earlier bars whose low counts"),
                ),
                _donchian,
            ),
            Entry(
                "bollinger_reversion",
                "long when the close falls out of the lower band, flat when it is back at the mean",
                (
                    Parameter("window", int, 20, 2, _WINDOW_HIGH, "bars of mean and deviation"),
                    Parameter("width", float, 2.0, 0.1, 10.0, "standard deviations to the band"),
                ),
                _bollinger_reversion,
            ),
            Entry(classifier.NAME, classifier.DOC, classifier.PARAMETERS),
        )
    }
)
"""Every strategy by name."""


def make(name: str, params: Mapping[str, object], predictor: Predictor | None = None) -> Strategy:
    """Return a strategy of the library.

    Parameters
    ----------
    name : str
        Key of :data:`STRATEGIES`.
    params : mapping
        Values by parameter name; what is absent takes its default.
    predictor : Predictor, optional
        The model of ``ml_classifier``.

    Raises
    ------
    ConfigError
        Unknown strategy or parameter, bad value, or a predictor absent or not wanted.
    """
    entry = STRATEGIES.get(name)
    if entry is None:
        raise ConfigError(f"strategy: expected one of {', '.join(STRATEGIES)}; found {name!r}")
    values = entry.check(params)
    if (predictor is None) != (entry.rule is not None):
        wants = "takes no model" if entry.rule is not None else "needs a model"
        found = "none" if predictor is None else type(predictor).__name__
        raise ConfigError(f"strategy {name}: {wants}; found {found}")
    if entry.rule is not None:
        return RuleStrategy(name, values, entry.rule)
    assert predictor is not None
    return classifier.ClassifierStrategy(name, values, predictor)
