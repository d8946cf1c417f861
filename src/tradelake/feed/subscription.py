"""Who asks for what: credentials, the subscription, and the messages that carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from tradelake.errors import ConfigError, InvalidData
from tradelake.feed.messages import Acknowledgement
from tradelake.market.channels import CHANNELS
from tradelake.market.symbols import parse_symbol

EVERY_SYMBOL: Final = "*"
Encoding = Literal["msgpack", "json"]
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

    def missing(self, acknowledged: Acknowledgement) -> dict[str, tuple[str, ...]]:
        """Symbols that were asked for and are not acknowledged, by channel; empty when all are."""
        missing = {}
        for channel in self.channels:
            given = getattr(acknowledged, _ATTRIBUTES[channel])
            lacking = tuple(symbol for symbol in self.symbols if symbol not in given)
            if lacking and EVERY_SYMBOL not in given:
                missing[channel] = lacking
        return missing

    def nothing_of(self, acknowledged: Acknowledgement) -> bool:
        """Whether not one symbol of one channel asked for is acknowledged."""
        return not any(getattr(acknowledged, _ATTRIBUTES[channel]) for channel in self.channels)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a running subscription: channels and symbols to add, drop, or ask for anew.

    ``renew`` drops and adds again, so that the venue sends the books' resets once more.
    """

    add: Subscription | None = None
    drop: Subscription | None = None
    renew: Subscription | None = None


def authentication(credentials: Credentials, encoding: Encoding) -> str | bytes:
    """Return the message that authenticates."""
    return _encode(
        {"action": "auth", "key": credentials.key, "secret": credentials.secret}, encoding
    )


def subscription_request(subscription: Subscription, encoding: Encoding) -> str | bytes:
    """Return the message that subscribes."""
    wanted = {channel: list(subscription.symbols) for channel in subscription.channels}
    return _encode({"action": "subscribe", **wanted}, encoding)


def _encode(message: dict[str, Any], encoding: Encoding) -> str | bytes:
    if encoding == "msgpack":
        return msgspec.msgpack.encode(message)
    return msgspec.json.encode(message).decode()
