"""What this package asks of an xgboost booster; xgboost itself is loaded on first use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy.typing as npt

from tradelake.market.arrays import FloatArray


class Booster(Protocol):
    """The part of ``xgboost.Booster`` that is used."""

    @property
    def feature_names(self) -> Sequence[str] | None:
        """Names of the columns it was trained on."""
        ...

    def num_features(self) -> int:
        """Number of columns it was trained on."""
        ...

    def load_model(self, fname: bytearray) -> None:
        """Read UBJSON or JSON."""
        ...

    def save_raw(self, raw_format: str) -> bytearray:
        """Write ``ubj`` or ``json``."""
        ...

    def inplace_predict(self, data: FloatArray) -> npt.ArrayLike:
        """Probability of a 1 for each row."""
        ...
