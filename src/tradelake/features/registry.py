"""The feature sets, by name.

A set is never changed once a model was trained on it; a new name is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from tradelake.decoding import msgpack_decoder
from tradelake.errors import ConfigError
from tradelake.features import indicators, price
from tradelake.features.feature import FeatureSet

State: TypeAlias = (
    price.LogReturnState
    | price.RealisedVolatilityState
    | price.SmaRatioState
    | price.VolumeZscoreState
    | price.RangePositionState
    | price.TimeOfDayState
    | indicators.RsiState
    | indicators.MacdState
    | indicators.AtrState
)

BASIC_V1: Final = FeatureSet(
    "basic-v1",
    (
        *(price.log_return(lag) for lag in (1, 5, 15, 60)),
        *(price.realised_volatility(window) for window in (30, 120)),
        indicators.rsi(14),
        price.sma_ratio(10, 50),
        indicators.macd_histogram(12, 26, 9),
        indicators.atr(14),
        price.volume_zscore(60),
        price.range_position(60),
        *price.time_of_day(),
    ),
    msgpack_decoder(tuple[str, list[State]]),
)

FEATURE_SETS: Final[Mapping[str, FeatureSet]] = MappingProxyType({BASIC_V1.name: BASIC_V1})
"""Every feature set by name."""


def feature_set(name: str) -> FeatureSet:
    """Return a feature set.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    try:
        return FEATURE_SETS[name]
    except KeyError:
        raise ConfigError(
            f"feature set: expected one of {', '.join(FEATURE_SETS)}; found {name!r}"
        ) from None
