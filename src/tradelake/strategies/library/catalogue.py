"""Every strategy of the library, and how to make one by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tradelake.errors import ConfigError
from tradelake.strategies.api import Model, Strategy
from tradelake.strategies.library import cross_section, learned, making, reversion, trend
from tradelake.strategies.library.entry import AnyStrategy, Entry

STRATEGIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        entry.name: entry
        for kind in (trend, reversion, cross_section, making, learned)
        for entry in kind.ENTRIES
    }
)
"""Every strategy by name."""


def build(name: str, params: Mapping[str, object], ml_model: Model | None = None) -> AnyStrategy:
    """Return a strategy of the library, of whatever style it is.

    Parameters
    ----------
    name : str
        Key of :data:`STRATEGIES`.
    params : mapping
        Values by parameter name; what is absent takes its default.
    ml_model : Model, optional
        The model of ``ml_classifier`` or ``ml_regressor``.

    Raises
    ------
    ConfigError
        Unknown strategy or parameter, bad value, or a model absent, of the wrong kind or not
        wanted.
    """
    entry = STRATEGIES.get(name)
    if entry is None:
        raise ConfigError(f"strategy: expected one of {', '.join(STRATEGIES)}; found {name!r}")
    return entry.build(params, ml_model)


def make(name: str, params: Mapping[str, object], predictor: Model | None = None) -> Strategy:
    """Return a strategy of the library that decides from the bars of one symbol.

    Raises
    ------
    ConfigError
        As :func:`build`, or the strategy needs several symbols or events.
    """
    strategy = build(name, params, predictor)
    if not isinstance(strategy, Strategy):
        needs = {"panel": "several symbols", "events": "events"}[STRATEGIES[name].style]
        raise ConfigError(
            f"strategy {name}: needs {needs}; expected one that decides from one symbol's bars"
        )
    return strategy
