"""Rules that make one target of several members' targets, instant by instant.

A rule sees the members' targets of one bar at a time (rows of shape (n, m), NaN already 0), so what
it says never depends on the future, and is the same bar by bar and for all bars at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tradelake.errors import ConfigError
from tradelake.market.arrays import FloatArray
from tradelake.strategies.api import Value


class Combination(Protocol):
    """One target of m members' targets."""

    @property
    def name(self) -> str:
        """In the composite's name."""
        ...

    @property
    def parameters(self) -> Mapping[str, Value]:
        """In the composite's parameters."""
        ...

    @property
    def members(self) -> int | None:
        """How many members it takes; None: any number from 1 on."""
        ...

    def combine(self, targets: FloatArray) -> FloatArray:
        """Return targets of shape (n,) in [-1, 1], of members' targets of shape (n, m)."""
        ...


@dataclass(frozen=True, slots=True)
class Vote:
    """1 or -1 where more than ``quorum`` of the members are long or short, else 0.

    Parameters
    ----------
    quorum : float
        Share of the members in [0.5, 1); 0.5 is a simple majority.
    """

    quorum: float = 0.5

    def __post_init__(self) -> None:
        if not 0.5 <= self.quorum < 1.0:
            raise ConfigError(f"vote: expected a quorum in [0.5, 1); found {self.quorum}")

    @property
    def name(self) -> str:
        """In the composite's name."""
        return "vote"

    @property
    def parameters(self) -> Mapping[str, Value]:
        """The quorum."""
        return {"quorum": self.quorum}

    @property
    def members(self) -> int | None:
        """Any number."""
        return None

    def combine(self, targets: FloatArray) -> FloatArray:
        """Return the side that has the quorum."""
        needed = self.quorum * targets.shape[1]
        long = np.count_nonzero(targets > 0.0, axis=1) > needed
        short = np.count_nonzero(targets < 0.0, axis=1) > needed
        side: FloatArray = long.astype(np.float64) - short.astype(np.float64)
        return side


@dataclass(frozen=True, slots=True)
class WeightedMean:
    """Sum of weight times target over the sum of the weights' sizes.

    A negative weight takes a member's opposite.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        finite = all(math.isfinite(weight) for weight in self.weights)
        if not finite or not any(self.weights):
            raise ConfigError(f"weighted: expected finite weights, not all 0; found {self.weights}")

    @property
    def name(self) -> str:
        """In the composite's name."""
        return "weighted"

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Weights, counted from 1."""
        return {f"weight_{place}": weight for place, weight in enumerate(self.weights, 1)}

    @property
    def members(self) -> int | None:
        """One for each weight."""
        return len(self.weights)

    def combine(self, targets: FloatArray) -> FloatArray:
        """Return the weighted mean."""
        size = math.fsum(abs(weight) for weight in self.weights)
        total = np.zeros(len(targets))
        for place, weight in enumerate(self.weights):  # in one order, however many rows there are
            total += targets[:, place] * (weight / size)
        return np.clip(total, -1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Filter:
    """The first member's target while the second's is above 0, else 0."""

    @property
    def name(self) -> str:
        """In the composite's name."""
        return "filter"

    @property
    def parameters(self) -> Mapping[str, Value]:
        """None."""
        return {}

    @property
    def members(self) -> int | None:
        """The one that trades and the one that allows it."""
        return 2

    def combine(self, targets: FloatArray) -> FloatArray:
        """Return the first where the second allows it."""
        return np.where(targets[:, 1] > 0.0, targets[:, 0], 0.0)


@dataclass(frozen=True, slots=True)
class Switch:
    """The first member's target picks: above 0 the second, at 0 the third, below 0 the last.

    Where there are only three members, 0 counts as below 0.
    """

    regimes: int = 3

    def __post_init__(self) -> None:
        if self.regimes not in (2, 3):
            raise ConfigError(f"switch: expected 2 or 3 regimes; found {self.regimes}")

    @property
    def name(self) -> str:
        """In the composite's name."""
        return "switch"

    @property
    def parameters(self) -> Mapping[str, Value]:
        """How many regimes."""
        return {"regimes": self.regimes}

    @property
    def members(self) -> int | None:
        """The one that says the regime, and one for each."""
        return 1 + self.regimes

    def combine(self, targets: FloatArray) -> FloatArray:
        """Return the target of the member whose regime it is."""
        regime = targets[:, 0]
        rest = targets[:, -1]
        if self.regimes == 3:
            rest = np.where(regime == 0.0, targets[:, 2], rest)
        return np.where(regime > 0.0, targets[:, 1], rest)
