"""A :class:`~tradelake.ports.Spool` in segment files, on a task's own disk or on EFS.

::

    <folder>/<venue>[~origin]/<epoch>/<number>.spool            written by the run of that epoch
    <folder>/<venue>[~origin]/<epoch>/<number>.<epoch>.taken    being drained by a later run

There is no cursor: a segment is deleted when all of it is on the stream, and what a crash makes a
later run send again is recognised by its stamp downstream. Nothing needs a lock or a memory map, so
a network file system will do. A later run takes a segment over by renaming it BEFORE reading it,
and a run promises what it appended only after it saw its segment under its own name again: so
either the later run reads what was promised, or nothing was promised.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tradelake.adapters.disk import segment
from tradelake.errors import ConfigError, Fatal, SpoolFull, Transient
from tradelake.ports import Outgoing

SEGMENT_BYTES: Final = 8 * 1024 * 1024
MAX_BYTES: Final = 4 * 1024**3
_OWN: Final = ".spool"
_TAKEN: Final = ".taken"


@dataclass(slots=True)
class _Segment:
    path: Path
    size: int
    ours: bool
    salt: int = 0
    descriptor: int | None = None
    read_to: int = 0


class DiskSpool:
    """Records of one ingester that wait for the stream.

    Parameters
    ----------
    folder : Path
        The ingester's own: of its venue and origin. Made when the first record is appended.
    epoch : int
        Fence of this run; what runs of earlier epochs left in ``folder`` is drained first.
    max_bytes : int
        Above which ``append`` refuses.
    segment_bytes : int
        A segment that is so large is followed by another.
    write, sync : callable
        ``os.write`` and ``os.fsync``, or what behaves like a faulty disk.

    Raises
    ------
    ConfigError
        The folder cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        epoch: int,
        *,
        max_bytes: int = MAX_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        write: Callable[[int, bytes], int] = os.write,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.damaged_bytes = 0
        self._folder, self._epoch = folder, epoch
        self._max_bytes, self._segment_bytes = max_bytes, segment_bytes
        self._write, self._sync = write, sync
        self._lock = threading.Lock()
        self._number = 0
        self._loaded: deque[Outgoing] = deque()
        try:
            self._segments = deque(_left_behind(folder, epoch))
        except OSError as error:
            raise ConfigError(f"spool {folder}: {error.strerror}") from error

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._segments

    @property
    def size_bytes(self) -> int:
        """What waits takes on the disk, with the drained part of its oldest segment."""
        return sum(part.size for part in tuple(self._segments))

    def append(self, records: Sequence[Outgoing]) -> None:
        """Append records with one write and one sync; on return they survive a crash.

        Raises
        ------
        SpoolFull
            The limit is reached or the disk refuses; none of the records is promised.
        Fatal
            A run of a later epoch took this one's segments over.
        """
        with self._lock:
            size = sum(len(record.data) + len(record.key) + 16 for record in records)
            if self.size_bytes + size > self._max_bytes:
                raise SpoolFull(f"spool {self._folder}: {self._max_bytes} bytes are in use")
            part: _Segment | None = None
            try:
                part = self._active() or self._create()
                self._append_to(part, segment.encode(records, part.salt))
            except OSError as error:
                if part is not None:
                    self._abandon(part)
                raise SpoolFull(f"spool {self._folder}: {error.strerror}") from error

    def oldest(self, max_records: int, max_bytes: int) -> list[Outgoing]:
        """Return the oldest records in order, of one segment; none only when the spool is empty.

        Raises
        ------
        Transient
            The disk does not answer.
        Fatal
            A run of a later epoch took this one's segments over.
        """
        with self._lock:
            while not self._loaded and self._segments:
                try:
                    self._load(self._segments[0])
                except OSError as error:
                    raise Transient(f"spool {self._folder}: {error.strerror}") from error
                if not self._loaded:
                    self._remove_oldest()
            return list(_at_most(self._loaded, max_records, max_bytes))

    def drop(self, count: int) -> None:
        """Forget the oldest ``count`` records of those ``oldest`` returned."""
        if not count:
            return
        with self._lock:
            for _ in range(count):
                self._loaded.popleft()
            if not self._loaded and self._segments[0].read_to >= self._segments[0].size:
                self._remove_oldest()

    def close(self) -> None:
        """Close the file in use; what waits stays for a later run."""
        with self._lock:
            for part in self._segments:
                _close(part)

    def _active(self) -> _Segment | None:
        part = self._segments[-1] if self._segments else None
        if part is None or part.descriptor is None:
            return None
        if part.size < self._segment_bytes:
            return part
        _close(part)
        return None

    def _create(self) -> _Segment:
        folder = self._folder / str(self._epoch)
        for made in (self._folder.parent, self._folder, folder):
            if not made.exists():
                made.mkdir(parents=True, exist_ok=True)
                self._sync_folder(made.parent)
        while (path := folder / f"{self._number:08d}{_OWN}").exists():
            self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        salt = int.from_bytes(os.urandom(4), "little")
        part = _Segment(path, 0, ours=True, salt=salt, descriptor=os.open(path, flags, 0o600))
        self._number += 1
        self._segments.append(part)
        try:
            self._append_to(part, segment.header(salt))
            self._sync_folder(folder)
        except OSError:
            self._abandon(part)
            raise
        return part

    def _append_to(self, part: _Segment, data: bytes) -> None:
        assert part.descriptor is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._write(part.descriptor, bytes(rest)) :]
        self._sync(part.descriptor)
        if not _is_at(part.descriptor, part.path):
            raise Fatal(f"spool {part.path}: a later run took it over; this one is out of date")
        part.size += len(data)

    def _abandon(self, part: _Segment) -> None:
        """Never write behind a write that failed: what it left would hide what follows."""
        _close(part)
        if part.size <= segment.HEADER_BYTES and self._segments[-1] is part:
            self._segments.pop()
            with contextlib.suppress(OSError):
                part.path.unlink()

    def _load(self, part: _Segment) -> None:
        if not part.ours and not self._take_over(part):
            return
        try:
            with part.path.open("rb") as file:
                data = file.read(segment.HEADER_BYTES)
                start = max(part.read_to, len(data))
                file.seek(start)
                # of ours, what is beyond its size is a write that failed or is not promised yet
                data += file.read(part.size - start if part.ours else -1)
        except FileNotFoundError as error:
            raise Fatal(f"spool {part.path}: a later run took it over") from error
        if not part.ours:
            part.size = len(data)
        contents = segment.decode(data, name=str(part.path))
        part.read_to = part.size
        self.damaged_bytes += contents.damaged_bytes
        self._loaded.extend(contents.records)

    def _take_over(self, part: _Segment) -> bool:
        """Rename a segment of another run, so that it knows; False: somebody else has it."""
        stem = part.path.name.partition(".")[0]
        taken = part.path.with_name(f"{stem}.{self._epoch}{_TAKEN}")
        try:
            part.path.rename(taken)
        except FileNotFoundError:
            return False
        part.path = taken
        return True

    def _remove_oldest(self) -> None:
        part = self._segments.popleft()
        _close(part)
        with contextlib.suppress(OSError):
            part.path.unlink()
            if not part.ours:
                part.path.parent.rmdir()

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)


def _left_behind(folder: Path, epoch: int) -> Iterator[_Segment]:
    if not folder.exists():
        return
    epochs = sorted(int(item.name) for item in folder.iterdir() if item.name.isdecimal())
    for earlier in epochs:
        if earlier <= epoch:
            for path in sorted((folder / str(earlier)).iterdir()):
                if path.suffix in (_OWN, _TAKEN):
                    yield _Segment(path, path.stat().st_size, ours=False)


def _at_most(records: deque[Outgoing], max_records: int, max_bytes: int) -> Iterator[Outgoing]:
    size = 0
    for number, record in enumerate(records):
        size += len(record.data)
        if number >= max_records or (number and size > max_bytes):
            return
        yield record


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether ``path`` is still the open file; opening asks the server of a network file system."""
    try:
        found = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return os.path.sameopenfile(descriptor, found)
    finally:
        os.close(found)


def _close(part: _Segment) -> None:
    if part.descriptor is not None:
        os.close(part.descriptor)
        part.descriptor = None
