"""What remembers: time, state, objects, secrets, leases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """The time of day."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Versioned:
    """A stored value and the version a writer must name to replace it."""

    value: bytes
    version: int


class StateStore(Protocol):
    """Small values under (consumer, key), written conditionally."""

    def load(self, consumer: str, key: str) -> Versioned | None:
        """Value with its version, or None."""
        ...

    def save(self, consumer: str, key: str, value: bytes, expected_version: int) -> None:
        """Replace the value when its version is ``expected_version`` (0: when there is none).

        Raises
        ------
        Conflict
            Somebody else wrote since.
        """
        ...


class ObjectStore(Protocol):
    """Objects under keys of one bucket."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole or not at all."""
        ...

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises
        ------
        KeyError
            There is none.
        """
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with ``prefix``, sorted."""
        ...


class SecretStore(Protocol):
    """Secrets by name. Values are never logged."""

    def get(self, name: str) -> Mapping[str, str]:
        """Fields of the secret.

        Raises
        ------
        ConfigError
            It does not exist or is no JSON object of strings.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fence:
    """An epoch, and until when the run before had everything durable; None: it ended in order."""

    epoch: int
    durable_ns: int | None


class EpochStore(Protocol):
    """Hands out fences, and keeps how far the run behind the latest one came."""

    def next_fence(self, name: str) -> Fence:
        """A fence whose epoch is greater than every one handed out before for ``name``."""
        ...

    def note_durable(self, name: str, epoch: int, durable_ns: int | None) -> None:
        """Keep that all received before ``durable_ns`` is durable; None: the run ends in order.

        Raises
        ------
        Conflict
            A later fence was handed out.
        """
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads; ``beat`` changes whenever the holder gives a sign of life."""

    holder: str
    epoch: int
    beat: int


class LeaseStore(Protocol):
    """One leader a name. A holder that stops renewing is replaced; epochs fence what it wrote."""

    def read(self, name: str) -> Lease | None:
        """The lease, or None when nobody holds it; never an old one."""
        ...

    def take(self, name: str, holder: str, seen: Lease | None) -> Fence:
        """Become the holder with a new epoch, if the lease is still as ``seen``.

        Raises
        ------
        Conflict
            The holder gave a sign of life since, or somebody else took it.
        """
        ...

    def renew(self, name: str, epoch: int) -> None:
        """Give a sign of life.

        Raises
        ------
        Conflict
            Somebody else holds the lease now.
        """
        ...

    def release(self, name: str, epoch: int) -> None:
        """Give the lease back, so that a standby need not wait; nothing when it is lost already."""
        ...


class Evictor(Protocol):
    """Ends the process behind a holder, so that it lets go of the venue's one connection."""

    def evict(self, holder: str) -> None:
        """End it for certain, even one that is paused; nothing when there is none any more.

        Raises
        ------
        Transient
            It could not be asked for; it may live on.
        """
        ...
