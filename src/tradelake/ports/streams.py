"""What carries records: writers of streams, and the spool beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tradelake.errors import Transient


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be put on a stream; ``key`` decides the shard and so the order."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A record read from a stream; ``sequence_number`` grows along a partition key."""

    sequence_number: str
    key: str
    data: bytes
    arrival_ns: int = 0


class StreamWriter(Protocol):
    """Puts records on one stream."""

    def put(self, records: Sequence[Outgoing]) -> None:
        """Put records; when this returns they are durable, those of equal key in the given order.

        Raises
        ------
        Transient
            After the writer's own retries; some records may have been written, in order, without
            holes per key.
        """
        ...


class AsyncStreamWriter(Protocol):
    """Offers records to one stream; when to offer again what was refused is the caller's policy."""

    async def offer(self, records: Sequence[Outgoing]) -> Sequence[Transient | None]:
        """Put records of different keys, once; None for each that is durable, else the refusal.

        Raises
        ------
        Transient
            Nothing is known of any of them: each may be on the stream or not.
        Fatal
            The stream refuses for good.
        """
        ...

    async def close(self) -> None:
        """Close its connections; nothing is offered any more."""
        ...


class Spool(Protocol):
    """Keeps records on a disk while a stream refuses them: first in, first out. Blocks.

    What an earlier run left behind comes first. Called from one thread that appends and one that
    reads and drops, at the same time.
    """

    @property
    def empty(self) -> bool:
        """Whether all that was appended, or left by an earlier run, was dropped."""
        ...

    @property
    def size_bytes(self) -> int:
        """What waits takes on the disk."""
        ...

    @property
    def damaged_bytes(self) -> int:
        """What was found unreadable before whole records: the disk lost it, not a crash."""
        ...

    def append(self, records: Sequence[Outgoing]) -> None:
        """Append records; on return they survive the death of process and machine.

        Raises
        ------
        SpoolFull
            None of them is promised; one that is found there all the same is a repeat.
        Fatal
            Another run took this one's records over: it is this run that is out of date.
        """
        ...

    def oldest(self, max_records: int, max_bytes: int) -> list[Outgoing]:
        """Return the oldest records in order; none only when the spool is empty.

        Raises
        ------
        Transient
            The disk does not answer.
        Fatal
            Another run took this one's records over.
        """
        ...

    def drop(self, count: int) -> None:
        """Forget the oldest ``count`` records: they are on the stream."""
        ...

    def close(self) -> None:
        """Let go of files; what waits stays for a later run."""
        ...
