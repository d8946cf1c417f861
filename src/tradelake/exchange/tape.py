"""What the venue has published: latest values, standing books, recent records for REST."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from tradelake.exchange.wire import MarketRecord
from tradelake.market.channels import BARS, ORDERBOOKS, UPDATED_BARS
from tradelake.market.records import Bar, BookUpdate, Level

_FOLD_AFTER: Final = 4096


class StandingBook:
    """One symbol's order book; deltas are folded in only when somebody looks."""

    __slots__ = ("_asks", "_bids", "_pending", "_symbol", "_ts_ns")

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._pending: list[BookUpdate] = []
        self._ts_ns = 0

    def apply(self, update: BookUpdate) -> None:
        """Take an update; those before the first reset count for nothing."""
        if update.reset:
            self._pending = [update]
            self._ts_ns = update.ts_event
        elif self._ts_ns:
            self._pending.append(update)
            self._ts_ns = update.ts_event
            if len(self._pending) > _FOLD_AFTER:
                self._fold()

    def snapshot(self) -> BookUpdate | None:
        """The whole book as a reset, best levels first; None before the first reset."""
        if not self._ts_ns:
            return None
        self._fold()
        bids: list[Level] = sorted(self._bids.items(), reverse=True)
        asks: list[Level] = sorted(self._asks.items())
        return BookUpdate(self._symbol, self._ts_ns, 0, bids, asks, reset=True)

    def _fold(self) -> None:
        for update in self._pending:
            if update.reset:
                self._bids, self._asks = {}, {}
            for side, levels in ((self._bids, update.bids), (self._asks, update.asks)):
                for price, size in levels:
                    if size:
                        side[price] = size
                    else:
                        side.pop(price, None)
        self._pending = []


class Series:
    """Records of one channel and symbol by ``ts_event``, then arrival; the oldest are dropped."""

    __slots__ = ("_limit", "newest", "records", "ts_ns")

    def __init__(self, limit: int) -> None:
        self.ts_ns: list[int] = []
        self.records: list[MarketRecord] = []
        self.newest: MarketRecord | None = None
        self._limit = limit

    def add(self, record: MarketRecord) -> None:
        """Insert in time order."""
        self.newest = record
        ts = record.ts_event
        if not self.ts_ns or ts >= self.ts_ns[-1]:
            self.ts_ns.append(ts)
            self.records.append(record)
        else:
            place = bisect_right(self.ts_ns, ts)
            self.ts_ns.insert(place, ts)
            self.records.insert(place, record)
        if len(self.ts_ns) > self._limit + self._limit // 4:
            del self.ts_ns[: -self._limit], self.records[: -self._limit]

    def replace(self, record: MarketRecord) -> None:
        """Insert, or replace the record of the same time."""
        place = bisect_left(self.ts_ns, record.ts_event)
        if place < len(self.ts_ns) and self.ts_ns[place] == record.ts_event:
            self.records[place] = self.newest = record
        else:
            self.add(record)

    def between(self, start_ns: int, end_ns: int) -> slice:
        """Rows with ``start_ns <= ts_event <= end_ns``."""
        return slice(bisect_left(self.ts_ns, start_ns), bisect_right(self.ts_ns, end_ns))


class Tape:
    """Everything published, as REST shows it.

    Parameters
    ----------
    limit : int
        Records kept per channel and symbol.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._series: dict[tuple[str, str], Series] = {}
        self._books: dict[str, StandingBook] = {}

    def add(self, key: tuple[str, str], record: MarketRecord) -> None:
        """Take a published record under its (channel, symbol); a bar replaces that of its time."""
        channel, symbol = key
        if channel == ORDERBOOKS:
            book = self._books.get(symbol)
            if book is None:
                book = self._books[symbol] = StandingBook(symbol)
            assert isinstance(record, BookUpdate)
            book.apply(record)
            return
        if channel == UPDATED_BARS:
            key = (BARS, symbol)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(self._limit)
        if type(record) is Bar:
            series.replace(record)
        else:
            series.add(record)

    def series(self, channel: str, symbol: str) -> Series | None:
        """Records of a channel (trades, quotes, bars, dailyBars) and symbol, or None."""
        return self._series.get((channel, symbol))

    def latest(self, channel: str, symbol: str) -> MarketRecord | None:
        """Last record by event time, or None."""
        series = self._series.get((channel, symbol))
        return series.records[-1] if series and series.records else None

    def newest(self, channel: str, symbol: str) -> MarketRecord | None:
        """Record that was published last, whatever its time, or None."""
        series = self._series.get((channel, symbol))
        return series.newest if series else None

    def book(self, symbol: str) -> BookUpdate | None:
        """The standing book, or None."""
        book = self._books.get(symbol)
        return book.snapshot() if book else None

    def symbols(self) -> Sequence[str]:
        """Symbols with anything published, sorted."""
        return sorted({symbol for _, symbol in self._series} | set(self._books))
