"""A strategy that holds while a trained classifier expects a rise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tradelake.errors import ConfigError, InvalidData
from tradelake.features.registry import feature_set
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import Parameter, Predictor, Value

NAME: Final = "ml_classifier"
DOC: Final = "long while the model's probability of a rise is high, flat when it is low"
PARAMETERS: Final = (
    Parameter("threshold_long", float, 0.55, 0.0, 1.0, "probability from which it goes long"),
    Parameter("threshold_exit", float, 0.5, 0.0, 1.0, "probability below which it leaves"),
)


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
    parameters: Mapping[str, Value]
    predictor: Predictor

    def __post_init__(self) -> None:
        enter, leave = self._thresholds()
        if leave > enter:
            raise ConfigError(
                f"strategy {self.name}: parameter threshold_exit: expected at most threshold_long "
                f"= {enter}; found {leave}"
            )
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
        features = feature_set(self.predictor.feature_set).batch(bars)
        known = np.flatnonzero(~np.isnan(features).any(axis=1))
        targets = np.zeros(len(bars))
        if known.size == 0:
            return targets
        probability = self.predictor.predict_proba(features[known])
        if (
            probability.shape != known.shape
            or not ((probability >= 0.0) & (probability <= 1.0)).all()
        ):
            raise InvalidData(
                "prediction",
                f"expected {known.size} probabilities from the model of {self.name}; "
                f"found shape {probability.shape}",
            )
        targets[known] = _hysteresis(probability, *self._thresholds())
        return targets

    def _thresholds(self) -> tuple[float, float]:
        return float(self.parameters["threshold_long"]), float(self.parameters["threshold_exit"])


def _hysteresis(probability: FloatArray, enter: float, leave: float) -> FloatArray:
    """1 from where the probability reaches ``enter`` until it falls below ``leave``."""
    decided = (probability >= enter) | (probability < leave)
    last = np.maximum.accumulate(np.where(decided, np.arange(probability.size), -1))
    return np.where(last >= 0, (probability[last] >= enter).astype(np.float64), 0.0)
