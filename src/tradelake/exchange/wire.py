"""Alpaca's wire format: records to JSON or MessagePack messages, frames, timestamps.

A message is encoded once per format however many clients receive it; a frame is a join of encoded
messages. ``T`` is the first key of every message, because Alpaca's Go SDK needs it there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from tradelake.decoding import json_decoder, msgpack_decoder
from tradelake.errors import InvalidData
from tradelake.market.channels import BARS, DAILY_BARS, UPDATED_BARS
from tradelake.market.records import Bar, BookUpdate, Level, Quote, Trade
from tradelake.market.timeframes import SECOND_NS

MarketRecord = Trade | Quote | BookUpdate | Bar
"""What the venue publishes."""

_BAR_TYPES: Final = {BARS: "b", UPDATED_BARS: "u", DAILY_BARS: "d"}
_SIDES: Final = {"buy": "B", "sell": "S"}
_TIMESTAMP_EXTENSION: Final = -1
_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?\s*([Zz]|[+-]\d{2}:\d{2})?)?"
)


class Rfc3339:
    """Formats nanosecond timestamps as Alpaca does: UTC, trailing zeros of the fraction trimmed.

    Remembers the last second, since neighbouring messages mostly share it.

    >>> Rfc3339()(1_700_000_000_120_000_000)
    '2023-11-14T22:13:20.12Z'
    """

    __slots__ = ("_prefix", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._prefix = "1970-01-01T00:00:00"

    def __call__(self, ts_ns: int) -> str:
        """Text of an instant."""
        second, fraction = divmod(ts_ns, SECOND_NS)
        if second != self._second:
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        if not fraction:
            return self._prefix + "Z"
        return f"{self._prefix}.{fraction:09d}".rstrip("0") + "Z"


def parse_timestamp(text: str) -> int:
    """Nanoseconds of an RFC 3339 timestamp or a date; without a zone it is UTC.

    Raises
    ------
    InvalidData
        Rule ``timestamp``.

    >>> parse_timestamp("2023-11-14T22:13:20.000000001Z")
    1700000000000000001
    """
    found = _RFC3339.fullmatch(text.strip())
    if found is None:
        raise InvalidData("timestamp", f"expected RFC 3339 or YYYY-MM-DD; found {text!r}")
    date, clock, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        instant = datetime.fromisoformat(f"{date}T{clock or '00:00:00'}{offset}")
    except ValueError as error:
        raise InvalidData("timestamp", f"{text!r}: {error}") from error
    return int(instant.timestamp()) * SECOND_NS + int((fraction or "").ljust(9, "0"))


def timestamp_extension(ts_ns: int) -> msgspec.msgpack.Ext:
    """MessagePack's Timestamp extension (type -1) of an instant, exact to the nanosecond."""
    second, fraction = divmod(ts_ns, SECOND_NS)
    if 0 <= second < 1 << 34:
        if not fraction and second < 1 << 32:
            return msgspec.msgpack.Ext(_TIMESTAMP_EXTENSION, struct.pack(">I", second))
        packed = struct.pack(">Q", fraction << 34 | second)
        return msgspec.msgpack.Ext(_TIMESTAMP_EXTENSION, packed)
    return msgspec.msgpack.Ext(_TIMESTAMP_EXTENSION, struct.pack(">Iq", fraction, second))


def _levels(levels: Sequence[Level]) -> list[dict[str, float]]:
    return [{"p": price, "s": size} for price, size in levels]


def _trade(record: Trade, t: object) -> dict[str, object]:
    message: dict[str, object] = {
        "T": "t",
        "S": record.symbol,
        "p": record.price,
        "s": record.size,
        "t": t,
        "i": record.trade_id,
    }
    if record.taker_side:
        message["tks"] = _SIDES[record.taker_side]
    return message


def _quote(record: Quote, t: object) -> dict[str, object]:
    return {
        "T": "q",
        "S": record.symbol,
        "bp": record.bid,
        "bs": record.bid_size,
        "ap": record.ask,
        "as": record.ask_size,
        "t": t,
    }


def _book(record: BookUpdate, t: object) -> dict[str, object]:
    message: dict[str, object] = {
        "T": "o",
        "S": record.symbol,
        "t": t,
        "b": _levels(record.bids),
        "a": _levels(record.asks),
    }
    if record.reset:
        message["r"] = True
    return message


def _bar(record: Bar, t: object) -> dict[str, object]:
    return {
        "T": _BAR_TYPES[record.channel],
        "S": record.symbol,
        "o": record.open,
        "h": record.high,
        "l": record.low,
        "c": record.close,
        "v": record.volume,
        "t": t,
        "n": record.trades,
        "vw": record.vwap,
    }


_MESSAGES: Final[Mapping[type, Callable[[Any, object], dict[str, object]]]] = {
    Trade: _trade,
    Quote: _quote,
    BookUpdate: _book,
    Bar: _bar,
}


def body_of(record: MarketRecord, stamp: Callable[[int], object]) -> dict[str, object]:
    """Fields of a record as REST answers them: the stream's without ``T`` and ``S``."""
    body = _MESSAGES[type(record)](record, stamp(record.ts_event))
    del body["T"], body["S"]
    return body


class Codec(Protocol):
    """One of the stream's two encodings."""

    binary: bool

    def encode(self, record: MarketRecord) -> bytes:
        """One message."""
        ...

    def control(self, message: Mapping[str, Any]) -> bytes:
        """A frame of one control message."""
        ...

    def frame(self, messages: Sequence[bytes]) -> bytes:
        """A frame of encoded messages."""
        ...


class JsonCodec:
    """JSON text."""

    binary = False

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._stamp = Rfc3339()

    def encode(self, record: MarketRecord) -> bytes:
        """One message."""
        return self._encode(_MESSAGES[type(record)](record, self._stamp(record.ts_event)))

    def control(self, message: Mapping[str, Any]) -> bytes:
        """A frame of one control message."""
        return self._encode([message])

    def frame(self, messages: Sequence[bytes]) -> bytes:
        """A frame of encoded messages."""
        return b"[" + b",".join(messages) + b"]"


class MsgpackCodec:
    """MessagePack binary; ``t`` is the Timestamp extension."""

    binary = True

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode

    def encode(self, record: MarketRecord) -> bytes:
        """One message."""
        return self._encode(_MESSAGES[type(record)](record, timestamp_extension(record.ts_event)))

    def control(self, message: Mapping[str, Any]) -> bytes:
        """A frame of one control message."""
        return self._encode([message])

    def frame(self, messages: Sequence[bytes]) -> bytes:
        """A frame of encoded messages."""
        count = len(messages)
        head = bytes((0x90 | count,)) if count < 16 else b"\xdc" + struct.pack(">H", count)
        return head + b"".join(messages)


def decode_request(data: str | bytes) -> dict[str, Any]:
    """Decode a client's message: JSON when it came as text, MessagePack when as bytes.

    Raises
    ------
    InvalidData
        Rule ``syntax``: it is no map with an ``action``.
    """
    try:
        decoded = (
            json_decoder(dict[str, Any]).decode(data)
            if isinstance(data, str)
            else msgpack_decoder(dict[str, Any]).decode(data)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData("syntax", str(error)) from error
    if not isinstance(decoded.get("action"), str):
        raise InvalidData("syntax", f"expected an action; found {sorted(decoded)}")
    return decoded
