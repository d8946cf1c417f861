"""The format of a spool's segment file, version 1; the magic is ``TLSPOOL`` and a zero byte.

::

    header   8 bytes magic | u16 version | u16 zero | u32 salt | u32 crc32 of the 16 before
    record   4 bytes mark | u32 length of body | u32 crc32(length and body, salt)
    body     u16 length of key | key in UTF-8 | data

All integers are little-endian. The salt differs from file to file: bytes inside a record's data
that look like a record are none, because their checksum cannot fit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tradelake.errors import ConfigError
from tradelake.ports import Outgoing

VERSION: Final = 1
_MAGIC: Final = b"TLSPOOL\0"
_HEAD: Final = struct.Struct("<8sHHI")
_CHECKSUM: Final = struct.Struct("<I")
_MARK: Final = b"\xf5rec"
_FRAME: Final = struct.Struct("<4sII")
_LENGTH: Final = struct.Struct("<I")
_KEY: Final = struct.Struct("<H")
HEADER_BYTES: Final = _HEAD.size + _CHECKSUM.size


@dataclass(frozen=True, slots=True)
class Contents:
    """What a segment holds.

    Parameters
    ----------
    records : list of Outgoing
        In the order they were appended.
    damaged_bytes : int
        Bytes BEFORE the last whole record that are none: a disk's fault. What follows the last
        whole record was never acknowledged and is not counted.
    """

    records: list[Outgoing]
    damaged_bytes: int


def header(salt: int) -> bytes:
    """Return the bytes a segment begins with."""
    head = _HEAD.pack(_MAGIC, VERSION, 0, salt)
    return head + _CHECKSUM.pack(zlib.crc32(head))


def encode(records: Iterable[Outgoing], salt: int) -> bytes:
    """Return records as a segment holds them, to be written behind what is there."""
    parts = []
    for record in records:
        key = record.key.encode()
        body = _KEY.pack(len(key)) + key + record.data
        checksum = zlib.crc32(body, zlib.crc32(_LENGTH.pack(len(body)), salt))
        parts += [_FRAME.pack(_MARK, len(body), checksum), body]
    return b"".join(parts)


def decode(data: bytes, *, name: str) -> Contents:
    """Return the whole records of a segment; a tail that was cut short is left out.

    Raises
    ------
    ConfigError
        A later version of this program wrote it; ``name`` says which file.
    """
    salt = _salt(data, name)
    if salt is None:
        return Contents([], 0)
    records = []
    damaged, at, good_end = 0, HEADER_BYTES, HEADER_BYTES
    while at != -1:
        found = _record_at(data, at, salt)
        if found is None:
            at = data.find(_MARK, at + 1)
            continue
        record, end = found
        damaged += at - good_end
        records.append(record)
        at = good_end = end
    return Contents(records, damaged)


def _salt(data: bytes, name: str) -> int | None:
    """Return the salt of a segment, None where its header never reached the disk whole."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, _, salt = _HEAD.unpack_from(data)
    [checksum] = _CHECKSUM.unpack_from(data, _HEAD.size)
    if magic != _MAGIC or checksum != zlib.crc32(data[: _HEAD.size]):
        return None
    if version != VERSION:
        raise ConfigError(f"{name}: expected spool version {VERSION}, found {version}")
    return int(salt)


def _record_at(data: bytes, at: int, salt: int) -> tuple[Outgoing, int] | None:
    start = at + _FRAME.size
    if start > len(data):
        return None
    mark, length, checksum = _FRAME.unpack_from(data, at)
    end = start + length
    if mark != _MARK or length < _KEY.size or end > len(data):
        return None
    body = data[start:end]
    if zlib.crc32(body, zlib.crc32(_LENGTH.pack(length), salt)) != checksum:
        return None
    [key_length] = _KEY.unpack_from(body)
    key_end = _KEY.size + key_length
    return Outgoing(body[_KEY.size : key_end].decode(), body[key_end:]), end
