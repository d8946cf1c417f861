"""What one client asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from tradelake.errors import InvalidData, TradelakeError
from tradelake.market.channels import CHANNELS
from tradelake.market.symbols import parse_symbol

ALL: Final = "*"
_OTHER_FEEDS: Final = frozenset(
    ("statuses", "lulds", "corrections", "cancelErrors", "imbalances", "news")
)
"""Channels of Alpaca's other feeds."""

ERRORS: Final[Mapping[int, str]] = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
    500: "internal error",
}
"""The stream's error codes and messages."""


class StreamError(TradelakeError):
    """An error the stream reports to its client.

    Parameters
    ----------
    code : int
        One of ``ERRORS``.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"{code} {ERRORS[code]}")
        self.code = code


def error_message(code: int) -> dict[str, Any]:
    """The control message of an error."""
    return {"T": "error", "code": code, "msg": ERRORS[code]}


class Subscriptions:
    """Symbols by channel; subscribing adds.

    Parameters
    ----------
    limit : int or None
        How many (channel, symbol) pairs a client may have; ``*`` counts as every symbol of the
        venue.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._symbols: dict[str, set[str]] = {channel: set() for channel in CHANNELS}
        self._pairs: frozenset[tuple[str, str]] = frozenset()
        self._whole: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return any(self._symbols.values())

    def wants(self, key: tuple[str, str]) -> bool:
        """Whether a message of (channel, symbol) is to be sent."""
        return key[0] in self._whole or key in self._pairs

    def wants_all(self) -> bool:
        """Whether every message is to be sent."""
        return len(self._whole) == len(CHANNELS)

    def add(
        self,
        request: Mapping[str, Any],
        universe: Collection[str],
        refused: Callable[[str], bool] = lambda _: False,
    ) -> dict[str, set[str]]:
        """Subscribe; returns what is new, by channel. ``refused``: the venue has no such symbol.

        Raises
        ------
        StreamError
            400 for symbols that are none or refused, 405 over the limit, 410 for channels of other
            feeds. Nothing is changed.
        """
        asked = _parse(request)
        if any(refused(symbol) for symbols in asked.values() for symbol in symbols):
            raise StreamError(400)
        new = {channel: asked.get(channel, set()) - had for channel, had in self._symbols.items()}
        after = {channel: had | new[channel] for channel, had in self._symbols.items()}
        if self._limit is not None:
            everything = set(universe)
            count = sum(
                len(everything | symbols - {ALL} if ALL in symbols else symbols)
                for symbols in after.values()
            )
            if count > self._limit:
                raise StreamError(405)
        self._set(after)
        return new

    def remove(self, request: Mapping[str, Any]) -> None:
        """Unsubscribe; what was not subscribed is ignored.

        Raises
        ------
        StreamError
            As :meth:`add`.
        """
        asked = _parse(request)
        self._set({c: had - asked.get(c, set()) for c, had in self._symbols.items()})

    def _set(self, symbols: dict[str, set[str]]) -> None:
        self._symbols = symbols
        self._whole = frozenset(channel for channel, names in symbols.items() if ALL in names)
        self._pairs = frozenset((c, name) for c, names in symbols.items() for name in names)

    def acknowledgement(self) -> dict[str, Any]:
        """The full state, as the venue confirms it."""
        return {"T": "subscription"} | {c: sorted(names) for c, names in self._symbols.items()}


def _parse(request: Mapping[str, Any]) -> dict[str, set[str]]:
    asked: dict[str, set[str]] = {}
    for channel, symbols in request.items():
        if channel == "action" or not symbols:
            continue
        if channel in _OTHER_FEEDS:
            raise StreamError(410)
        if channel not in CHANNELS or not isinstance(symbols, list):
            raise StreamError(400)
        for symbol in symbols:
            if symbol != ALL:
                _check(symbol)
        asked[channel] = set(symbols)
    return asked


def _check(symbol: object) -> None:
    if not isinstance(symbol, str):
        raise StreamError(400)
    try:
        parse_symbol(symbol)
    except InvalidData as error:
        raise StreamError(400) from error
