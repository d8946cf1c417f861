"""Account for every point the venue sent: sent = stored + quarantined + duplicates + unrecoverable.

What is left over is unexplained, and that is the only meaning of "lost" here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

Counts = Mapping[tuple[str, str], int]
"""Points by (channel, symbol)."""


class LakeAudit(Protocol):
    """Counts what the lake holds, by (channel, symbol)."""

    def stored(self) -> Counts:
        """Rows in the tables of market data."""
        ...

    def doubled(self) -> Counts:
        """Rows whose identity is there more than once, counted beyond the first."""
        ...

    def quarantined(self) -> Counts:
        """Rows in quarantine."""
        ...

    def duplicates(self) -> Counts:
        """Rows recognised as duplicates and left out."""
        ...


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one channel and symbol, in points.

    ``stored`` counts distinct points; ``doubled`` the rows beyond the first of one identity.
    """

    channel: str
    symbol: str
    sent: int
    stored: int
    quarantined: int
    duplicates: int
    unrecoverable: int
    doubled: int

    @property
    def unexplained(self) -> int:
        """Points sent that nothing accounts for; negative when more is there than was sent."""
        known = self.stored + self.quarantined + self.duplicates + self.unrecoverable
        return self.sent - known

    @property
    def balanced(self) -> bool:
        """Whether every point is explained, and none is there twice."""
        return self.unexplained == 0 and self.doubled == 0


def reconcile(sent: Counts, lake: LakeAudit, unrecoverable: Counts) -> list[Line]:
    """Return one account per (channel, symbol) that was sent or is stored, sorted.

    Parameters
    ----------
    sent : mapping
        The venue's own ledger.
    lake : LakeAudit
        What is there.
    unrecoverable : mapping
        Points inside ledgered gaps that cannot be fetched again.
    """
    stored, doubled = lake.stored(), lake.doubled()
    quarantined, duplicates = lake.quarantined(), lake.duplicates()
    keys = {*sent, *stored, *quarantined, *duplicates, *unrecoverable}
    return [
        Line(
            channel=channel,
            symbol=symbol,
            sent=sent.get((channel, symbol), 0),
            stored=stored.get((channel, symbol), 0) - doubled.get((channel, symbol), 0),
            quarantined=quarantined.get((channel, symbol), 0),
            duplicates=duplicates.get((channel, symbol), 0),
            unrecoverable=unrecoverable.get((channel, symbol), 0),
            doubled=doubled.get((channel, symbol), 0),
        )
        for channel, symbol in sorted(keys)
    ]
