"""Who asks for what: credentials, the subscription, and the messages that carry them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from tradelake.errors import ConfigError, InvalidData
from tradelake.feed.messages import Acknowledgement
from tradelake.market.channels import CHANNELS
from tradelake.market.symbols import parse_symbol

EVERY_SYMBOL: Final = "*"
Encoding = Literal["msgpack", "json"]
Pair = tuple[str, str]
"""A channel and a symbol."""
_ATTRIBUTES: Final = {
    struct_field.encode_name: struct_field.name
    for struct_field in msgspec.structs.fields(Acknowledgement)
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account's key and secret; neither is ever shown."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Every channel for every symbol; ``*`` alone means all the venue has.

    Raises
    ------
    ConfigError
        No channel or symbol, an unknown channel, or a symbol that is no pair.
    """

    channels: tuple[str, ...]
    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [channel for channel in self.channels if channel not in CHANNELS]
        if unknown or not self.channels:
            raise ConfigError(f"expected channels among {', '.join(CHANNELS)}; found {unknown}")
        if not self.symbols:
            raise ConfigError("expected at least one symbol to subscribe, or *")
        try:
            for symbol in self.symbols:
                if symbol != EVERY_SYMBOL:
                    parse_symbol(symbol)
        except InvalidData as error:
            raise ConfigError(error.reason) from error


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a running subscription: channels and symbols to add, drop, or ask for anew.

    ``renew`` drops and adds again, so that the venue sends the books' resets once more.
    """

    add: Subscription | None = None
    drop: Subscription | None = None
    renew: Subscription | None = None


class Wanted:
    """What the venue is asked for now: symbols by channel, in the order they were asked for.

    Immutable; ``*`` beside named symbols covers them.
    """

    def __init__(self, symbols: Mapping[str, Iterable[str]]) -> None:
        self.symbols = {channel: tuple(named) for channel, named in symbols.items() if named}

    @classmethod
    def of(cls, subscription: Subscription) -> Wanted:
        """Return what a subscription asks for, each symbol once."""
        named = tuple(dict.fromkeys(subscription.symbols))
        return cls(dict.fromkeys(subscription.channels, named))

    def pairs(self) -> tuple[Pair, ...]:
        """Every channel and symbol, channel by channel."""
        return tuple((c, symbol) for c, named in self.symbols.items() for symbol in named)

    def adding(self, pairs: Iterable[Pair]) -> Wanted:
        """Return this and what is added."""
        return Wanted(_by_channel(dict.fromkeys((*self.pairs(), *pairs))))

    def without(self, pairs: Iterable[Pair]) -> Wanted:
        """Return this without what is dropped."""
        gone = set(pairs)
        return Wanted(_by_channel(pair for pair in self.pairs() if pair not in gone))

    def named(self, subscription: Subscription) -> tuple[Pair, ...]:
        """Return which pairs that are wanted a subscription names; ``*`` names all of a channel."""
        every = EVERY_SYMBOL in subscription.symbols
        return tuple(
            (channel, symbol)
            for channel in subscription.channels
            for symbol in self.symbols.get(channel, ())
            if every or symbol in subscription.symbols
        )

    def served(self, subscription: Subscription) -> tuple[Pair, ...]:
        """Return the pairs of a subscription that are delivered, be it because of ``*``."""
        covered = (
            (channel, symbol)
            for channel in subscription.channels
            for symbol in subscription.symbols
            if symbol != EVERY_SYMBOL and EVERY_SYMBOL in self.symbols.get(channel, ())
        )
        return tuple(dict.fromkeys((*self.named(subscription), *covered)))

    def missing(self, acknowledged: Acknowledgement) -> dict[str, tuple[str, ...]]:
        """Symbols that are wanted and not acknowledged, by channel; empty when all are."""
        lacking = {}
        for channel, named in self.symbols.items():
            given = set(getattr(acknowledged, _ATTRIBUTES[channel]))
            absent = tuple(symbol for symbol in named if symbol not in given)
            if absent and EVERY_SYMBOL not in given:
                lacking[channel] = absent
        return lacking

    def unwanted(self, acknowledged: Acknowledgement) -> dict[str, tuple[str, ...]]:
        """Symbols that are acknowledged and not wanted, by channel; ``*`` wants all."""
        surplus = {}
        for channel in CHANNELS:
            named = self.symbols.get(channel, ())
            given = getattr(acknowledged, _ATTRIBUTES[channel])
            more = tuple(symbol for symbol in given if symbol not in named)
            if more and EVERY_SYMBOL not in named:
                surplus[channel] = more
        return surplus


def authentication(credentials: Credentials, encoding: Encoding) -> str | bytes:
    """Return the message that authenticates."""
    return _encode(
        {"action": "auth", "key": credentials.key, "secret": credentials.secret}, encoding
    )


def subscription_request(
    action: Literal["subscribe", "unsubscribe"], pairs: Iterable[Pair], encoding: Encoding
) -> str | bytes:
    """Return the message that subscribes to, or unsubscribes from, channels and symbols."""
    return _encode({"action": action, **_by_channel(pairs)}, encoding)


def _by_channel(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    symbols: dict[str, list[str]] = {}
    for channel, symbol in pairs:
        symbols.setdefault(channel, []).append(symbol)
    return symbols


def _encode(message: dict[str, Any], encoding: Encoding) -> str | bytes:
    if encoding == "msgpack":
        return msgspec.msgpack.encode(message)
    return msgspec.json.encode(message).decode()
