"""Features by name: columns for vectorised strategies, the newest value for event-driven ones."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tradelake.errors import ConfigError
from tradelake.features.feature import Feature
from tradelake.features.registry import FEATURE_SETS
from tradelake.market.arrays import BarArrays, FloatArray

_SETS: Final = tuple(FEATURE_SETS.values())


def named(name: str) -> Feature:
    """Return the feature with a name, for instance ``rsi_14``, of any feature set.

    Raises
    ------
    ConfigError
        There is none.
    """
    for feature_set in _SETS:
        for feature in feature_set.features:
            if feature.name == name:
                return feature
    known = ", ".join(one for feature_set in _SETS for one in feature_set.names)
    raise ConfigError(f"feature: expected one of {known}; found {name!r}")


def column(bars: BarArrays, name: str) -> FloatArray:
    """Return a feature of all bars, shape (n,), NaN in its warm-up; value i sees bars 0 to i alone.

    Raises
    ------
    ConfigError
        There is no such feature.
    """
    return column_of(bars, named(name))


def column_of(bars: BarArrays, feature: Feature) -> FloatArray:
    """Return :func:`column` of a feature that may be in no set; all NaN where bars are too few."""
    if len(bars) <= feature.warmup:
        return np.full(len(bars), math.nan)
    return feature.batch(bars)
