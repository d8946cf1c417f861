"""Midpoints of quotes, minute by minute: what an empty bar's prices are made of.

Alpaca gives a minute without trades but with quotes a bar of volume, trades and vwap 0 whose prices
are quote midpoints. So do we, from the quotes of that minute alone: its open is the first midpoint
in it, not the one that stood when it began, so that a bar is a function of its own minute and can
be rebuilt from it. A symbol that is not quoted in a minute has no bar of it.

Quotes are many, bars are few: a quote costs one look-up here, and a minute is merged into the
longer bars once, when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable

from tradelake.market.records import Quote
from tradelake.stream.partial_bars import PartialBar, TradeKey

CellKey = tuple[str, int]
"""(symbol, open of the minute in ns)."""


class _Cell:
    __slots__ = ("first", "high", "last", "low", "ts_ingest")

    def __init__(self, key: TradeKey, ts_ingest: int) -> None:
        self.first = self.last = key
        self.high = self.low = key[2]
        self.ts_ingest = ts_ingest

    def part(self) -> PartialBar:
        return PartialBar(self.first, self.last, self.high, self.low, 0, 0, 0, self.ts_ingest)


class QuoteMinutes:
    """Midpoints by symbol and minute, until they are taken.

    Parameters
    ----------
    length_ns : int
        Length of a "minute": the shortest bar that is made of quotes.
    """

    __slots__ = ("_cells", "length_ns")

    def __init__(self, length_ns: int) -> None:
        self.length_ns = length_ns
        self._cells: dict[CellKey, _Cell] = {}

    def add(self, quotes: Iterable[Quote], over_ns: int) -> None:
        """Take in quotes; those of minutes that ended by ``over_ns`` come too late.

        A quote with an empty side (a price of 0) has no midpoint.
        """
        length, cells = self.length_ns, self._cells
        for quote in quotes:
            ts, bid, ask = quote.ts_event, quote.bid, quote.ask
            open_ns = ts - ts % length
            if open_ns + length <= over_ns or bid <= 0.0 or ask <= 0.0:
                continue
            mid = (bid + ask) / 2
            key = (ts, quote.occurrence, mid)
            cell = cells.get((quote.symbol, open_ns))
            if cell is None:
                cells[quote.symbol, open_ns] = _Cell(key, quote.ts_ingest)
                continue
            if key > cell.last:
                cell.last = key
            elif key < cell.first:
                cell.first = key
            if mid > cell.high:
                cell.high = mid
            elif mid < cell.low:
                cell.low = mid
            if quote.ts_ingest > cell.ts_ingest:
                cell.ts_ingest = quote.ts_ingest

    def take(self, latest_end_ns: int | None) -> list[tuple[CellKey, PartialBar]]:
        """Remove and return the minutes that end by ``latest_end_ns`` (None: all), sorted."""
        due = sorted(
            key
            for key in self._cells
            if latest_end_ns is None or key[1] + self.length_ns <= latest_end_ns
        )
        return [(key, self._cells.pop(key).part()) for key in due]

    def first_end(self) -> int | None:
        """Return the end of the earliest minute, or None."""
        opens = (open_ns for _, open_ns in self._cells)
        first = min(opens, default=None)
        return None if first is None else first + self.length_ns

    def kept(self) -> list[tuple[CellKey, PartialBar]]:
        """Return every minute, sorted."""
        return [(key, self._cells[key].part()) for key in sorted(self._cells)]

    def restore(self, key: CellKey, part: PartialBar) -> None:
        """Put back a minute that :meth:`kept` returned."""
        cell = self._cells[key] = _Cell(part.first, part.ts_ingest)
        cell.last, cell.high, cell.low = part.last, part.high, part.low
