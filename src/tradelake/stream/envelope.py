"""The micro-batch, and the bundle of them that one Kinesis record carries.

A bundle holds one or more batches of one key in their order: whoever passes many on at once needs
one request, not one for each. A batch of it that cannot be read or has an impossible stamp hurts
itself alone (:func:`open_bundle`). Byte 0 is the format version, byte 1 the flags; the rest is a
MessagePack array of batches, compressed when ``FLAG_ZLIB`` is set. A batch is identified by its
transport stamp (lane, venue, origin, epoch, bucket, seq), which every hop keeps: a Kinesis sequence
number is no identity, because a re-sent record gets a new one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from tradelake.decoding import MsgpackDecoder, msgpack_decoder
from tradelake.errors import InvalidData
from tradelake.market.channels import UNKNOWN
from tradelake.market.records import Record

VERSION: Final = 2
FLAG_ZLIB: Final = 1
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_NAME_CHARACTERS: Final = 64
"""Of a venue and of an origin: both are part of keys that are bounded elsewhere."""
_INT64: Final = 2**63
_INT32: Final = 2**31

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
    torn_until_ns : int
        Between the batch before and this event time data may be missing: the feed was interrupted.
        ``NO_WATERMARK``: nothing is missing.
    """

    lane: Lane
    venue: str
    epoch: int
    bucket: int
    seq: int
    watermark_ns: int
    records: list[Record]
    origin: str = ""
    torn_until_ns: int = NO_WATERMARK

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
_DECODER: Final = msgpack_decoder(list[Batch])
_RAW_DECODER: Final = msgpack_decoder(list[msgspec.Raw])
_BATCH_DECODER: Final = msgpack_decoder(Batch)
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_RECORD_DECODER: Final[MsgpackDecoder[Record]] = msgpack_decoder(Record)


@dataclass(frozen=True, slots=True)
class Fragment:
    """Batches in their encoding, to be put into a bundle with others.

    Parameters
    ----------
    count : int
        How many batches.
    data : bytes
        Their MessagePack, one after the other.
    """

    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """A batch of a bundle that is of no use: its index there, alone as a bundle, and why."""

    index: int
    data: bytes
    error: InvalidData


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a record holds.

    Parameters
    ----------
    parts : list of Batch or Damaged
        In their order; each batch has a stamp that can be stored.
    content : Fragment
        All of them as they came.
    """

    parts: list[Batch | Damaged]
    content: Fragment


def fragment(batches: Sequence[Batch]) -> Fragment:
    """Encode batches to be put into a bundle with others."""
    return Fragment(len(batches), b"".join(map(_ENCODER.encode, batches)))


def encode_fragments(fragments: Sequence[Fragment], *, compress_above: int = 1024) -> bytes:
    """Encode a bundle of fragments, in their order."""
    header = _array_header(sum(one.count for one in fragments))
    return _encode_body(b"".join((header, *(one.data for one in fragments))), compress_above)


def encode_batches(batches: Sequence[Batch], *, compress_above: int = 1024) -> bytes:
    """Encode a bundle; bodies over ``compress_above`` bytes are compressed where that helps."""
    return _encode_body(_ENCODER.encode(batches), compress_above)


def _encode_body(body: bytes, compress_above: int) -> bytes:
    if len(body) > compress_above:
        packed = zlib.compress(body, 1)
        if len(packed) < len(body):
            return bytes((VERSION, FLAG_ZLIB)) + packed
    return bytes((VERSION, 0)) + body


def _array_header(count: int) -> bytes:
    """MessagePack's head of an array of ``count`` elements, the shortest there is."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 2**16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def _header_bytes(first: int) -> int:
    """Length of an array's head by its first byte; a foreign encoder's need not be the shortest."""
    return {0xDC: 3, 0xDD: 5}.get(first, 1)


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
    body = _body(data)
    try:
        batches = _DECODER.decode(body)
    except _UNDECODABLE as error:
        raise _unreadable(data, error) from error
    if not batches:
        raise InvalidData("envelope", "expected at least one micro-batch, found none")
    return batches


def open_bundle(data: bytes) -> Bundle:
    """Decode a record batch by batch: one that cannot be read or stored is told apart.

    Raises
    ------
    InvalidData
        Rule ``envelope``: unknown version, unknown flag or a body that is no array, or empty.
    """
    body = _body(data)
    parts: list[Batch | Damaged] = []
    try:
        decoded: Sequence[Batch | msgspec.Raw] = _DECODER.decode(body)
    except _UNDECODABLE:
        try:
            decoded = _RAW_DECODER.decode(body)
        except _UNDECODABLE as error:
            raise _unreadable(data, error) from error
    if not decoded:
        raise InvalidData("envelope", "expected at least one micro-batch, found none")
    for index, one in enumerate(decoded):
        try:
            batch = one if isinstance(one, Batch) else _decode_alone(one)
            check_stamp(batch)
        except InvalidData as error:
            raw = bytes(one) if isinstance(one, msgspec.Raw) else _ENCODER.encode(one)
            parts.append(Damaged(index, encode_fragments([Fragment(1, raw)]), error))
        else:
            parts.append(batch)
    content = bytes(memoryview(body)[_header_bytes(body[0]) :])
    return Bundle(parts, Fragment(len(decoded), content))


def _decode_alone(raw: msgspec.Raw) -> Batch:
    try:
        return _BATCH_DECODER.decode(raw)
    except _UNDECODABLE as error:
        raise _unreadable(raw, error) from error


def check_stamp(batch: Batch) -> None:
    """Make sure that every hop can store and tell apart what the batch's stamp says.

    A negative bucket is for the venue ``unknown`` alone: rejects that came without a stamp.

    Raises
    ------
    InvalidData
        Rule ``envelope``: a number out of range, or a name that is absent, too long, not printable
        or holds ``/`` or ``~``, which divide the parts of ``source_key``.
    """
    if not (
        0 <= batch.epoch < _INT64
        and 0 <= batch.seq < _INT64
        and (0 if batch.venue != UNKNOWN else -_INT32) <= batch.bucket < _INT32
        and -_INT64 <= batch.watermark_ns < _INT64
        and -_INT64 <= batch.torn_until_ns < _INT64
    ):
        stamp = (batch.lane, batch.epoch, batch.bucket, batch.seq, batch.watermark_ns)
        raise InvalidData("envelope", f"expected a stamp of signed integers >= 0, found {stamp}")
    if not batch.venue or not (_is_name(batch.venue) and _is_name(batch.origin)):
        found = (batch.venue[:80], batch.origin[:80])
        raise InvalidData("envelope", f"expected names of venue and origin, found {found!r}")


def _is_name(text: str) -> bool:
    return (
        len(text) <= MAX_NAME_CHARACTERS
        and text.isprintable()
        and "/" not in text
        and "~" not in text
    )


def _body(data: bytes) -> bytes | memoryview:
    if len(data) < 2 or data[0] != VERSION or data[1] & ~FLAG_ZLIB:
        raise InvalidData(
            "envelope", f"expected version {VERSION}, found header {data[:2].hex() or 'nothing'}"
        )
    packed = memoryview(data)[2:]
    try:
        return _decompress(packed) if data[1] & FLAG_ZLIB else packed
    except zlib.error as error:
        raise _unreadable(data, error) from error


def _unreadable(data: bytes | msgspec.Raw, error: Exception) -> InvalidData:
    size = memoryview(data).nbytes
    return InvalidData("envelope", f"expected a micro-batch of {size} bytes: {error}")


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
