"""The durable log of one shard: segment files behind an in-memory staging area.

Life of a record: :meth:`ShardLog.stage` gives it its ordinal (so staging order is log order),
:meth:`ShardLog.write` puts what was staged into the file in another thread, :meth:`ShardLog.commit`
makes it visible to readers. Nothing is acknowledged and nothing is read before it is committed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tradelake.local.stream_server.segment import Segment, Stored, encode_frame

RESTART_GAP: Final = 1 << 20
"""Ordinals skipped at a restart.

A number that a reader may have seen before a power loss is never given out again.
"""


@dataclass(slots=True)
class Staged:
    """Frames that wait for one write."""

    frames: list[bytes] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)

    @property
    def first(self) -> int:
        """First ordinal of the batch."""
        return self.marks[0][0]


class Signal:
    """Wakes every waiter at once; there is no state between firings."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake whoever waits now."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next firing or after ``timeout_s``."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return


class ShardLog:
    """Records of one shard in order of acknowledgement.

    Parameters
    ----------
    folder : Path
        Holds the shard's segment files; made where it is missing.
    segment_bytes, segment_age_ms : int
        When a segment is closed and the next one begun.

    Raises
    ------
    ConfigError
        A segment that is not the newest is damaged.
    """

    def __init__(self, folder: Path, *, segment_bytes: int, segment_age_ms: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segment_age_ms = segment_age_ms
        self.changed = Signal()
        folder.mkdir(parents=True, exist_ok=True)
        paths = sorted(folder.glob("*.seg"))
        self._segments = [Segment.load(path, may_be_torn=path is paths[-1]) for path in paths]
        for empty in [segment for segment in self._segments if not segment.records]:
            empty.delete()
        self._segments = [segment for segment in self._segments if segment.records]
        last = self._segments[-1] if self._segments else None
        self._last_ms = last.last_ms if last else 0
        self._next = last.last + RESTART_GAP if last else 1
        self.committed = last.last if last else 0
        self.assigned = self.committed
        self._staged = Staged()
        self._in_flight = False
        self._file: int | None = None
        self._target: Segment | None = None

    @property
    def first(self) -> int:
        """First ordinal that can still be read."""
        return self._segments[0].first if self._segments else self.committed + 1

    @property
    def first_arrival_ms(self) -> int:
        """Arrival of the first record that can still be read; 0 where there is none."""
        return self._segments[0].first_ms if self._segments else 0

    @property
    def last_arrival_ms(self) -> int:
        """Arrival of the last committed record; 0 where there is none."""
        return self._segments[-1].last_ms if self._segments else 0

    @property
    def records(self) -> int:
        """Committed records that are still kept."""
        return sum(segment.records for segment in self._segments)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits for a write."""
        return not self._staged.marks and not self._in_flight

    def stage(self, key: bytes, data: bytes, now_ms: int) -> int:
        """Give a record its place; returns its ordinal. Arrival times never go back."""
        ordinal = self._next
        self._next += 1
        self.assigned = ordinal
        self._last_ms = max(self._last_ms, now_ms)
        self._staged.frames.append(encode_frame(ordinal, self._last_ms, key, data))
        self._staged.marks.append((ordinal, self._last_ms))
        return ordinal

    def take(self) -> Staged:
        """Hand over what was staged since the last call."""
        staged, self._staged = self._staged, Staged()
        self._in_flight = True
        return staged

    def write(self, staged: Staged, *, sync: bool) -> None:
        """Append frames to the newest segment, or to a new one.

        Runs outside the event loop, one call at a time.
        """
        if not staged.frames:
            if sync and self._file is not None:
                os.fdatasync(self._file)
            return
        segment = self._segment_for(staged)
        if self._file is None:
            self._file = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(self._file).st_size != segment.size:  # a write that failed half-way
            os.ftruncate(self._file, segment.size)
        content = memoryview(b"".join(staged.frames))
        while content:
            content = content[os.write(self._file, content) :]
        if sync:
            os.fdatasync(self._file)

    def commit(self, staged: Staged) -> None:
        """Make written frames visible and wake readers."""
        self._in_flight = False
        if not staged.frames:
            return
        segment = self._target
        if segment is None:
            raise RuntimeError("commit without write")
        if not self._segments or self._segments[-1] is not segment:
            self._segments.append(segment)
        offset = segment.size
        for (ordinal, arrival_ms), frame in zip(staged.marks, staged.frames, strict=True):
            segment.note(ordinal, arrival_ms, offset)
            offset += len(frame)
        segment.size = offset
        self.committed = segment.last
        self.changed.fire()

    def discard(self) -> None:
        """Forget a batch whose write failed.

        The next write cuts off what it may have left in the file.
        """
        self._in_flight = False

    def read(self, ordinal: int, limit: int, max_bytes: int) -> list[Stored]:
        """Return committed records from an ordinal on.

        At most ``limit``, and at most ``max_bytes`` of data but at least one.
        """
        found: list[Stored] = []
        size = 0
        for segment in self._segments[self._segment_at(ordinal) :]:
            for stored in segment.read_from(ordinal):
                size += len(stored.data)
                if found and size > max_bytes:
                    return found
                found.append(stored)
                if len(found) >= limit:
                    return found
        return found

    def is_cold(self, ordinal: int) -> bool:
        """Whether a read would begin in a closed segment, which may have left the page cache."""
        return self._segment_at(ordinal) < len(self._segments) - 1

    def first_since(self, arrival_ms: int) -> int:
        """Ordinal of the first committed record that arrived at or after an instant.

        Where all are earlier, the ordinal to come.
        """
        for segment in self._segments:
            ordinal = segment.first_since(arrival_ms)
            if ordinal is not None:
                return ordinal
        return self.committed + 1

    def expire(self, before_ms: int) -> int:
        """Delete segments whose records all arrived before an instant; returns how many.

        The newest stays: it remembers which ordinals were given out.
        """
        kept = [
            segment
            for at, segment in enumerate(self._segments)
            if segment.last_ms >= before_ms or at == len(self._segments) - 1
        ]
        expired = [segment for segment in self._segments if segment not in kept]
        self._segments = kept
        for segment in expired:
            segment.delete()
        return len(expired)

    def close(self) -> None:
        """Sync and close the file."""
        if self._file is not None:
            os.fdatasync(self._file)
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        """Close and delete everything."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._segments = []
        shutil.rmtree(self._folder, ignore_errors=True)

    def _segment_at(self, ordinal: int) -> int:
        for at, segment in enumerate(self._segments):
            if ordinal <= segment.last:
                return at
        return max(len(self._segments) - 1, 0)

    def _segment_for(self, staged: Staged) -> Segment:
        current = self._segments[-1] if self._segments else None
        if current is not None and not self._is_full(current, staged):
            self._target = current
            return current
        if self._target is not None and self._target is not current:
            return self._target
        if current is not None:
            self.close()
            current.seal()
        self._target = Segment(self._folder / f"{staged.first:020d}.seg")
        self._target.path.touch()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._target

    def _is_full(self, segment: Segment, staged: Staged) -> bool:
        age_ms = staged.marks[-1][1] - segment.first_ms
        return segment.size >= self._segment_bytes or age_ms >= self._segment_age_ms
