"""The journal: everything the venue published, in order, and to whom it was written.

A file of MessagePack objects, each behind its length (4 bytes, big-endian): what was published
together, then what became of it on every connection. A message nobody was connected for has no
writes; that is how a reconciliation knows of it at all.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tradelake.decoding import msgpack_decoder
from tradelake.errors import ConfigError, InvalidData
from tradelake.exchange.wire import MarketRecord

_LENGTH: Final = struct.Struct(">I")


class Outcome(enum.IntEnum):
    """What became of a message on a connection."""

    DELIVERED = 0
    """Written to the socket."""
    REPEATED = 1
    """Written once more, on purpose."""
    MUTED = 2
    """Withheld: the socket was open and silent."""
    CUT = 3
    """In a frame in the middle of which the connection ended."""
    TRUNCATED = 4
    """In a frame whose content ended early."""
    GONE = 5
    """Not written: the connection had ended."""


class Kind(enum.IntEnum):
    """Why a message was published."""

    MARKET = 0
    """The market's next message, for every client."""
    STANDING = 1
    """A whole book as it stands, for the client that subscribed."""
    POISON = 2
    """Made up by a fault: its price is no number, or no finite one."""


@dataclass(slots=True)
class Publication:
    """A message of the venue.

    Parameters
    ----------
    number : int
        Counts the messages of the journal.
    at_ns : int
        Time of publication, ns since 1970 UTC by this machine's clock.
    kind : Kind
        Why it was published.
    channel : str
        Alpaca's name of the channel.
    record : Trade, Quote, BookUpdate or Bar
        Symbol, identity and content; ``ts_ingest`` is 0.
    writes : list of (int, Outcome)
        Number of the connection, and what became of the message there; empty where nobody who
        subscribed to it was connected.
    """

    number: int
    at_ns: int
    kind: Kind
    channel: str
    record: MarketRecord
    writes: list[tuple[int, Outcome]] = field(default_factory=list)

    @property
    def delivered(self) -> int:
        """How often it was written to a socket whole."""
        return sum(outcome <= Outcome.REPEATED for _, outcome in self.writes)


class _Published(msgspec.Struct, frozen=True, array_like=True, tag=0):
    first: int
    at_ns: int
    kind: int
    channels: list[str]
    records: list[MarketRecord]


class _Written(msgspec.Struct, frozen=True, array_like=True, tag=1):
    connection: int
    outcome: int
    numbers: list[int]


class Journal:
    """Appends to a journal; every entry is in the file when the call returns.

    Parameters
    ----------
    path : Path
        The file; an earlier one is replaced.

    Raises
    ------
    ConfigError
        It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("wb", buffering=0)
        except OSError as error:
            raise ConfigError(f"journal: cannot write {path}: {error.strerror}") from error
        self._encode = msgspec.msgpack.Encoder().encode
        self._next = 0

    def published(
        self, at_ns: int, kind: Kind, channels: Sequence[str], records: Sequence[MarketRecord]
    ) -> range:
        """Note messages that were published together; returns their numbers."""
        numbers = range(self._next, self._next + len(records))
        self._next = numbers.stop
        self._append(_Published(numbers.start, at_ns, kind, list(channels), list(records)))
        return numbers

    def written(self, connection: int, outcome: Outcome, numbers: Sequence[int]) -> None:
        """Note what became of messages on a connection."""
        self._append(_Written(connection, outcome, list(numbers)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, entry: _Published | _Written) -> None:
        body = self._encode(entry)
        self._file.write(_LENGTH.pack(len(body)) + body)


def read_journal(path: Path) -> list[Publication]:
    """Return every publication of a journal, in order.

    Raises
    ------
    InvalidData
        Rule ``journal``: an entry is damaged. A last entry that was cut short is left out: the
        exchange was killed while it wrote it.
    """
    decode = msgpack_decoder(_Published | _Written).decode
    found: list[Publication] = []
    for body in _bodies(path.read_bytes()):
        try:
            entry = decode(body)
        except msgspec.DecodeError as error:
            raise InvalidData("journal", f"{path}, after {len(found)} messages: {error}") from error
        if isinstance(entry, _Written):
            for number in entry.numbers:
                found[number].writes.append((entry.connection, Outcome(entry.outcome)))
            continue
        found.extend(
            Publication(number, entry.at_ns, Kind(entry.kind), channel, record)
            for number, channel, record in zip(
                range(entry.first, entry.first + len(entry.records)),
                entry.channels,
                entry.records,
                strict=True,
            )
        )
    return found


def _bodies(data: bytes) -> Iterator[memoryview]:
    view, at = memoryview(data), 0
    while at + _LENGTH.size <= len(view):
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        if at + length > len(view):
            return
        yield view[at : at + length]
        at += length
