"""Thresholds of the quality rules: one set of defaults, and where a market differs, overrides.

A document says what differs, as JSON::

    {
      "defaults":         {"stale_s": 30},
      "venues":           {"us-1": {"future_s": 2}},
      "quote_currencies": {"JPY": {"largest": 1e15}},
      "symbols":          {"SHIB/USD": {"spike_floor_bps": 200}}
    }

The more special wins: defaults, then venue, then quote currency, then symbol, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isnan
from typing import Any, Final

import msgspec

from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError
from tradelake.market.symbols import quote_asset

SECTIONS: Final = ("defaults", "venues", "quote_currencies", "symbols")
_MOST_SYMBOLS: Final = 20_000
_OPTIONAL: Final = frozenset({"stale_s"})
_COUNTS: Final = frozenset({"duplicate_records", "spike_window", "spike_run", "warm_up"})
_AT_LEAST_ONE: Final = frozenset({*_COUNTS, "spike_mads", "size_multiple", "spread_multiple"})


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a record is wrong or odd. Names carry units: ``_s`` seconds, ``_bps`` 1/10,000.

    Parameters
    ----------
    largest : float
        A price or size above it is a unit mistake; sums of sizes must stay within float64.
    future_s : float
        A venue's clock may be ahead of ours by so much.
    stale_s : float or None
        A record may be received so long after it happened; None: any time, for recordings.
    duplicate_records : int
        Identities are remembered at least this long, in records of the same channel and symbol.
    out_of_order_s : float
        A record may be so much older than the newest before it.
    spike_mads : float
        A price may be away from the local level by so many mean absolute deviations.
    spike_floor_bps : float
        A price this near to the local level is never a spike, however quiet the market.
    spike_window : int
        Records over which the deviation is averaged.
    spike_run : int
        After so many spikes in a row the price is where the market is now.
    size_multiple : float
        A size may be so many times the local 99th percentile.
    spread_multiple : float
        A spread may be so many times the local 99th percentile.
    spread_floor_bps : float
        A spread this small is never odd.
    warm_up : int
        Records of a channel and symbol before spikes, sizes and spreads are judged.
    """

    largest: float = 1e18
    future_s: float = 10.0
    stale_s: float | None = 30.0
    duplicate_records: int = 128
    out_of_order_s: float = 0.1
    spike_mads: float = 20.0
    spike_floor_bps: float = 100.0
    spike_window: int = 100
    spike_run: int = 5
    size_multiple: float = 10.0
    spread_multiple: float = 10.0
    spread_floor_bps: float = 50.0
    warm_up: int = 50

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None:
                continue
            least = 1.0 if name in _AT_LEAST_ONE else 0.0
            if isnan(value) or not least <= value < inf:
                raise ValueError(f"expected {name} of at least {least:g}, found {value}")

    @property
    def future_ns(self) -> int:
        """``future_s`` in ns."""
        return round(self.future_s * 1e9)


DEFAULTS: Final = Thresholds()

_FIELDS: Final = frozenset(Thresholds.__struct_fields__)
Overrides = Mapping[str, Mapping[str, float | None]]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    defaults: dict[str, float | None] = {}
    venues: dict[str, dict[str, float | None]] = {}
    quote_currencies: dict[str, dict[str, float | None]] = {}
    symbols: dict[str, dict[str, float | None]] = {}


class SymbolThresholds(dict[str, Thresholds]):
    """Thresholds by symbol, for one venue: ``found[symbol]`` is the answer for any symbol.

    A dictionary, so that the answer for a symbol seen before costs one look-up; bounded, because
    symbols come from the venue.
    """

    def __init__(self, base: Thresholds, quote_currencies: Overrides, symbols: Overrides) -> None:
        super().__init__()
        self._base = base
        self._quotes = quote_currencies
        self._symbols = symbols

    def __missing__(self, symbol: str) -> Thresholds:
        """Return what holds for a symbol that was not asked for yet."""
        changes = {**self._quotes.get(quote_asset(symbol), {}), **self._symbols.get(symbol, {})}
        found = _changed(self._base, changes) if changes else self._base
        if len(self) < _MOST_SYMBOLS:
            self[symbol] = found
        return found


class QualityRules:
    """A document of thresholds, checked as a whole when it is loaded.

    Parameters
    ----------
    document : _Document
        See :func:`load_rules`.
    """

    def __init__(self, document: _Document) -> None:
        self._document = document
        self._defaults = _changed(DEFAULTS, document.defaults)

    def of_venue(self, venue: str) -> SymbolThresholds:
        """Return the thresholds of a venue by symbol.

        >>> rules = load_rules('{"quote_currencies": {"JPY": {"largest": 1e15}}}')
        >>> found = rules.of_venue("us")
        >>> found["BTC/JPY"].largest, found["BTC/USD"].largest
        (1000000000000000.0, 1e+18)
        """
        base = _changed(self._defaults, self._document.venues.get(venue, {}))
        return SymbolThresholds(base, self._document.quote_currencies, self._document.symbols)


def load_rules(text: str) -> QualityRules:
    """Return the rules of a JSON document; of an empty text, the defaults everywhere.

    Raises
    ------
    ConfigError
        It is no such document; the message names the section, the market and the threshold.
    """
    try:
        document = json_decoder(_Document).decode(text or "{}")
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ConfigError(
            f"quality rules: expected an object with {', '.join(SECTIONS)}: {error}"
        ) from error
    _check("defaults", document.defaults)
    for section in SECTIONS[1:]:
        for name, changes in getattr(document, section).items():
            _check(f"{section}.{name}", changes)
    return QualityRules(document)


def _check(where: str, changes: Mapping[str, Any]) -> None:
    """Refuse unknown names and values out of range, each override on its own."""
    for name, value in changes.items():
        if name not in _FIELDS:
            known = ", ".join(Thresholds.__struct_fields__)
            raise ConfigError(f"quality rules: {where}: expected one of {known}; found {name!r}")
        if value is None and name not in _OPTIONAL:
            raise ConfigError(f"quality rules: {where}.{name}: expected a number, found null")
        if value is not None and name in _COUNTS and value != int(value):
            raise ConfigError(f"quality rules: {where}.{name}: expected a whole number, {value}")
    try:
        _changed(DEFAULTS, changes)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"quality rules: {where}: {error}") from error


def _changed(base: Thresholds, changes: Mapping[str, float | None]) -> Thresholds:
    if not changes:
        return base
    whole = {
        name: int(value) if name in _COUNTS and value is not None else value
        for name, value in changes.items()
    }
    return msgspec.structs.replace(base, **whole)


DEFAULT_RULES: Final = QualityRules(_Document())
"""The defaults everywhere."""
