"""How far event time has come, as far as a feed can tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tradelake.market.records import BookSnapshot, Instrument, Record, Unreadable
from tradelake.stream.envelope import NO_WATERMARK

MAX_AHEAD_NS: Final = 5_000_000_000
"""A ``ts_event`` further ahead of our clock is the venue's mistake and must not close bars."""


class Watermark:
    """The largest ``ts_event`` of a session, moved on by our clock while the feed is quiet.

    Never goes back. While it is held (no connection) it stands still: silence then says nothing
    about the market.
    """

    def __init__(self) -> None:
        self._largest_ns = NO_WATERMARK
        self._shown_ns = NO_WATERMARK
        self._heard_ns: int | None = None

    def observe(self, records: Iterable[Record], now_ns: int) -> None:
        """Take in the records of one frame received at ``now_ns``.

        What we say ourselves, snapshots and instruments, is no sign of the market.
        """
        latest_ns = now_ns + MAX_AHEAD_NS
        largest_ns, heard = self._largest_ns, False
        for record in records:
            if isinstance(record, BookSnapshot | Instrument):
                continue
            heard = True
            if isinstance(record, Unreadable):
                continue
            if largest_ns < record.ts_event <= latest_ns:
                largest_ns = record.ts_event
        if heard:
            self._heard_ns = now_ns
        self._largest_ns = largest_ns
        self._shown_ns = max(self._shown_ns, self._largest_ns)

    def hold(self, now_ns: int) -> None:
        """Stand still from now on: the connection is gone."""
        self.at(now_ns)
        self._heard_ns = None

    def resume(self, now_ns: int) -> None:
        """Move on again: the feed is subscribed."""
        self._heard_ns = now_ns

    def at(self, now_ns: int) -> int:
        """Return the watermark at ``now_ns``; ``NO_WATERMARK`` before the first record.

        >>> from tradelake.market.records import Trade
        >>> watermark = Watermark()
        >>> watermark.observe([Trade("BTC/USD", 1_000, 5_000, 1, 1.0, 1.0)], now_ns=5_000)
        >>> watermark.at(5_000), watermark.at(5_700)
        (1000, 1700)
        """
        if self._heard_ns is not None and self._largest_ns != NO_WATERMARK:
            quiet_ns = max(0, now_ns - self._heard_ns)
            self._shown_ns = max(self._shown_ns, self._largest_ns + quiet_ns)
        return self._shown_ns
