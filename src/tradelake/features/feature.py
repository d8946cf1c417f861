"""What a feature is: one declaration with a batch form over arrays and an online form over bars."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np

from tradelake.decoding import MsgpackDecoder
from tradelake.errors import InvalidData
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.market.records import Bar


class OnlineFeature(Protocol):
    """A feature's running state: a msgspec struct, so that it can be stored and taken up again."""

    def update(self, bar: Bar) -> float:
        """Value after this bar, NaN in the warm-up. Bars come in order, each once."""
        ...


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature, declared once.

    Parameters
    ----------
    name : str
        Column name.
    warmup : int
        Leading bars without a value (NaN).
    batch : callable
        BarArrays of n bars to values of shape (n,). Value i depends on bars 0 to i alone.
    start : callable
        Makes a fresh online state; it agrees with ``batch`` to rounding.
    doc : str
        What it measures, with unit.
    """

    name: str
    warmup: int
    batch: Callable[[BarArrays], FloatArray]
    start: Callable[[], OnlineFeature]
    doc: str


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features in a fixed order. The name is a version: a set is never changed, a new one is added.

    Parameters
    ----------
    name : str
        For instance ``basic-v1``.
    features : tuple of Feature
        Columns, in order.
    decoder : Decoder
        Decodes (name of the set, states).
    """

    name: str
    features: tuple[Feature, ...]
    decoder: MsgpackDecoder[tuple[str, list[Any]]]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def warmup(self) -> int:
        """Leading bars in which at least one feature has no value."""
        return max(feature.warmup for feature in self.features)

    def batch(self, bars: BarArrays) -> FloatArray:
        """Return the features, shape (n, k), NaN in each feature's warm-up.

        Row i depends on bars 0 to i alone.
        """
        matrix = np.empty((len(bars), len(self.features)))
        for column, feature in enumerate(self.features):
            matrix[:, column] = feature.batch(bars) if len(bars) > feature.warmup else math.nan
        return matrix

    def online(self) -> OnlineFeatures:
        """Return fresh running states."""
        return OnlineFeatures(self, [feature.start() for feature in self.features])

    def restore(self, stored: bytes) -> OnlineFeatures:
        """Return running states from :meth:`OnlineFeatures.dump`.

        Raises
        ------
        InvalidData
            Rule ``feature_state``: the bytes are no states of this set.
        """
        try:
            name, states = self.decoder.decode(stored)
        except msgspec.MsgspecError as error:
            raise InvalidData("feature_state", f"feature set {self.name}: {error}") from error
        if name != self.name or len(states) != len(self.features):
            raise InvalidData(
                "feature_state",
                f"expected {len(self.features)} states of {self.name}; "
                f"found {len(states)} of {name}",
            )
        return OnlineFeatures(self, states)


@dataclass(slots=True)
class OnlineFeatures:
    """Running states of a feature set for one symbol and timeframe."""

    feature_set: FeatureSet
    states: list[OnlineFeature]

    def update(self, bar: Bar) -> FloatArray:
        """Return the features after this bar, shape (k,), NaN in warm-up."""
        return np.array([state.update(bar) for state in self.states], dtype=np.float64)

    def dump(self) -> bytes:
        """Return the states as bytes for :meth:`FeatureSet.restore`."""
        return msgspec.msgpack.encode((self.feature_set.name, self.states))
