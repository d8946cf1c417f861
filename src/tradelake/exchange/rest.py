"""The historical and latest REST endpoints of ``/v1beta3/crypto/{location}``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from aiohttp import web

from tradelake.errors import InvalidData
from tradelake.exchange.barstore import BarStore, parse_timeframe
from tradelake.exchange.paging import Body, Cursor, page, parse_token
from tradelake.exchange.source import BarColumns
from tradelake.exchange.tape import Series, Tape
from tradelake.exchange.wire import MarketRecord, Rfc3339, body_of, parse_timestamp
from tradelake.market.channels import ORDERBOOKS, QUOTES, TRADES
from tradelake.market.symbols import parse_symbol
from tradelake.market.timeframes import SECOND_NS

_DEFAULT_LIMIT: Final = 1000
_MOST: Final = 10_000
_BEGINNING: Final = 0
_END: Final = 2**63 - 2
_ENCODE: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Query:
    """A request for history, checked."""

    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    limit: int
    descending: bool
    after: Cursor | None


def parse_symbols(query: Mapping[str, str]) -> tuple[str, ...]:
    """Symbols of a request.

    Raises
    ------
    InvalidData
        There is none, or one is no pair.
    """
    symbols = tuple(part.strip() for part in query.get("symbols", "").split(",") if part.strip())
    if not symbols:
        raise InvalidData("symbols", "expected at least one symbol; found none")
    return tuple(parse_symbol(symbol) for symbol in symbols)


def parse_query(query: Mapping[str, str]) -> Query:
    """Read the parameters that all history endpoints share.

    Raises
    ------
    InvalidData
        A parameter has the wrong form.
    """
    limit = query.get("limit", str(_DEFAULT_LIMIT))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST:
        raise InvalidData("limit", f"expected 1 to {_MOST}; found {limit!r}")
    sort = query.get("sort", "asc")
    if sort not in ("asc", "desc"):
        raise InvalidData("sort", f"expected asc or desc; found {sort!r}")
    start_ns = parse_timestamp(query["start"]) if "start" in query else _BEGINNING
    end_ns = parse_timestamp(query["end"]) if "end" in query else _END
    if start_ns > end_ns:
        raise InvalidData("start", "expected start not after end")
    token = query.get("page_token")
    return Query(
        symbols=parse_symbols(query),
        start_ns=start_ns,
        end_ns=end_ns,
        limit=int(limit),
        descending=sort == "desc",
        after=parse_token(token) if token else None,
    )


@dataclass(frozen=True, slots=True)
class BarRows:
    """Bars as rows of a page."""

    bars: BarColumns

    @property
    def ts_ns(self) -> Sequence[int]:
        """Opens."""
        return self.bars.ts_ns  # type: ignore[return-value]  # an int64 array: indexed and bisected alike

    def bodies(self, first: int, stop: int) -> list[Body]:
        """Bars as REST answers them."""
        bars = self.bars.take(slice(first, stop))
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.trades, bars.vwap)
        return [
            {"t": t, "o": o, "h": h, "l": low, "c": c, "v": v, "n": n, "vw": vw}
            for t, o, h, low, c, v, n, vw in zip(
                _stamps(bars), *(column.tolist() for column in columns), strict=True
            )
        ]


def _stamps(bars: BarColumns) -> list[str]:
    if np.any(bars.ts_ns % SECOND_NS):
        return list(map(Rfc3339(), bars.ts_ns.tolist()))
    text = np.datetime_as_string((bars.ts_ns // SECOND_NS).view("datetime64[s]"), timezone="UTC")
    stamps: list[str] = text.tolist()
    return stamps


@dataclass(frozen=True, slots=True)
class TickRows:
    """Published trades or quotes as rows of a page."""

    ts_ns: Sequence[int]
    records: Sequence[MarketRecord]

    def bodies(self, first: int, stop: int) -> list[Body]:
        """Records as REST answers them."""
        stamp = Rfc3339()
        return [body_of(record, stamp) for record in self.records[first:stop]]


def tick_rows(series: Series | None, query: Query) -> TickRows:
    """Rows of a series in the requested range."""
    if series is None:
        return TickRows((), ())
    rows = series.between(query.start_ns, query.end_ns)
    return TickRows(series.ts_ns[rows], series.records[rows])


@dataclass(frozen=True, slots=True)
class RestEndpoints:
    """Serves history and latest values.

    Parameters
    ----------
    bars : BarStore
        Bars at any timeframe.
    tape : Tape
        Published trades, quotes and books.
    """

    bars: BarStore
    tape: Tape

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Routes under ``prefix``."""
        table: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "bars": self.history_bars,
            "trades": self.history_trades,
            "quotes": self.history_quotes,
            "latest/bars": self.latest_bars,
            "latest/trades": self.latest_trades,
            "latest/quotes": self.latest_quotes,
            "latest/orderbooks": self.latest_orderbooks,
            "snapshots": self.snapshots,
        }
        return [web.get(f"{prefix}/{path}", handler) for path, handler in table.items()]

    async def history_bars(self, request: web.Request) -> web.Response:
        """Bars of a timeframe."""
        query = parse_query(request.query)
        timeframe = parse_timeframe(request.query.get("timeframe", ""))

        def rows(symbol: str) -> BarRows:
            return BarRows(self.bars.between(symbol, timeframe, query.start_ns, query.end_ns))

        if query.after is None:
            await asyncio.to_thread(self.bars.load, query.symbols)
        return _paged("bars", query, rows)

    async def history_trades(self, request: web.Request) -> web.Response:
        """Published trades."""
        return self._ticks(TRADES, parse_query(request.query))

    async def history_quotes(self, request: web.Request) -> web.Response:
        """Published quotes."""
        return self._ticks(QUOTES, parse_query(request.query))

    def _ticks(self, channel: str, query: Query) -> web.Response:
        return _paged(
            channel, query, lambda symbol: tick_rows(self.tape.series(channel, symbol), query)
        )

    async def latest_bars(self, request: web.Request) -> web.Response:
        """The latest minute bar of each symbol."""
        symbols = parse_symbols(request.query)
        await asyncio.to_thread(self.bars.load, symbols)
        return _by_symbol("bars", {symbol: self.bars.last_minute(symbol) for symbol in symbols})

    async def latest_trades(self, request: web.Request) -> web.Response:
        """The latest trade of each symbol."""
        return self._latest(TRADES, request)

    async def latest_quotes(self, request: web.Request) -> web.Response:
        """The latest quote of each symbol."""
        return self._latest(QUOTES, request)

    def _latest(self, channel: str, request: web.Request) -> web.Response:
        symbols = parse_symbols(request.query)
        return _by_symbol(
            channel, {symbol: self.tape.latest(channel, symbol) for symbol in symbols}
        )

    async def latest_orderbooks(self, request: web.Request) -> web.Response:
        """The standing book of each symbol."""
        symbols = parse_symbols(request.query)
        stamp = Rfc3339()
        books = {symbol: self.tape.book(symbol) for symbol in symbols}
        bodies = {
            symbol: {k: v for k, v in body_of(book, stamp).items() if k != "r"}
            for symbol, book in books.items()
            if book is not None
        }
        return _json({ORDERBOOKS: bodies})

    async def snapshots(self, request: web.Request) -> web.Response:
        """Latest trade, quote, minute and daily bars of each symbol."""
        symbols = parse_symbols(request.query)
        await asyncio.to_thread(self.bars.load, symbols)
        snapshots = {symbol: self._snapshot(symbol) for symbol in symbols}
        return _json({"snapshots": {symbol: body for symbol, body in snapshots.items() if body}})

    def _snapshot(self, symbol: str) -> Body:
        days = self.bars.last_days(symbol)
        parts: dict[str, MarketRecord | None] = {
            "latestTrade": self.tape.latest(TRADES, symbol),
            "latestQuote": self.tape.latest(QUOTES, symbol),
            "minuteBar": self.bars.last_minute(symbol),
            "dailyBar": days[-1] if days else None,
            "prevDailyBar": days[-2] if len(days) > 1 else None,
        }
        stamp = Rfc3339()
        return {name: body_of(part, stamp) for name, part in parts.items() if part is not None}


def _json(body: Mapping[str, Any]) -> web.Response:
    return web.Response(body=_ENCODE(body), content_type="application/json")


def _paged(name: str, query: Query, rows: Callable[[str], BarRows | TickRows]) -> web.Response:
    cut = page(
        query.symbols, rows, limit=query.limit, descending=query.descending, after=query.after
    )
    token = cut.next.token() if cut.next else None
    return _json({name: cut.rows, "next_page_token": token})


def _by_symbol(name: str, records: Mapping[str, MarketRecord | None]) -> web.Response:
    stamp = Rfc3339()
    found = {s: body_of(record, stamp) for s, record in records.items() if record is not None}
    return _json({name: found})
