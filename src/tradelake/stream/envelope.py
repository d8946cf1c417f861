"""The micro-batch: what one Kinesis record carries, and its encoding.

Byte 0 is the format version, byte 1 the flags; the rest is MessagePack, compressed when
``FLAG_ZLIB`` is set. A batch is identified by its transport stamp (lane, epoch, bucket, seq), which
every hop keeps: a Kinesis sequence number is no identity, because a re-sent record gets a new one.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal

import msgspec

from tradelake.errors import InvalidData
from tradelake.market.records import Record

VERSION: Final = 1
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
    """

    lane: Lane
    venue: str
    epoch: int
    bucket: int
    seq: int
    watermark_ns: int
    records: list[Record]

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, seq): grows along the batch's lane and bucket."""
        return (self.epoch, self.seq)

    @property
    def source_key(self) -> str:
        """Name of the ordered sequence the batch belongs to, for instance ``live/us/3``."""
        return f"{self.lane}/{self.venue}/{self.bucket}"


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Batch)
_RECORD_DECODER: Final[msgspec.msgpack.Decoder[Record]] = msgspec.msgpack.Decoder(Record)


def encode_batch(batch: Batch, *, compress_above: int = 1024) -> bytes:
    """Encode a batch; bodies over ``compress_above`` bytes are compressed where that helps."""
    body = _ENCODER.encode(batch)
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


def decode_batch(data: bytes) -> Batch:
    """Decode what :func:`encode_batch` made.

    Raises
    ------
    InvalidData
        Rule ``envelope``: unknown version, unknown flag or a body that is no batch.
    """
    if len(data) < 2 or data[0] != VERSION or data[1] & ~FLAG_ZLIB:
        raise InvalidData(
            "envelope", f"expected version {VERSION}, found header {data[:2].hex() or 'nothing'}"
        )
    packed = memoryview(data)[2:]
    try:
        body = _decompress(packed) if data[1] & FLAG_ZLIB else packed
        return _DECODER.decode(body)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(
            "envelope", f"expected a micro-batch of {len(data)} bytes: {error}"
        ) from error


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
