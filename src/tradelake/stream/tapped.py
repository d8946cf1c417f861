"""What the live tap sends: clean records as they were received, and how many were missed."""

from __future__ import annotations

from typing import Final

import msgspec

from tradelake.decoding import msgpack_decoder
from tradelake.errors import InvalidData
from tradelake.market.records import Record


class Tapped(msgspec.Struct, frozen=True, array_like=True):
    """One message of the live tap.

    Parameters
    ----------
    venue : str
        Venue of every record in it.
    missed : int
        Records that this subscriber should have got between the message before and this one, and
        that were thrown away because it read too slowly. They are on the stream and in the lake.
    records : list of Record
        In the order of receipt. May be empty: a sign of life.
    """

    venue: str
    missed: int
    records: list[Record]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgpack_decoder(Tapped)


def encode_tapped(tapped: Tapped) -> bytes:
    """Encode a message of the tap."""
    return _ENCODER.encode(tapped)


def decode_tapped(data: bytes) -> Tapped:
    """Decode what :func:`encode_tapped` made.

    Raises
    ------
    InvalidData
        Rule ``tapped``: it is something else.
    """
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidData("tapped", f"expected a message of the live tap: {error}") from error
