"""Shard iterators: opaque to clients, stateless for the server."""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from tradelake.decoding import json_decoder
from tradelake.local.stream_server.protocol import KinesisError, invalid


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a reader stands.

    Parameters
    ----------
    stream, stream_id, shard_id : str
        What it reads; the id tells a stream from a later one of the same name.
    ordinal : int
        First ordinal it has not read.
    issued_ms : int
        When the iterator was handed out.
    """

    stream: str
    stream_id: str
    shard_id: str
    ordinal: int
    issued_ms: int


_DECODER: Final = json_decoder(Position)


def encode(position: Position) -> str:
    """Return the token of a position."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def decode(token: str, now_ms: int, ttl_ms: int) -> Position:
    """Return the position of a token.

    Raises
    ------
    KinesisError
        ``InvalidArgumentException`` for what is no token, ``ExpiredIteratorException`` for one that
        is too old.
    """
    try:
        position = _DECODER.decode(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, msgspec.DecodeError, UnicodeError) as error:
        raise invalid("Invalid ShardIterator.") from error
    if now_ms - position.issued_ms > ttl_ms:
        age_s = (now_ms - position.issued_ms) // 1000
        raise KinesisError(
            "ExpiredIteratorException",
            f"Iterator expired. It was created {age_s} s ago; iterators live {ttl_ms // 1000} s.",
        )
    return position
