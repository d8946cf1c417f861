"""The gap ledger as people and programs read it: a line a gap and channel. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tradelake.ports import OPEN, ChannelFill, FillStatus, Gap


class GapLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one channel of one gap.

    Parameters
    ----------
    opened_ns, closed_ns : int, int or None
        By our clock, ns since 1970 UTC; None while it lasts.
    symbols : tuple of str
        Which may be missing; ``*``: all.
    status : str
        As in :class:`tradelake.ports.ChannelFill`.
    fetched : int
        Records put on the backfill stream; most are duplicates of what was there.
    """

    venue: str
    opened_ns: int
    closed_ns: int | None
    cause: str
    channel: str
    symbols: tuple[str, ...]
    status: FillStatus
    fetched: int

    @property
    def seconds(self) -> float | None:
        """How long it lasted; None while it does."""
        return None if self.closed_ns is None else (self.closed_ns - self.opened_ns) / 1e9

    @property
    def done(self) -> bool:
        """Whether nothing more can come of it."""
        return self.status in ("filled", "unrecoverable")


def gap_lines(gaps: Iterable[Gap]) -> list[GapLine]:
    """Return a line a gap and channel, in the order of the ledger and of the gap's channels."""
    return [
        GapLine(
            venue=gap.venue,
            opened_ns=gap.opened_ns,
            closed_ns=None if gap.closed_ns == OPEN else gap.closed_ns,
            cause=gap.cause,
            channel=channel,
            symbols=gap.symbols,
            status=fill.status,
            fetched=sum(fill.fetched.values()),
        )
        for gap in gaps
        for channel in gap.channels
        for fill in (gap.fill.channels.get(channel, ChannelFill()),)
    ]
