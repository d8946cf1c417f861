"""The bars of one symbol and timeframe: the open ones and the last that were closed."""

from __future__ import annotations

from typing import Final

from tradelake.market.timeframes import SECOND_NS
from tradelake.stream.envelope import NO_WATERMARK
from tradelake.stream.partial_bars import PartialBar, merge

RETAINED_NS: Final = 60 * SECOND_NS
RETAINED_BARS: Final = 4


def retained_bars(length_ns: int) -> int:
    """Return how many closed bars are kept for late trades: a minute's worth, at least 4.

    >>> retained_bars(SECOND_NS), retained_bars(60 * SECOND_NS)
    (60, 4)
    """
    return max(RETAINED_BARS, RETAINED_NS // length_ns)


class BarSeries:
    """Bars by open time, ns. A bar is in ``open`` until it is emitted, then in ``closed``.

    ``torn`` holds the opens of bars that miss some of their time: they are partial for good. Bars
    at or before ``floor_ns`` were closed and forgotten.
    """

    __slots__ = ("closed", "floor_ns", "length_ns", "open", "torn")

    def __init__(self, length_ns: int) -> None:
        self.length_ns = length_ns
        self.open: dict[int, PartialBar] = {}
        self.closed: dict[int, PartialBar] = {}
        self.torn: set[int] = set()
        self.floor_ns = NO_WATERMARK

    def add(self, open_ns: int, part: PartialBar, covered_from_ns: int) -> bool:
        """Add a part to the bar at ``open_ns``; returns whether this revises a closed bar.

        Quotes alone never do: the bar's revision would not grow. A bar that opens before
        ``covered_from_ns`` is torn. The caller has checked ``open_ns > floor_ns``.
        """
        known = self.open.get(open_ns)
        if known is not None:
            self.open[open_ns] = merge(known, part)
            return False
        known = self.closed.get(open_ns)
        if known is not None:
            if part.trades:
                self.closed[open_ns] = merge(known, part)
            return part.trades > 0
        self.open[open_ns] = part
        if open_ns < covered_from_ns:
            self.torn.add(open_ns)
        return False

    def tear(self, heard_ns: int) -> None:
        """Mark every open bar that ends after ``heard_ns`` as torn."""
        self.torn.update(start for start in self.open if start + self.length_ns > heard_ns)

    def close_until(self, latest_end_ns: int | None) -> list[int]:
        """Close open bars that end by ``latest_end_ns`` (None: all); returns their opens."""
        due = sorted(
            start
            for start in self.open
            if latest_end_ns is None or start + self.length_ns <= latest_end_ns
        )
        for start in due:
            self.closed[start] = self.open.pop(start)
        return due

    def first_end(self) -> int | None:
        """Return the end of the open bar that ends first, or None."""
        return min(self.open) + self.length_ns if self.open else None

    def forget(self) -> None:
        """Drop closed bars beyond those retained, oldest first."""
        for start in sorted(self.closed)[: -retained_bars(self.length_ns)]:
            del self.closed[start]
            self.torn.discard(start)
            self.floor_ns = max(self.floor_ns, start)
