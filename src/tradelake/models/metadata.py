"""What a model says about itself, and what may be asked of it."""

from __future__ import annotations

from typing import Final

import msgspec

from tradelake.errors import ConfigError
from tradelake.features.registry import feature_set
from tradelake.market.arrays import BarArrays

FORMAT: Final = 1
"""Version of the package's layout."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to use a model rightly and to train it again.

    Attributes
    ----------
    format : int
        Layout of the package.
    feature_set, features : str, tuple of str
        Name of the feature set and its columns in order.
    label, horizon : str, int
        What is predicted, and how many bars ahead.
    timeframe, symbols : str, tuple of str
        Bars it was trained on.
    data_snapshot : str
        State of the lake it was trained on.
    params : dict
        Hyper-parameters in force.
    metrics : dict
        Cross-validated (``cv_``) and out-of-sample (``test_``) measures.
    seed, code_version : int, str
        With params and data_snapshot: the same again gives the same model.
    trained_rows : int
        Rows behind the model.
    train_start_ns, train_end_ns : int
        First decision and end of the last label behind the model. Judge it on later bars only.
    libraries : dict
        Versions it was trained with.
    """

    format: int = FORMAT
    feature_set: str
    features: tuple[str, ...]
    label: str
    horizon: int
    timeframe: str
    symbols: tuple[str, ...]
    data_snapshot: str
    params: dict[str, int | float | str]
    metrics: dict[str, float]
    seed: int
    code_version: str
    trained_rows: int
    train_start_ns: int
    train_end_ns: int
    libraries: dict[str, str]


def check_features(metadata: Metadata) -> None:
    """Refuse a model whose features are not those this code computes.

    Raises
    ------
    ConfigError
        Unknown layout or feature set, or other columns than the set has.
    """
    if metadata.format != FORMAT:
        raise ConfigError(f"model: expected package format {FORMAT}; found {metadata.format}")
    expected = feature_set(metadata.feature_set).names
    if metadata.features != expected:
        raise ConfigError(
            f"model: expected features {', '.join(expected)} of {metadata.feature_set}; "
            f"found {', '.join(metadata.features)}"
        )


def check_out_of_sample(metadata: Metadata, bars: BarArrays) -> None:
    """Refuse bars a model may have seen, or of another timeframe.

    Raises
    ------
    ConfigError
        The bars begin before the end of the training data, or have another timeframe.
    """
    if bars.timeframe != metadata.timeframe:
        raise ConfigError(f"model: expected bars of {metadata.timeframe}; found {bars.timeframe}")
    if len(bars) and bars.ts_event_ns[0] < metadata.train_end_ns:
        raise ConfigError(
            f"model: trained on data up to {metadata.train_end_ns} ns; expected bars of "
            f"{bars.symbol} from there on, found the first at {bars.ts_event_ns[0]} ns"
        )
