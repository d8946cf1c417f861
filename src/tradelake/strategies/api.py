"""What a strategy is.

Named, parametrised with declared ranges, and a map from bars to target positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, runtime_checkable

from tradelake.errors import ConfigError
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.panel import Panel

Value: TypeAlias = bool | int | float | str
"""What a parameter may be."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared parameter.

    Parameters
    ----------
    name : str
        As spelt in parameter files and trial records.
    type : type
        ``int``, ``float``, ``bool`` or ``str``. A whole number is taken for a float, a float with
        a fraction never for an int, a bool for neither.
    default : bool, int, float or str
        Used where nothing is given.
    low, high : int, float or None
        Inclusive range of a number; None for the others.
    doc : str
        Meaning with unit.
    choices : tuple of str
        What a ``str`` may be.
    """

    name: str
    type: type[int] | type[float] | type[bool] | type[str]
    default: Value
    low: int | float | None
    high: int | float | None
    doc: str
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """What it may be, in words."""
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return ", ".join(self.choices)
        return f"{self.low} to {self.high}"

    def check(self, strategy: str, value: object) -> Value:
        """Return ``value`` as ``type``.

        Raises
        ------
        ConfigError
            Wrong type, not finite, out of range or no choice; names strategy, parameter, value and
            what was expected.
        """
        if self.type is bool:
            if isinstance(value, bool):
                return value
        elif self.type is str:
            if isinstance(value, str) and value in self.choices:
                return value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            whole = self.type is float or (math.isfinite(value) and value == int(value))
            if whole and math.isfinite(value) and self._inside(value):
                return self.type(value)
        raise ConfigError(
            f"strategy {strategy}: parameter {self.name}: expected {self._expected()}; "
            f"found {value!r}"
        )

    def parse(self, strategy: str, text: str) -> Value:
        """Return what ``text`` says, for instance of a command line, as :meth:`check` does.

        >>> Parameter("fast", int, 20, 1, 100, "bars").parse("sma_cross", "5")
        5
        """
        if self.type is bool:
            return self.check(strategy, {"true": True, "false": False}.get(text.lower(), text))
        if self.type is str:
            return self.check(strategy, text)
        try:
            return self.check(strategy, float(text))
        except ValueError:
            return self.check(strategy, text)

    def _inside(self, value: int | float) -> bool:
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)

    def _expected(self) -> str:
        if self.type is bool:
            return "a bool"
        if self.type is str:
            return f"one of {', '.join(self.choices)}"
        return f"a {self.type.__name__} in [{self.low}, {self.high}]"


@runtime_checkable
class Strategy(Protocol):
    """Turns bars into target positions.

    ``signals`` gives one target for each bar, decided at the bar's close from that bar and earlier
    ones alone: a fraction of equity in [-1, 1]. Repeating a target keeps the position as it is.
    NaN stands for "no position yet" and is allowed before the first number only.
    """

    @property
    def name(self) -> str:
        """Name in the library and in trial records."""
        ...

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Every parameter with the value in force."""
        ...

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,)."""
        ...


@runtime_checkable
class PanelStrategy(Protocol):
    """Turns the bars of several symbols into target positions: cross-sections, pairs, portfolios.

    ``signals_of`` gives one target for each instant and symbol, decided from that instant's bars
    and earlier ones alone: a signed fraction of the whole account's equity in [-1, 1]. What it says
    of a symbol that has no bar at an instant is not read. NaN stands for "no position yet" and is
    allowed before a symbol's first number only.
    """

    @property
    def name(self) -> str:
        """Name in the library and in trial records."""
        ...

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Every parameter with the value in force."""
        ...

    def signals_of(self, panel: Panel) -> FloatArray:
        """Targets, shape (n, k): instants by symbols."""
        ...


@runtime_checkable
class Trained(Protocol):
    """A strategy that learned from data; it must not be judged on bars before their end."""

    @property
    def train_end_ns(self) -> int:
        """End of the last label it was trained on, ns since 1970 UTC."""
        ...


NEVER_TRAINED: Final = -(2**63)
"""End of the training of what was not trained, ns since 1970 UTC."""


def trained_until(*parts: object) -> int:
    """Return the end of the last training of some parts, :data:`NEVER_TRAINED` without any."""
    return max(
        (part.train_end_ns for part in parts if isinstance(part, Trained)), default=NEVER_TRAINED
    )


class Model(Protocol):
    """Something trained on the features of a feature set."""

    @property
    def feature_set(self) -> str:
        """Name of the feature set it expects."""
        ...

    @property
    def train_end_ns(self) -> int:
        """End of the last label it was trained on, ns since 1970 UTC."""
        ...


@runtime_checkable
class Predictor(Model, Protocol):
    """A trained classifier."""

    def predict_proba(self, features: FloatArray) -> FloatArray:
        """Probability that the label is 1, shape (n,), of features of shape (n, k)."""
        ...


@runtime_checkable
class Regressor(Model, Protocol):
    """A trained regressor of returns."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Expected return over the label's horizon, fractions of shape (n,), of (n, k) features."""
        ...


def resolve(
    strategy: str, declared: Sequence[Parameter], given: Mapping[str, object]
) -> dict[str, Value]:
    """Return every declared parameter with its given or default value.

    Raises
    ------
    ConfigError
        An unknown name, or a value its declaration refuses.
    """
    unknown = sorted(set(given) - {parameter.name for parameter in declared})
    if unknown:
        known = ", ".join(parameter.name for parameter in declared) or "none"
        raise ConfigError(
            f"strategy {strategy}: unknown parameter {unknown[0]} = {given[unknown[0]]!r}; "
            f"expected one of: {known}"
        )
    return {
        parameter.name: parameter.check(strategy, given.get(parameter.name, parameter.default))
        for parameter in declared
    }
