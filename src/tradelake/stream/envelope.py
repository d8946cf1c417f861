"""The micro-batch, and the bundle of them that one Kinesis record carries.

A bundle holds one or more batches of one key in their order: whoever passes many on at once needs
one request, not one for each. Byte 0 is the format version, byte 1 the flags; the rest is a
MessagePack array of batches, compressed when ``FLAG_ZLIB`` is set. A batch is identified by its
transport stamp (lane, venue, origin, epoch, bucket, seq), which every hop keeps: a Kinesis sequence
number is no identity, because a re-sent record gets a new one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tradelake.errors import InvalidData
from tradelake.market.records import Record

VERSION: Final = 2
FLAG_ZLIB: Final = 1
MAX_BODY_BYTES: Final = 64 * 1024 * 1024

Lane = Literal["live", "backfill", "history"]

NO_WATERMARK: Final = -(2**63)
FINAL_WATERMARK: Final = 2**63 - 1
"""A watermark after every instant: nothing more will come, close every bar."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """A micro-batch of one symbol bucket.

    Parameters
    ----------
    lane : {"live", "backfill", "history"}
        Which way the records came; lanes are ordered and deduplicated apart.
    venue : str
        Venue of every record in it.
    epoch : int
        Fence of the ingester's lease; grows with every takeover and restart.
    bucket : int
        Symbol bucket.
    seq : int
        Sequence in (lane, epoch, bucket), from 0, without holes.
    watermark_ns : int
        No record of this bucket with an earlier ``ts_event`` is expected any more, but for
        lateness.
    records : list of Record
        In the order of receipt. May be empty: a heartbeat that carries the watermark only.
    origin : str
        Which ingester of the venue, where several divide its symbols; empty for the only one.
    """

    lane: Lane
    venue: str
    epoch: int
    bucket: int
    seq: int
    watermark_ns: int
    records: list[Record]
    origin: str = ""

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, seq): grows along the batch's lane and bucket."""
        return (self.epoch, self.seq)

    @property
    def source_key(self) -> str:
        """Name of the ordered sequence the batch belongs to: ``live/us/3``, ``live/us~b/3``."""
        who = f"{self.venue}~{self.origin}" if self.origin else self.venue
        return f"{self.lane}/{who}/{self.bucket}"


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Batch])
_RECORD_DECODER: Final[msgspec.msgpack.Decoder[Record]] = msgspec.msgpack.Decoder(Record)


def encode_batches(batches: Sequence[Batch], *, compress_above: int = 1024) -> bytes:
    """Encode a bundle; bodies over ``compress_above`` bytes are compressed where that helps."""
    body = _ENCODER.encode(batches)
    if len(body) > compress_above:
        packed = zlib.compress(body, 1)
        if len(packed) < len(body):
            return bytes((VERSION, FLAG_ZLIB)) + packed
    return bytes((VERSION, 0)) + body


def _decompress(packed: memoryview) -> bytes:
    """Inflate, but never beyond ``MAX_BODY_BYTES``: a reader's memory is bounded."""
    inflater = zlib.decompressobj()
    body = inflater.decompress(packed, MAX_BODY_BYTES)
    if not inflater.eof:
        raise zlib.error(f"body is cut short or beyond {MAX_BODY_BYTES} bytes")
    return body


def encode_batch(batch: Batch, *, compress_above: int = 1024) -> bytes:
    """Encode a bundle of one batch."""
    return encode_batches([batch], compress_above=compress_above)


def decode_batches(data: bytes) -> list[Batch]:
    """Decode what :func:`encode_batches` made: one batch or more.

    Raises
    ------
    InvalidData
        Rule ``envelope``: unknown version, unknown flag or a body that is no bundle.
    """
    if len(data) < 2 or data[0] != VERSION or data[1] & ~FLAG_ZLIB:
        raise InvalidData(
            "envelope", f"expected version {VERSION}, found header {data[:2].hex() or 'nothing'}"
        )
    packed = memoryview(data)[2:]
    try:
        body = _decompress(packed) if data[1] & FLAG_ZLIB else packed
        batches = _DECODER.decode(body)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(
            "envelope", f"expected a micro-batch of {len(data)} bytes: {error}"
        ) from error
    if not batches:
        raise InvalidData("envelope", "expected at least one micro-batch, found none")
    return batches


def decode_batch(data: bytes) -> Batch:
    """Decode a bundle of exactly one batch.

    Raises
    ------
    InvalidData
        Rule ``envelope``: as :func:`decode_batches`, or the bundle holds several.
    """
    batches = decode_batches(data)
    if len(batches) != 1:
        raise InvalidData("envelope", f"expected one micro-batch, found {len(batches)}")
    return batches[0]


def encode_record(record: Record) -> bytes:
    """Encode one record alone, as quarantine keeps it."""
    return _ENCODER.encode(record)


def decode_record(data: bytes) -> Record:
    """Decode what :func:`encode_record` made.

    Raises
    ------
    InvalidData
        Rule ``record``.
    """
    try:
        return _RECORD_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidData("record", str(error)) from error
