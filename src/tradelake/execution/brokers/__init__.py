"""Brokers by name. Another one is an object given, or a name of the form ``module:NAME``."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import Final

from tradelake.errors import ConfigError
from tradelake.execution.broker import BrokerRules
from tradelake.execution.brokers.alpaca import ALPACA
from tradelake.execution.brokers.ideal import IDEAL

BROKERS: Final = MappingProxyType({rules.name: rules for rules in (ALPACA, IDEAL)})


def broker(chosen: str | BrokerRules = "alpaca") -> BrokerRules:
    """Return the rules of a broker.

    Parameters
    ----------
    chosen : str or BrokerRules
        One of :data:`BROKERS`; ``package.module:NAME`` of a :class:`BrokerRules` that can be
        imported; or the rules themselves.

    Raises
    ------
    ConfigError
        There is no such broker.

    >>> broker("ideal").allow_short
    True
    """
    if isinstance(chosen, BrokerRules):
        return chosen
    if chosen in BROKERS:
        return BROKERS[chosen]
    module, colon, name = str(chosen).partition(":")
    if not colon or not module or module.startswith("."):
        raise ConfigError(
            f"broker: expected one of {', '.join(sorted(BROKERS))}, or module:NAME; "
            f"found {chosen!r}"
        )
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ConfigError(f"broker {chosen}: cannot import {module}: {error}") from error
    if not isinstance(found, BrokerRules):
        raise ConfigError(f"broker {chosen}: expected a BrokerRules; found {found!r}")
    return found


__all__ = ["ALPACA", "BROKERS", "IDEAL", "broker"]
