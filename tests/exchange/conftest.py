"""A running exchange, a small folder of recordings, and a client that speaks the wire protocol."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tradelake.exchange.options import ExchangeOptions
from tradelake.exchange.service import serve
from tradelake.market.channels import CHANNELS

T0 = 1_700_000_000_000_000_000 - 1_700_000_000_000_000_000 % 60_000_000_000
SECOND = 1_000_000_000
TYPES = dict(
    zip(
        "tqobud",
        ("trades", "quotes", "orderbooks", "bars", "updatedBars", "dailyBars"),
        strict=True,
    )
)


class Server:
    """An exchange in a thread of its own."""

    def __init__(self, options: ExchangeOptions) -> None:
        self._options = options
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.error: BaseException | None = None
        self.url = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await serve(self._options, self._listening, self._stop)

        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 -- handed to the test
            self.error = error
        finally:
            self._ready.set()

    def _listening(self, url: str) -> None:
        self.url = url
        self._ready.set()

    def start(self) -> Server:
        self._thread.start()
        assert self._ready.wait(20)
        if self.error is not None:
            self._thread.join()
            raise self.error
        return self

    def close(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.error is not None and self.url:
            raise self.error

    @property
    def stream(self) -> str:
        return self.url.replace("http", "ws") + "/v1beta3/crypto/us"

    @property
    def rest(self) -> str:
        return self.url + "/v1beta3/crypto/us"


@pytest.fixture
def exchange() -> Iterator[Callable[..., Server]]:
    """Start exchanges; all are stopped at the end."""
    servers: list[Server] = []

    def start(**options: Any) -> Server:
        server = Server(ExchangeOptions(**{"rate_limit": None} | options))
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


class Client:
    """One websocket client; ``binary`` chooses MessagePack."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, binary: bool) -> None:
        self.ws = ws
        self.binary = binary
        self.frames: list[Any] = []

    async def send(self, message: Any) -> None:
        if self.binary:
            await self.ws.send_bytes(msgspec.msgpack.encode(message))
        else:
            await self.ws.send_str(msgspec.json.encode(message).decode())

    async def receive(self, timeout_s: float = 5.0) -> Any:
        """The next frame decoded, or None when the connection is closed."""
        message = await self.ws.receive(timeout=timeout_s)
        if message.type is aiohttp.WSMsgType.TEXT:
            return msgspec.json.decode(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            return msgspec.msgpack.decode(message.data)
        return None

    async def login(self, **subscription: Any) -> Any:
        """Authenticate and subscribe (by default to everything); returns the acknowledgement."""
        assert (await self.receive())[0]["msg"] == "connected"
        await self.send({"action": "auth", "key": "demo-key", "secret": "demo-secret"})
        answer = await self.receive()
        assert answer[0] == {"T": "success", "msg": "authenticated"}
        wanted = subscription or {channel: ["*"] for channel in CHANNELS}
        await self.send({**wanted, "action": "subscribe"})
        return await self.receive()


class Venue:
    """A client's view of one exchange."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    @asynccontextmanager
    async def stream(
        self, *, binary: bool = False, location: str = "us", compress: int = 0, **headers: str
    ) -> AsyncIterator[Client]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if binary:
            named["Content-Type"] = "application/msgpack"
        url = self.server.stream.removesuffix("us") + location
        async with self.http.ws_connect(
            url, headers=named, max_msg_size=0, compress=compress
        ) as ws:
            yield Client(ws, binary)

    async def get(self, path: str, **query: Any) -> Any:
        async with self.http.get(f"{self.server.rest}/{path}", params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any = None) -> Any:
        async with self.http.post(f"{self.server.url}/_exchange/{path}", json=body) as response:
            return response.status, await response.json()

    async def status(self) -> Any:
        async with self.http.get(f"{self.server.url}/_exchange/status") as response:
            return await response.json()

    async def play(self, client: Client) -> list[dict[str, Any]]:
        """Start the playback and return every message until everything sent has come."""
        await self.post("start")
        return await self.drain(client)

    async def drain(self, client: Client) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        while True:
            try:
                frame = await client.receive(0.25)
            except TimeoutError:
                if (await self.status())["state"] == "finished":
                    return messages
                continue
            if frame is None:
                return messages
            messages += frame


@pytest.fixture
def venue() -> Callable[[Server], Any]:
    """Open a client's view: ``async with venue(server) as v``."""

    @asynccontextmanager
    async def view(server: Server) -> AsyncIterator[Venue]:
        async with aiohttp.ClientSession() as http:
            yield Venue(server, http)

    return view


@pytest.fixture
def table_of() -> Callable[[list[dict[str, Any]]], dict[str, dict[str, int]]]:
    """Count received messages by channel and symbol, as the ledger does."""

    def count(messages: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
        counts = Counter((TYPES[message["T"]], message["S"]) for message in messages)
        table: dict[str, dict[str, int]] = {}
        for (channel, symbol), number in counts.items():
            table.setdefault(channel, {})[symbol] = number
        return table

    return count


_LEVEL = pa.list_(pa.struct([("price", pa.float64()), ("size", pa.float64())]))


def _recordings(folder: Path, name: str, start_ns: int, symbol: str) -> None:
    ticks = range(200)
    times = [start_ns + tick * SECOND for tick in ticks]
    prices = [100.0 + tick % 7 for tick in ticks]
    trades = {
        "symbol": [symbol] * 200,
        "ts_ns": [ts + 500_000_001 for ts in times],
        "price": prices,
        "size": [1.5] * 200,
        "side": pa.array(["buy", "sell"] * 100),
        "trade_id": pa.array([f"{tick}-x" if tick % 2 else str(2**60 + tick) for tick in ticks]),
    }
    quotes = {
        "symbol": [symbol] * 200,
        "ts_ns": times,
        "bid": [price - 0.5 for price in prices],
        "bid_size": [2.0] * 200,
        "ask": [price + 0.5 for price in prices],
        "ask_size": [3.0] * 200,
    }
    before = [None, *prices[:-1]]
    books = {
        "symbol": [symbol] * 200,
        "ts_ns": times,
        "bids": pa.array(
            [
                [(price - 0.5, 2.0), (50.0, 1.0)] + ([(last - 0.5, 0.0)] if tick % 100 else [])
                for tick, price, last in zip(ticks, prices, before, strict=True)
            ],
            _LEVEL,
        ),
        "asks": pa.array(
            [
                [(price + 0.5, 3.0)] + ([(last + 0.5, 0.0)] if tick % 100 else [])
                for tick, price, last in zip(ticks, prices, before, strict=True)
            ],
            _LEVEL,
        ),
        "reset": [tick % 100 == 0 for tick in ticks],
    }
    for channel, columns in (("trades", trades), ("quotes", quotes), ("books", books)):
        pq.write_table(pa.table(columns), folder / f"{channel}_{name}.parquet")


def _bars(path: Path, symbol: str, start_ns: int, count: int, *, shift: float = 0.0) -> None:
    opens = [1000.0 + shift + minute % 13 for minute in range(count)]
    columns = {
        "symbol": [symbol] * count,
        "ts_ns": [start_ns + minute * 60 * SECOND for minute in range(count)],
        "open": opens,
        "high": [price + 2 for price in opens],
        "low": [price - 2 for price in opens],
        "close": [price + 1 for price in opens],
        "volume": [float(minute % 3) for minute in range(count)],
        "trades": pa.array([None] * count, pa.int64()),
        "vwap": pa.array([None] * count, pa.float64()),
    }
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two sessions (200 ticks of each channel) and minute bars, one file overlapping another."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    _recordings(folder, "first_btcusd", T0, "BTC/USD")
    _recordings(folder, "second_ethusd", T0 + 86_400 * SECOND, "ETH/USD")
    _bars(folder / "bars_1m_one_a.parquet", "BTC/USD", T0 - 3000 * 60 * SECOND, 2000)
    _bars(folder / "bars_1m_one_b.parquet", "BTC/USD", T0 - 1500 * 60 * SECOND, 1500, shift=500.0)
    _bars(folder / "bars_1m_two_c.parquet", "BTC/USD", T0 - 9000 * 60 * SECOND, 100)
    _bars(folder / "bars_1m_one_d.parquet", "ETH/USD", T0 - 1500 * 60 * SECOND, 1500)
    return folder


@pytest.fixture
def t0() -> int:
    """Start of the first session."""
    return T0


@pytest.fixture
def recorded_data() -> Path:
    """The folder of recorded market data."""
    folder = os.environ.get("TRADELAKE_DATA")
    if not folder:
        pytest.skip("TRADELAKE_DATA names no folder of recorded market data")
    return Path(folder)
