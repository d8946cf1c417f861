"""What a strategy is.

Named, parametrised with declared ranges, and a map from bars to target positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from tradelake.errors import ConfigError
from tradelake.market.arrays import BarArrays, FloatArray

Value: TypeAlias = int | float


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared parameter.

    Parameters
    ----------
    name : str
        As spelt in parameter files and trial records.
    type : type
        ``int`` or ``float``. A whole number is taken for a float, a float with a fraction never
        for an int.
    default : int or float
        Used where nothing is given.
    low, high : int or float
        Inclusive range.
    doc : str
        Meaning with unit.
    """

    name: str
    type: type[int] | type[float]
    default: Value
    low: Value
    high: Value
    doc: str

    def check(self, strategy: str, value: object) -> Value:
        """Return ``value`` as ``type``.

        Raises
        ------
        ConfigError
            Wrong type, not finite or out of range; names strategy, parameter, value and range.
        """
        expected = f"a {self.type.__name__} in [{self.low}, {self.high}]"
        problem = ConfigError(
            f"strategy {strategy}: parameter {self.name}: expected {expected}; found {value!r}"
        )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise problem
        if not math.isfinite(value) or not self.low <= value <= self.high:
            raise problem
        if self.type is int and value != int(value):
            raise problem
        return self.type(value)


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
class Trained(Protocol):
    """A strategy that learned from data; it must not be judged on bars before their end."""

    @property
    def train_end_ns(self) -> int:
        """End of the last label it was trained on, ns since 1970 UTC."""
        ...


class Predictor(Protocol):
    """A trained classifier."""

    @property
    def feature_set(self) -> str:
        """Name of the feature set it expects."""
        ...

    @property
    def train_end_ns(self) -> int:
        """End of the last label it was trained on, ns since 1970 UTC."""
        ...

    def predict_proba(self, features: FloatArray) -> FloatArray:
        """Probability that the label is 1, shape (n,), of features of shape (n, k)."""
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
