"""Strategies that do what a trained model expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from tradelake.errors import ConfigError, InvalidData
from tradelake.features.registry import feature_set
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import Parameter, Predictor, Regressor
from tradelake.strategies.library.entry import Entry, Values
from tradelake.strategies.library.sides import held

_BPS: Final = 1e4


@dataclass(frozen=True, slots=True)
class ClassifierStrategy:
    """Enters at ``threshold_long``, leaves below ``threshold_exit``, and keeps in between.

    Bars in the warm-up of the feature set have no position.

    Raises
    ------
    ConfigError
        ``threshold_exit`` is above ``threshold_long``, or the feature set is unknown.
    """

    name: str
    parameters: Values
    predictor: Predictor

    def __post_init__(self) -> None:
        _check_order(self.name, self.parameters, "threshold_exit", "threshold_long")
        feature_set(self.predictor.feature_set)

    @property
    def train_end_ns(self) -> int:
        """End of the last label the model was trained on."""
        return self.predictor.train_end_ns

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,).

        Raises
        ------
        InvalidData
            Rule ``prediction``: the model answers with another shape or with no probability.
        """
        features, known = _features(bars, self.predictor)
        targets = np.zeros(len(bars))
        if known.size == 0:
            return targets
        probability = self.predictor.predict_proba(features)
        if (
            probability.shape != known.shape
            or not ((probability >= 0.0) & (probability <= 1.0)).all()
        ):
            raise InvalidData(
                "prediction",
                f"expected {known.size} probabilities from the model of {self.name}; "
                f"found shape {probability.shape}",
            )
        targets[known] = held(
            probability >= float(self.parameters["threshold_long"]),
            probability < float(self.parameters["threshold_exit"]),
        )
        return targets


@dataclass(frozen=True, slots=True)
class RegressorStrategy:
    """Enters where the expected return pays, and leaves where it falls below what is asked to stay.

    With ``scaling`` the target is the expected return over ``full_bps``, at most 1, in ``steps``.

    Raises
    ------
    ConfigError
        ``exit_bps`` is above ``enter_bps``, or the feature set is unknown.
    """

    name: str
    parameters: Values
    regressor: Regressor

    def __post_init__(self) -> None:
        _check_order(self.name, self.parameters, "exit_bps", "enter_bps")
        feature_set(self.regressor.feature_set)

    @property
    def train_end_ns(self) -> int:
        """End of the last label the model was trained on."""
        return self.regressor.train_end_ns

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,).

        Raises
        ------
        InvalidData
            Rule ``prediction``: the model answers with another shape or with no numbers.
        """
        features, known = _features(bars, self.regressor)
        targets = np.zeros(len(bars))
        if known.size == 0:
            return targets
        expected = _BPS * self.regressor.predict(features)
        if expected.shape != known.shape or not np.isfinite(expected).all():
            raise InvalidData(
                "prediction",
                f"expected {known.size} returns from the model of {self.name}; "
                f"found shape {expected.shape}",
            )
        targets[known] = self._sides(expected)
        return targets

    def _sides(self, expected: FloatArray) -> FloatArray:
        enter, leave = float(self.parameters["enter_bps"]), float(self.parameters["exit_bps"])
        side = held(expected >= enter, expected < leave)
        if self.parameters["short"]:
            side -= held(-expected >= enter, -expected < leave)
        if not self.parameters["scaling"]:
            return side
        full, steps = float(self.parameters["full_bps"]), int(self.parameters["steps"])
        share = np.minimum(1.0, np.abs(expected) / full)
        sized: FloatArray = side * np.ceil(share * steps) / steps
        return sized


class _HasModel(Protocol):
    """What :func:`_features` reads."""

    @property
    def feature_set(self) -> str: ...


def _features(bars: BarArrays, model: _HasModel) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Features of the bars that have all of them, and those bars' rows."""
    features = feature_set(model.feature_set).batch(bars)
    known = np.flatnonzero(~np.isnan(features).any(axis=1))
    return features[known], known


def _check_order(strategy: str, parameters: Values, lower: str, upper: str) -> None:
    if float(parameters[lower]) > float(parameters[upper]):
        raise ConfigError(
            f"strategy {strategy}: parameter {lower}: expected at most {upper} = "
            f"{parameters[upper]}; found {parameters[lower]}"
        )


ENTRIES: Final = (
    Entry(
        "ml_classifier",
        "long while the model's probability of a rise is high, flat when it is low",
        (
            Parameter("threshold_long", float, 0.55, 0.0, 1.0, "probability from which it enters"),
            Parameter("threshold_exit", float, 0.5, 0.0, 1.0, "probability below which it leaves"),
        ),
        learned=ClassifierStrategy,
        model=Predictor,
        assumes="The model is calibrated, and was trained before the first bar.",
    ),
    Entry(
        "ml_regressor",
        "long while the model expects a return that pays, flat when it does not",
        (
            Parameter("enter_bps", float, 60.0, 0.0, 10_000.0, "expected return to enter, bps"),
            Parameter("exit_bps", float, 0.0, -10_000.0, 10_000.0, "below it it leaves, bps"),
            Parameter("scaling", bool, False, None, None, "more of it where more is expected"),
            Parameter("full_bps", float, 200.0, 1.0, 10_000.0, "return of a whole position, bps"),
            Parameter("steps", int, 4, 1, 100, "sizes of position with scaling"),
            Parameter("short", bool, False, None, None, "short where a fall is expected"),
        ),
        learned=RegressorStrategy,
        model=Regressor,
        assumes=(
            "Returns are expected over the label's horizon; to enter pays where they exceed a "
            "round trip's cost (the default is that of a taker in the dearest tier)."
        ),
    ),
)
