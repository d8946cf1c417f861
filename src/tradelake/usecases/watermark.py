"""How far event time has come, as far as a feed can tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from tradelake.market.records import Bar, BookSnapshot, Instrument, Record, Unreadable
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK
from tradelake.stream.thresholds import DEFAULTS

MAX_AHEAD_NS: Final = 5_000_000_000
"""A ``ts_event`` further ahead of our clock is the venue's mistake and must not close bars."""
MAX_SKEW_NS: Final = 30 * DEFAULTS.future_ns
"""Two clocks do not differ by more, 300 s; a time further away is garbage, however often it comes.

A multiple of what marks a single record as ``future``: a clock may be wrong by more than a stamp
may without a mark, and such a stream is still a stream. AWS refuses what is signed 5 minutes off,
so with a clock of ours that is wrong by more nothing would reach the stream in the first place.
"""
CONVINCING_FRAMES: Final = 20
"""So many frames in a row, ahead with all they hold, say that a clock is off, not a stamp."""


class Watermark:
    """The largest ``ts_event`` of a session, moved on by our clock while the feed is quiet.

    Never goes back. While it is held (no connection) it stands still: silence then says nothing
    about the market.

    A single time far ahead of our clock is a bad stamp and moves nothing. Where a stretch of frames
    holds no other times, the clocks differ, by the median of the frames' latest times, and the
    tolerance is counted from there; a frame within the tolerance of our own clock ends that. Times
    more than ``MAX_SKEW_NS`` away from our clock say nothing about it, neither for nor against: so
    the watermark is never further ahead of our clock than that and the tolerance.
    """

    def __init__(self) -> None:
        self._largest_ns = NO_WATERMARK
        self._shown_ns = NO_WATERMARK
        self._heard_ns: int | None = None
        self._largest_at_ns = 0
        self._skew_ns = 0
        self._ahead: deque[int] = deque(maxlen=CONVINCING_FRAMES)

    def observe(self, records: Iterable[Record], now_ns: int) -> None:
        """Take in the records of one frame received at ``now_ns``.

        What we say ourselves, snapshots and instruments, is no sign of the market.
        """
        latest_ns = now_ns + self._skew_ns + MAX_AHEAD_NS
        least_ns, most_ns = now_ns - MAX_SKEW_NS, now_ns + MAX_SKEW_NS
        largest_ns, heard = self._largest_ns, False
        first_ns, last_ns = FINAL_WATERMARK, NO_WATERMARK
        for record in records:
            if isinstance(record, BookSnapshot | Instrument):
                continue
            heard = True
            if isinstance(record, Unreadable):
                continue
            ts_event = record.ts_event
            # a bar says when it began, not what time it is
            if least_ns <= ts_event <= most_ns and type(record) is not Bar:
                first_ns, last_ns = min(first_ns, ts_event), max(last_ns, ts_event)
            if largest_ns < ts_event <= latest_ns:
                largest_ns = ts_event
        if heard:
            self._heard_ns = now_ns
        if first_ns != FINAL_WATERMARK:
            self._compare_clocks(first_ns - now_ns, last_ns - now_ns)
        if largest_ns != self._largest_ns:
            self._largest_ns, self._largest_at_ns = largest_ns, now_ns
        self._shown_ns = max(self._shown_ns, self._largest_ns)

    def _compare_clocks(self, first_ns: int, last_ns: int) -> None:
        """Take in how far the earliest and latest time of a frame are ahead of our clock."""
        if first_ns <= MAX_AHEAD_NS:
            self._skew_ns = 0
            self._ahead.clear()
            return
        self._ahead.append(last_ns)
        if len(self._ahead) == CONVINCING_FRAMES:
            self._skew_ns = sorted(self._ahead)[CONVINCING_FRAMES // 2]

    def event_time(self, now_ns: int) -> int:
        """Return what the venue's clock says at ``now_ns``, whether or not we listen.

        ``NO_WATERMARK`` before the first record.
        """
        if self._largest_ns == NO_WATERMARK:
            return NO_WATERMARK
        return self._largest_ns + max(0, now_ns - self._largest_at_ns)

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
