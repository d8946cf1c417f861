"""What a session wants done and what it found: its only output.

Actions are carried out by the shell that owns the socket: ``Send``, ``SendPing``, ``Close``,
``Abort``, ``ReconnectAfter``, ``Fail``, ``Stopped``. The rest are facts for whoever records them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tradelake.market.records import Record


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message: text as a text frame, bytes as a binary one. Never shown: may be secret."""

    data: str | bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping frame; report the pong to the session."""


@dataclass(frozen=True, slots=True)
class Close:
    """Send a close frame and go on reading until the venue's own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop the connection: the venue does not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReconnectAfter:
    """Connect again after so many seconds."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Stop for good: trying again would be wrong."""

    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The session ended because it was asked to; nothing more will come."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one frame, in its order."""

    records: list[Record]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The venue acknowledged the subscription as it is now wanted, or a part of it.

    Parameters
    ----------
    missing : mapping
        What is wanted and not given, by channel.
    unwanted : mapping
        What is given and not wanted, by channel.
    """

    missing: Mapping[str, tuple[str, ...]]
    unwanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VenueError:
    """The venue reported an error; what follows from it is in the other events."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The stream ended or is given up; until the next ``Subscribed`` silence says nothing."""

    cause: str


STOP: Final = "stop"
"""Cause of the gap that begins when the session ends because it was asked to."""


@dataclass(frozen=True, slots=True)
class GapOpened:
    """From ``opened_ns`` (our clock) data of these channels and symbols may be missing."""

    opened_ns: int
    channels: tuple[str, ...]
    symbols: tuple[str, ...]
    cause: str


@dataclass(frozen=True, slots=True)
class GapClosed:
    """Data may be missing up to ``closed_ns``; what comes after it is whole again."""

    gap: GapOpened
    closed_ns: int


Event = (
    Send
    | SendPing
    | Close
    | Abort
    | ReconnectAfter
    | Fail
    | Stopped
    | Records
    | Subscribed
    | VenueError
    | Interrupted
    | GapOpened
    | GapClosed
)
