"""Intervals that may be incomplete, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec

OPEN: Final = 0
"""``closed_ns`` of a gap that lasts."""
FillStatus = Literal["waiting", "filling", "filled", "unrecoverable"]


class ChannelFill(msgspec.Struct, frozen=True, kw_only=True):
    """How far one channel of a gap was fetched again.

    Parameters
    ----------
    status : str
        ``waiting`` for the gap's end or its turn, ``filling``, ``filled``: all the venue has of the
        interval is on the backfill stream, ``unrecoverable``: the venue keeps no history of it.
    cursor : str
        Where to go on, opaque; empty at the start and at the end.
    fetched : dict of str to int
        Records put on the backfill stream by symbol; most are duplicates of what was there.
    """

    status: FillStatus = "waiting"
    cursor: str = ""
    fetched: dict[str, int] = {}


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about a gap.

    Parameters
    ----------
    channels : dict of str to ChannelFill
        By channel; a channel that is not there waits.
    epoch : int
        Epoch of the newest run's batches for this gap on the backfill lane; -1 before the first.
    last_seq : dict of str to int
        By bucket, the ``seq`` of the last batch put in that epoch.
    earlier : dict of int to dict
        The same by epoch, of the runs that were interrupted before it.
    settled : bool
        Every bar that overlaps the gap was rebuilt from the filled lake.
    """

    channels: dict[str, ChannelFill] = {}
    epoch: int = -1
    last_seq: dict[str, int] = {}
    earlier: dict[int, dict[str, int]] = {}
    settled: bool = False

    def positions(self) -> Iterator[tuple[int, str, int]]:
        """(epoch, bucket, ``seq``) of the last batch of every epoch and bucket that was put."""
        for epoch, last_seq in (*self.earlier.items(), (self.epoch, self.last_seq)):
            for bucket, seq in last_seq.items():
                yield epoch, bucket, seq


NOTHING_FILLED: Final = Fill()


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which data may be missing; ``closed_ns`` is ``OPEN`` while it lasts.

    ``fill`` is the backfill's own account; whoever opens or closes a gap leaves it alone.
    """

    venue: str
    opened_ns: int
    closed_ns: int
    channels: tuple[str, ...]
    symbols: tuple[str, ...]
    cause: str
    fill: Fill = NOTHING_FILLED

    @property
    def key(self) -> tuple[str, int, str, tuple[str, ...], tuple[str, ...]]:
        """What names it: everything that is known when it opens."""
        return (self.venue, self.opened_ns, self.cause, self.channels, self.symbols)


class GapLedger(Protocol):
    """Keeps every gap for ever, with what was done about it."""

    def record(self, gap: Gap) -> None:
        """Write a gap; all but ``closed_ns`` names it, so that it can be closed; ``fill`` stays."""
        ...

    def note_fill(self, gap: Gap, fill: Fill) -> None:
        """Replace what was done about ``gap``.

        Raises
        ------
        Conflict
            It is not ``gap.fill`` any more: somebody else works on it.
        """
        ...

    def gaps(self) -> list[Gap]:
        """Every gap, oldest first."""
        ...
