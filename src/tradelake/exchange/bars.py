"""The venue's own bars: minute, updated and daily, built from the trades and quotes it publishes.

A minute without trades has volume, trades and vwap 0 and prices from quote midpoints; a minute of a
symbol that was never quoted and did not trade has no bar. A trade that comes after its minute was
published changes that minute: an updated bar follows at the next half minute. The daily bar is
published again after every minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from tradelake.market.channels import BARS, DAILY_BARS, UPDATED_BARS
from tradelake.market.records import Bar, Quote, Trade
from tradelake.market.timeframes import TIMEFRAMES, bar_open_ns

MINUTE_NS: Final = TIMEFRAMES["1m"]
DAY_NS: Final = TIMEFRAMES["1d"]
_KEPT_MINUTES: Final = 15
"""How many closed minutes a late trade can still reach."""


class _Cell:
    """Prices and sums of one bar under construction."""

    __slots__ = (
        "close",
        "first",
        "high",
        "last",
        "low",
        "notional",
        "open",
        "open_ns",
        "trades",
        "volume",
    )

    def __init__(self, open_ns: int) -> None:
        self.open_ns = open_ns
        self.open = self.high = self.low = self.close = 0.0
        self.volume = self.notional = 0.0
        self.trades = 0
        self.first = self.last = 0

    def add(self, trade: Trade) -> None:
        ts, price = trade.ts_event, trade.price
        if not self.trades:
            self.open = self.high = self.low = self.close = price
            self.first = self.last = ts
        else:
            self.high, self.low = max(self.high, price), min(self.low, price)
            if ts < self.first:
                self.first, self.open = ts, price
            if ts >= self.last:
                self.last, self.close = ts, price
        self.trades += 1
        self.volume += trade.size
        self.notional += price * trade.size

    def touch(self, mid: float) -> None:
        """Note a midpoint; it counts only while there is no trade."""
        if self.trades:
            return
        if not self.open:
            self.open = self.high = self.low = mid
        self.high, self.low, self.close = max(self.high, mid), min(self.low, mid), mid

    def bar(self, symbol: str, channel: str, timeframe: str) -> Bar:
        return Bar(
            symbol,
            self.open_ns,
            0,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.notional / self.volume if self.volume else 0.0,
            self.trades,
            timeframe,
            "alpaca",
            channel,
        )


class _SymbolBars:
    """State of one symbol."""

    __slots__ = ("closed", "current", "day", "dirty", "mid")

    def __init__(self) -> None:
        self.mid = 0.0
        self.current: _Cell | None = None
        self.closed: dict[int, _Cell] = {}
        self.dirty: set[int] = set()
        self.day: _Cell | None = None

    def cell(self, minute_ns: int) -> _Cell:
        """The open minute, begun with the standing midpoint."""
        if self.current is None:
            self.current = _Cell(minute_ns)
            if self.mid:
                self.current.touch(self.mid)
        return self.current

    def extend_day(self, minute: _Cell) -> None:
        """Fold a closed minute into its day."""
        day_ns = bar_open_ns(minute.open_ns, DAY_NS)
        day = self.day
        if day is None or day.open_ns != day_ns:
            self.day = day = _Cell(day_ns)
            day.open, day.high, day.low = minute.open, minute.high, minute.low
        day.high, day.low = max(day.high, minute.high), min(day.low, minute.low)
        day.close = minute.close
        day.volume += minute.volume
        day.notional += minute.notional
        day.trades += minute.trades

    def add_late(self, trade: Trade, minute_ns: int) -> None:
        """Change a published minute, and its day, by a trade that came late."""
        cell = self.closed.get(minute_ns)
        if cell is None:
            return
        cell.add(trade)
        self.dirty.add(minute_ns)
        day = self.day
        if day is not None and day.open_ns <= trade.ts_event:
            day.high, day.low = max(day.high, trade.price), min(day.low, trade.price)
            day.volume += trade.size
            day.notional += trade.price * trade.size
            day.trades += 1
            if minute_ns == max(self.closed):
                day.close = cell.close


class BarBuilder:
    """Builds the bars of one session.

    Call :meth:`due` with the time before adding what happens then; records come by non-decreasing
    time of publication, trades possibly with an earlier ``ts_event``.

    Parameters
    ----------
    start_ns : int
        Time of the session's first tick; minutes before its minute have no bar.
    """

    def __init__(self, start_ns: int) -> None:
        self._minute = bar_open_ns(start_ns, MINUTE_NS)
        self._half_done = start_ns >= self._minute + MINUTE_NS // 2
        self._symbols: dict[str, _SymbolBars] = {}
        self.next_ns = self._next()

    def _next(self) -> int:
        return self._minute + (MINUTE_NS if self._half_done else MINUTE_NS // 2)

    def _state(self, symbol: str) -> _SymbolBars:
        state = self._symbols.get(symbol)
        if state is None:
            state = self._symbols[symbol] = _SymbolBars()
        return state

    def add_trade(self, trade: Trade) -> None:
        """Take a published trade; one without a positive price and size makes no bar."""
        if not (0 < trade.price < math.inf and 0 < trade.size < math.inf):
            return
        state = self._state(trade.symbol)
        minute = bar_open_ns(trade.ts_event, MINUTE_NS)
        if minute < self._minute:
            state.add_late(trade, minute)
        else:
            state.cell(self._minute).add(trade)

    def add_quote(self, quote: Quote) -> None:
        """Take a published quote; one without a positive midpoint makes no bar."""
        mid = (quote.bid + quote.ask) / 2
        if not 0 < mid < math.inf:
            return
        state = self._state(quote.symbol)
        state.cell(self._minute).touch(mid)
        state.mid = mid

    def due(self, now_ns: int) -> Iterator[tuple[int, Bar]]:
        """Bars whose time of publication has come, each with that time, in order."""
        while self.next_ns <= now_ns:
            at_ns = self.next_ns
            bars = self._close_minute() if self._half_done else self._updated()
            for bar in bars:
                yield at_ns, bar
            if self._half_done:
                self._minute += MINUTE_NS
            self._half_done = not self._half_done
            self.next_ns = self._next()

    def _updated(self) -> list[Bar]:
        updated: list[Bar] = []
        for symbol, state in sorted(self._symbols.items()):
            updated.extend(
                state.closed[minute].bar(symbol, UPDATED_BARS, "1m")
                for minute in sorted(state.dirty)
            )
            state.dirty.clear()
        return updated

    def _close_minute(self) -> list[Bar]:
        minutes, days = [], []
        for symbol, state in sorted(self._symbols.items()):
            if state.current is None and not state.mid:
                continue
            cell = state.cell(self._minute)
            state.current = None
            state.closed[cell.open_ns] = cell
            oldest = cell.open_ns - _KEPT_MINUTES * MINUTE_NS
            if oldest in state.closed and oldest not in state.dirty:
                del state.closed[oldest]
            state.extend_day(cell)
            minutes.append(cell.bar(symbol, BARS, "1m"))
            if state.day is not None:
                days.append(state.day.bar(symbol, DAILY_BARS, "1d"))
        return minutes + days
