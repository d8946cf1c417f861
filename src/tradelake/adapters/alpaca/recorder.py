"""Records Alpaca's recent history as Parquet files that the exchange can play."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import requests

from tradelake.adapters.alpaca.rest import AlpacaRest
from tradelake.errors import ConfigError, InsufficientData
from tradelake.feed.messages import Int64, WireLevel
from tradelake.feed.timestamps import TimeReader, rfc3339
from tradelake.market.records import Bar
from tradelake.market.timeframes import timeframe_ns
from tradelake.market.venues import ALPACA_US
from tradelake.ports import Clock, MarketHistory

DATA_URL: Final = "https://data.alpaca.markets"
SYMBOLS: Final = ("BTC/USD", "ETH/USD", "SOL/USD", "LTC/USD", "AVAX/USD")
TICK_MINUTES: Final = 30
BAR_DAYS: Final = 90
TIMEOUTS_S: Final = (2.0, 5.0)
"""Shorter than for a load of history: a demo is waiting."""
_ATTEMPTS: Final = 4
_CONNECT_S: Final = 2.0
_PAGE: Final = 10_000
_PAGES: Final = 4
_MINUTE_NS: Final = timeframe_ns("1m")
_DAY_NS: Final = timeframe_ns("1d")
_SIDES: Final = {"B": "buy", "S": "sell"}
_LEVELS: Final = pa.list_(pa.struct([("price", pa.float64()), ("size", pa.float64())]))
_KEY: Final = [("symbol", pa.string()), ("ts_ns", pa.int64())]


def _floats(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


_SCHEMAS: Final[dict[str, pa.Schema]] = {
    "trades": pa.schema(
        [*_KEY, *_floats("price", "size"), ("side", pa.string()), ("trade_id", pa.string())]
    ),
    "quotes": pa.schema([*_KEY, *_floats("bid", "bid_size", "ask", "ask_size")]),
    "books": pa.schema([*_KEY, ("bids", _LEVELS), ("asks", _LEVELS), ("reset", pa.bool_())]),
    "bars_1m": pa.schema(
        [
            *_KEY,
            *_floats("open", "high", "low", "close", "volume"),
            ("trades", pa.int64()),
            ("vwap", pa.float64()),
        ]
    ),
}


class _Trade(msgspec.Struct, gc=False):
    t: str
    i: Int64
    p: float
    s: float
    tks: str = ""


class _Quote(msgspec.Struct, gc=False):
    t: str
    bp: float
    bs: float
    ap: float
    as_: float = msgspec.field(name="as")


class _Book(msgspec.Struct):
    t: str
    b: list[WireLevel] | None = None
    a: list[WireLevel] | None = None


class _Ticks(msgspec.Struct):
    trades: dict[str, list[_Trade] | None] = {}
    quotes: dict[str, list[_Quote] | None] = {}
    next_page_token: str | None = None


class _Books(msgspec.Struct):
    orderbooks: dict[str, _Book]


_Tick = TypeVar("_Tick", _Trade, _Quote)
_Stamped: TypeAlias = list[tuple[int, _Tick]]


def reachable(url: str = DATA_URL, timeout_s: float = _CONNECT_S) -> bool:
    """Whether something listens at the URL's host and port, or at the proxy that leads there.

    The answer comes within ``timeout_s`` even when name resolution hangs.

    Raises
    ------
    ConfigError
        It is no HTTP URL.
    """
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    try:
        parts = urlsplit(proxy or url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise ConfigError(f"Alpaca's data: expected a URL, found {url!r}: {error}") from error
    host = parts.hostname
    if host is None or urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"Alpaca's data: expected http(s)://host[:port], found {url!r}")
    answered = threading.Event()

    def connect() -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host, port), timeout=timeout_s),
        ):
            answered.set()

    thread = threading.Thread(target=connect, name="reachable", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answered.is_set()


class Recorder:
    """Fetches the last minutes of ticks and the last days of minute bars.

    Parameters
    ----------
    rest : AlpacaRest
        Where ticks and books come from.
    history : MarketHistory
        Where minute bars come from.
    clock : Clock
        Says when "recent" ends.
    """

    def __init__(self, rest: AlpacaRest, history: MarketHistory, clock: Clock) -> None:
        self._rest = rest
        self._history = history
        self._clock = clock

    def record(
        self,
        folder: Path,
        symbols: Sequence[str] = SYMBOLS,
        minutes: int = TICK_MINUTES,
        days: int = BAR_DAYS,
        pages: int = _PAGES,
    ) -> Path:
        """Write ``trades_ quotes_ books_`` and ``bars_1m_`` files into a new folder in ``folder``.

        Ticks begin with a whole minute, at which the bars end. There is no history of order
        books: the recording has the newest one of each symbol, at the time it came to stand or,
        if that was before, at the recording's beginning. Of a symbol that ticks more than
        ``pages`` pages of 10,000 the newest are taken, and the recording of all symbols begins
        with the first minute that is whole.

        Returns
        -------
        Path
            The new folder, which appears with all its files or not at all.

        Raises
        ------
        Transient
            Alpaca did not answer, or kept failing.
        Fatal
            Alpaca refuses, for instance to answer without credentials.
        InvalidData
            It answered something else than it documents.
        InsufficientData
            Nothing was traded, or there are no bars.
        """
        now_ns = self._clock.now_ns()
        start_ns = (now_ns // _MINUTE_NS - minutes) * _MINUTE_NS
        books = self._books(symbols)
        trades: dict[str, _Stamped[_Trade]] = {}
        quotes: dict[str, _Stamped[_Quote]] = {}
        for symbol in sorted(symbols):
            span = (symbol, start_ns, now_ns, pages)
            trades[symbol], traded_ns = self._newest("trades", lambda page: page.trades, *span)
            quotes[symbol], quoted_ns = self._newest("quotes", lambda page: page.quotes, *span)
            start_ns = max(start_ns, traded_ns, quoted_ns)
        tables = {
            "trades": _table("trades", _trades(trades, start_ns)),
            "quotes": _table("quotes", _quotes(quotes, start_ns)),
            "books": _table("books", _book_rows(books, start_ns)),
        }
        if not len(tables["trades"]):
            raise InsufficientData(
                f"Alpaca: no trade of {', '.join(symbols)} since {rfc3339(start_ns)}"
            )
        tables["bars_1m"] = self._bars(symbols, start_ns - days * _DAY_NS, start_ns)
        start = dt.datetime.fromtimestamp(start_ns // 10**9, tz=dt.UTC)
        return _write(tables, folder, f"alpaca_{ALPACA_US}_{start:%Y-%m-%d_%H%M}")

    def _books(self, symbols: Sequence[str]) -> dict[str, _Book]:
        """The newest books; the first request, so it is not repeated: whoever waits is told."""
        path = f"/crypto/{ALPACA_US}/latest/orderbooks"
        query = {"symbols": ",".join(sorted(symbols))}
        return self._rest.get(path, query, _Books, attempts=1).orderbooks

    def _newest(
        self,
        channel: str,
        read: Callable[[_Ticks], Mapping[str, list[_Tick] | None]],
        symbol: str,
        start_ns: int,
        end_ns: int,
        pages: int,
    ) -> tuple[_Stamped[_Tick], int]:
        """Ticks of a symbol in time order, and the first whole minute that they cover."""
        query: dict[str, object] = {
            "symbols": symbol,
            "start": rfc3339(start_ns),
            "end": rfc3339(end_ns),
            "limit": _PAGE,
            "sort": "desc",
        }
        times = TimeReader()
        found: _Stamped[_Tick] = []
        for _ in range(pages):
            path = f"/crypto/{ALPACA_US}/{channel}"
            page = self._rest.get(path, query, _Ticks, attempts=_ATTEMPTS)
            found += [(times.ns(tick.t), tick) for tick in read(page).get(symbol) or ()]
            if page.next_page_token is None:
                return found[::-1], start_ns
            query["page_token"] = page.next_page_token
        oldest_ns = found[-1][0] if found else end_ns
        return found[::-1], (oldest_ns // _MINUTE_NS + 1) * _MINUTE_NS

    def _bars(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> pa.Table:
        pages = [
            _table("bars_1m", map(_bar, page))
            for page in self._history.bars(symbols, "1m", start_ns, end_ns)
        ]
        if not pages:
            raise InsufficientData(
                f"Alpaca: no minute bar of {', '.join(symbols)} since {rfc3339(start_ns)}"
            )
        return pa.concat_tables(pages)


def _trades(found: Mapping[str, _Stamped[_Trade]], start_ns: int) -> Iterable[tuple[object, ...]]:
    for symbol, trades in found.items():
        for ts_ns, raw in trades:
            if ts_ns >= start_ns:
                yield symbol, ts_ns, raw.p, raw.s, _SIDES.get(raw.tks), str(raw.i)


def _quotes(found: Mapping[str, _Stamped[_Quote]], start_ns: int) -> Iterable[tuple[object, ...]]:
    for symbol, quotes in found.items():
        for ts_ns, raw in quotes:
            if ts_ns >= start_ns:
                yield symbol, ts_ns, raw.bp, raw.bs, raw.ap, raw.as_


def _book_rows(books: Mapping[str, _Book], start_ns: int) -> Iterable[tuple[object, ...]]:
    def side(levels: list[WireLevel] | None) -> list[dict[str, float]]:
        return [{"price": level.p, "size": level.s} for level in levels or ()]

    times = TimeReader()
    for symbol, book in sorted(books.items()):
        yield symbol, max(times.ns(book.t), start_ns), side(book.b), side(book.a), True


def _bar(b: Bar) -> tuple[object, ...]:
    return b.symbol, b.ts_event, b.open, b.high, b.low, b.close, b.volume, b.trades, b.vwap


def _table(kind: str, rows: Iterable[tuple[object, ...]]) -> pa.Table:
    schema = _SCHEMAS[kind]
    whole = list(rows)
    arrays = [pa.array([row[i] for row in whole], f.type) for i, f in enumerate(schema)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _write(tables: Mapping[str, pa.Table], folder: Path, name: str) -> Path:
    """Write the files of a recording, then show them all at once; one of that name stays."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    with tempfile.TemporaryDirectory(prefix=".recording-", dir=folder) as scratch:
        unfinished = Path(scratch) / name
        unfinished.mkdir()
        for kind, table in tables.items():
            _write_file(unfinished / f"{kind}_{name}.parquet", table)
        if not target.is_dir():
            unfinished.rename(target)
    return target


def _write_file(path: Path, table: pa.Table) -> None:
    """Write a table sorted by symbol and time, each symbol a row group of its own."""
    column = table.column("symbol")
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for symbol in pc.unique(column):
            writer.write_table(table.filter(pc.equal(column, symbol)))
