"""One append-only segment file of a shard: framing, a sparse index, recovery of a torn tail.

A frame is ``length:u32 crc:u32`` and a body ``ordinal:u64 arrival_ms:u64 key_length:u16 key data``,
little-endian; the CRC is of the body. Ordinals grow strictly inside a file; they may have holes.
The index holds one frame in about 8 KiB, so memory stays small and a look-up is a bisection and a
short scan.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tradelake.decoding import msgpack_decoder
from tradelake.errors import ConfigError

_LOG: Final = logging.getLogger(__name__)
_HEAD: Final = struct.Struct("<II")
_BODY: Final = struct.Struct("<QQH")
_INDEX_STRIDE: Final = 8 << 10
_READ_CHUNK: Final = 256 << 10
_MAX_BODY: Final = (1 << 20) + 4 * 256 + _BODY.size


class Stored(msgspec.Struct, frozen=True):
    """A record as it lies in a file."""

    ordinal: int
    arrival_ms: int
    key: str
    data: bytes


def encode_frame(ordinal: int, arrival_ms: int, key: bytes, data: bytes) -> bytes:
    """Return the frame of one record."""
    body = b"".join((_BODY.pack(ordinal, arrival_ms, len(key)), key, data))
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


class _Saved(msgspec.Struct, array_like=True):
    """What a closed segment's index file holds; saves the scan at the next start."""

    size: int
    last: int
    last_ms: int
    records: int
    ordinals: list[int]
    offsets: list[int]
    times: list[int]


class Segment:
    """A segment file and its sparse index.

    ``size`` is the committed length: readers never look beyond it, so a write in progress in
    another thread is invisible.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first = int(path.stem)
        self.last = self.first - 1
        self.last_ms = 0
        self.size = 0
        self.records = 0
        self._ordinals = array("Q")
        self._offsets = array("Q")
        self._times = array("Q")

    @property
    def first_ms(self) -> int:
        """Arrival of the first record; 0 in an empty segment."""
        return self._times[0] if self._times else 0

    @classmethod
    def load(cls, path: Path, *, may_be_torn: bool) -> Segment:
        """Open a file left by an earlier process, by its index file or by a scan.

        Parameters
        ----------
        path : Path
            The segment file.
        may_be_torn : bool
            It is the newest: an incomplete frame at its end was never acknowledged and is cut off,
            kept aside in a ``.torn`` file.

        Raises
        ------
        ConfigError
            An older segment has a damaged frame; the message names file and offset.
        """
        segment = cls(path)
        length = path.stat().st_size
        if segment._load_index(length):
            return segment
        with path.open("rb") as file:
            content = file.read()
        for offset, stored in _frames(content):
            segment.note(stored.ordinal, stored.arrival_ms, offset)
            segment.size = offset + _frame_length(content, offset)
        if segment.size != length:
            if not may_be_torn:
                raise ConfigError(f"{path}: damaged frame at offset {segment.size} of {length}")
            _LOG.warning("%s: cut %d bytes of a torn tail", path, length - segment.size)
            path.with_suffix(".torn").write_bytes(content[segment.size :])
            os.truncate(path, segment.size)
        return segment

    def note(self, ordinal: int, arrival_ms: int, offset: int) -> None:
        """Take a frame at ``offset`` into the index."""
        if not self._offsets or offset - self._offsets[-1] >= _INDEX_STRIDE:
            self._ordinals.append(ordinal)
            self._offsets.append(offset)
            self._times.append(arrival_ms)
        self.last = ordinal
        self.last_ms = arrival_ms
        self.records += 1

    def seal(self) -> None:
        """Write the index file of a segment that gets no more records."""
        saved = _Saved(
            self.size,
            self.last,
            self.last_ms,
            self.records,
            self._ordinals.tolist(),
            self._offsets.tolist(),
            self._times.tolist(),
        )
        partial = self.path.with_suffix(".idx.partial")
        partial.write_bytes(msgspec.msgpack.encode(saved))
        partial.replace(self.path.with_suffix(".idx"))

    def read_from(self, ordinal: int) -> Iterator[Stored]:
        """Yield committed records with an ordinal at or after the given one.

        Raises
        ------
        OSError
            The file is damaged or gone.
        """
        at = bisect_right(self._ordinals, ordinal) - 1
        for stored in self._scan(self._offsets[at] if at >= 0 else 0):
            if stored.ordinal >= ordinal:
                yield stored

    def first_since(self, arrival_ms: int) -> int | None:
        """Ordinal of the first record that arrived at or after an instant.

        None where all are earlier.
        """
        if not self.records or self.last_ms < arrival_ms:
            return None
        at = bisect_right(self._times, arrival_ms - 1) - 1
        scan = self._scan(self._offsets[at] if at >= 0 else 0)
        return next(stored.ordinal for stored in scan if stored.arrival_ms >= arrival_ms)

    def delete(self) -> None:
        """Remove the file and its index file; readers that have it open can finish."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".idx").unlink(missing_ok=True)

    def _load_index(self, length: int) -> bool:
        path = self.path.with_suffix(".idx")
        if not path.exists():
            return False
        try:
            saved = msgpack_decoder(_Saved).decode(path.read_bytes())
        except msgspec.DecodeError:
            return False
        if saved.size != length:
            return False
        self.size, self.last, self.last_ms = saved.size, saved.last, saved.last_ms
        self.records = saved.records
        self._ordinals = array("Q", saved.ordinals)
        self._offsets = array("Q", saved.offsets)
        self._times = array("Q", saved.times)
        return True

    def _scan(self, offset: int) -> Iterator[Stored]:
        end = self.size
        with self.path.open("rb") as file:
            rest = b""
            while offset < end:
                chunk = os.pread(
                    file.fileno(), min(_READ_CHUNK, end - offset - len(rest)), offset + len(rest)
                )
                buffer = rest + chunk
                used = 0
                for start, stored in _frames(buffer):
                    used = start + _frame_length(buffer, start)
                    yield stored
                if not used and not chunk:
                    raise OSError(f"{self.path}: damaged frame at offset {offset}")
                offset += used
                rest = buffer[used:]


def _frame_length(buffer: bytes, offset: int) -> int:
    return _HEAD.size + int(_HEAD.unpack_from(buffer, offset)[0])


def _frames(buffer: bytes) -> Iterator[tuple[int, Stored]]:
    """Yield (offset, record) of whole, undamaged frames; stop at the first that is not."""
    offset, end = 0, len(buffer)
    while offset + _HEAD.size <= end:
        length, crc = _HEAD.unpack_from(buffer, offset)
        start = offset + _HEAD.size
        if not _BODY.size <= length <= _MAX_BODY or start + length > end:
            return
        body = buffer[start : start + length]
        if zlib.crc32(body) != crc:
            return
        ordinal, arrival_ms, key_length = _BODY.unpack_from(body)
        split = _BODY.size + key_length
        yield offset, Stored(ordinal, arrival_ms, body[_BODY.size : split].decode(), body[split:])
        offset = start + length
