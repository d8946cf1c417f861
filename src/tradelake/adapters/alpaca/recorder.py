"""Records Alpaca's recent history as Parquet files that the exchange can play."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient
from alpaca.data.requests import (
    CryptoLatestOrderbookRequest,
    CryptoQuoteRequest,
    CryptoTradesRequest,
)

from tradelake.errors import Transient
from tradelake.feed.timestamps import TimeReader
from tradelake.market.records import Bar
from tradelake.ports import Clock, MarketHistory

_Message: TypeAlias = Mapping[str, Any]

DATA_URL: Final = "https://data.alpaca.markets"
SYMBOLS: Final = ("BTC/USD", "ETH/USD", "SOL/USD", "LTC/USD", "AVAX/USD")
TICK_MINUTES: Final = 30
BAR_DAYS: Final = 90
_CONNECT_S: Final = 2.0
_SIDES: Final = {"B": "buy", "S": "sell"}
_LEVEL: Final = pa.list_(pa.struct([("price", pa.float64()), ("size", pa.float64())]))
_SCHEMAS: Final[dict[str, list[tuple[str, pa.DataType]]]] = {
    "trades": [
        ("symbol", pa.string()),
        ("ts_ns", pa.int64()),
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("side", pa.string()),
        ("trade_id", pa.string()),
    ],
    "quotes": [
        ("symbol", pa.string()),
        ("ts_ns", pa.int64()),
        ("bid", pa.float64()),
        ("bid_size", pa.float64()),
        ("ask", pa.float64()),
        ("ask_size", pa.float64()),
    ],
    "books": [
        ("symbol", pa.string()),
        ("ts_ns", pa.int64()),
        ("bids", _LEVEL),
        ("asks", _LEVEL),
        ("reset", pa.bool_()),
    ],
    "bars_1m": [
        ("symbol", pa.string()),
        ("ts_ns", pa.int64()),
        *((name, pa.float64()) for name in ("open", "high", "low", "close", "volume")),
        ("trades", pa.int64()),
        ("vwap", pa.float64()),
    ],
}


def reachable(url: str = DATA_URL, timeout_s: float = _CONNECT_S) -> bool:
    """Whether something listens at the URL's host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((str(parts.hostname), port), timeout=timeout_s):
            return True
    except OSError:
        return False


class Recorder:
    """Fetches the last minutes of ticks and the last days of minute bars.

    Parameters
    ----------
    client : CryptoHistoricalDataClient
        With ``raw_data=True``.
    history : MarketHistory
        Where minute bars come from.
    clock : Clock
        Says when "recent" ends.
    """

    def __init__(
        self, client: CryptoHistoricalDataClient, history: MarketHistory, clock: Clock
    ) -> None:
        self._client = client
        self._history = history
        self._clock = clock

    def record(
        self,
        folder: Path,
        symbols: Sequence[str] = SYMBOLS,
        minutes: int = TICK_MINUTES,
        days: int = BAR_DAYS,
    ) -> Path:
        """Write ``trades_ quotes_ books_`` and ``bars_1m_`` files; return the folder.

        There is no history of order books: the recording begins with the newest one of each
        symbol, stamped with the recording's first instant, and has no deltas.

        Raises
        ------
        Transient
            Alpaca did not answer as it should; nothing was written.
        """
        now_ns = self._clock.now_ns()
        end = dt.datetime.fromtimestamp(now_ns // 10**9, tz=dt.UTC)
        start = end - dt.timedelta(minutes=minutes)
        start_ns = int(start.timestamp()) * 10**9
        span = {"symbol_or_symbols": list(symbols), "start": start, "end": end}
        try:
            trades = self._client.get_crypto_trades(CryptoTradesRequest(**span))
            quotes = self._client.get_crypto_quotes(CryptoQuoteRequest(**span))
            books = self._client.get_crypto_latest_orderbook(
                CryptoLatestOrderbookRequest(symbol_or_symbols=list(symbols))
            )
        except (APIError, requests.RequestException) as error:
            raise Transient(f"Alpaca's history: {error}") from error
        bars = [
            bar
            for page in self._history.bars(symbols, "1m", now_ns - days * 86_400 * 10**9, now_ns)
            for bar in page
        ]
        suffix = f"alpaca_us_{start:%Y-%m-%d_%H%M}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = {
            "trades": _rows(trades, _trade),
            "quotes": _rows(quotes, _quote),
            "books": [_book(symbol, start_ns, book) for symbol, book in sorted(books.items())],
            "bars_1m": [_bar(bar) for bar in bars],
        }
        for kind, found in rows.items():
            schema = pa.schema(_SCHEMAS[kind])
            ordered = sorted(found, key=lambda row: (row["symbol"], row["ts_ns"]))
            table = pa.Table.from_pylist(ordered, schema=schema)
            pq.write_table(table, folder / f"{kind}_{suffix}.parquet", compression="zstd")
        return folder


def _rows(
    by_symbol: Mapping[str, Sequence[_Message]], render: Callable[[_Message], dict[str, Any]]
) -> list[dict[str, Any]]:
    times = TimeReader()
    return [
        {"symbol": symbol, "ts_ns": times.ns(raw["t"]), **render(raw)}
        for symbol, messages in by_symbol.items()
        for raw in messages
    ]


def _trade(raw: _Message) -> dict[str, Any]:
    return {
        "price": float(raw["p"]),
        "size": float(raw["s"]),
        "side": _SIDES.get(str(raw.get("tks", ""))),
        "trade_id": str(raw["i"]),
    }


def _quote(raw: _Message) -> dict[str, Any]:
    names = {"bid": "bp", "bid_size": "bs", "ask": "ap", "ask_size": "as"}
    return {column: float(raw[field]) for column, field in names.items()}


def _book(symbol: str, start_ns: int, raw: _Message) -> dict[str, Any]:
    def side(name: str) -> list[dict[str, float]]:
        return [{"price": float(level["p"]), "size": float(level["s"])} for level in raw[name]]

    return {
        "symbol": symbol,
        "ts_ns": start_ns,
        "bids": side("b"),
        "asks": side("a"),
        "reset": True,
    }


def _bar(bar: Bar) -> dict[str, Any]:
    return {
        "symbol": bar.symbol,
        "ts_ns": bar.ts_event,
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "trades": bar.trades,
        "vwap": bar.vwap,
    }
