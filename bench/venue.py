"""A venue that costs little: real recorded messages, encoded once, sent at a rate over a websocket.

It speaks Alpaca's handshake and answers whatever is subscribed with everything it has. Every symbol
plays the first messages of a recorded tape over and over; only the timestamps are written anew.
``POST /rate?points_s=N`` sets the rate (0 pauses), ``GET /sent`` tells how many points were sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
from aiohttp import web

from tradelake.exchange.synthetic.universe import UNIVERSE
from tradelake.exchange.wire import MarketRecord, MsgpackCodec, decode_request
from tradelake.market.channels import BARS, CHANNELS, DAILY_BARS, UPDATED_BARS
from tradelake.market.records import Bar, BookUpdate, Quote, TakerSide, Trade
from tradelake.market.timeframes import timeframe_ns

RECORDING = "binance_spot_btcusdt_ethusdt_2024-08-08_2354_2359.parquet"
TICK_S = 0.002
BOOK_LEVELS = 100
BAR_EVERY = 100


class Frame:
    """A frame whose messages can be stamped with another time."""

    def __init__(self, messages: list[tuple[bytes, int]]) -> None:
        self.points = len(messages)
        head = b"\xdc" + self.points.to_bytes(2, "big")
        starts, body = [], bytearray(head)
        for data, stamp_at in messages:
            if stamp_at >= 0:
                starts.append(len(body) + stamp_at)
            body += data
        self.data = body
        self._bytes = np.frombuffer(body, dtype=np.uint8)
        self._stamps = (np.array(starts)[:, None] + np.arange(8)).astype(np.intp)

    def stamp(self, ts_ns: int) -> bytes:
        """Return the frame with its messages at ``ts_ns``."""
        second, fraction = divmod(ts_ns, 1_000_000_000)
        stamp = ((fraction or 1) << 34 | second).to_bytes(8, "big")
        self._bytes[self._stamps] = np.frombuffer(stamp, dtype=np.uint8)
        return bytes(self.data)


def tape(folder: Path, recorded: str, count: int) -> list[MarketRecord]:
    """Return the first messages of a recorded symbol in order, with a bar now and then."""
    columns = {
        name: pq.read_table(folder / f"{name}_{RECORDING}", filters=[("symbol", "=", recorded)])
        for name in ("trades", "quotes", "books")
    }
    found: list[MarketRecord] = []
    for row in columns["trades"].slice(0, count).to_pylist():
        side: TakerSide = row["side"] or ""
        number = int(row["trade_id"])
        found.append(Trade("", row["ts_ns"], 0, number, row["price"], row["size"], side))
    for row in columns["quotes"].slice(0, count).to_pylist():
        prices = (row["bid"], row["bid_size"], row["ask"], row["ask_size"])
        found.append(Quote("", row["ts_ns"], 0, *prices))
    for row in columns["books"].slice(0, count).to_pylist():
        bids, asks = (
            [(level["price"], level["size"]) for level in row[name][:BOOK_LEVELS]]
            for name in ("bids", "asks")
        )
        found.append(BookUpdate("", row["ts_ns"], 0, bids, asks, row["reset"]))
    found.sort(key=lambda record: record.ts_event)
    kept = found[:count]
    trades = [record for record in found if isinstance(record, Trade)]
    for number, at in enumerate(range(BAR_EVERY, len(kept), BAR_EVERY)):
        kept.insert(at, _bar(trades, (BARS, UPDATED_BARS, DAILY_BARS)[number % 3]))
    return kept


def _bar(trades: list[Trade], channel: str) -> Bar:
    prices = [trade.price for trade in trades]
    volume = sum(trade.size for trade in trades)
    vwap = sum(trade.price * trade.size for trade in trades) / volume
    values = (prices[0], max(prices), min(prices), prices[-1], volume, vwap, len(trades))
    timeframe = "1d" if channel == DAILY_BARS else "1m"
    length_ns = timeframe_ns(timeframe)
    return Bar(
        "", time.time_ns() // length_ns * length_ns, 0, *values, timeframe, "alpaca", channel
    )


def frames(folder: Path, symbols: int, per_symbol: int, per_frame: int) -> list[Frame]:
    """Return frames in which symbols take turns, each through its tape."""
    codec = MsgpackCodec()
    tapes = [tape(folder, recorded, per_symbol) for recorded in ("BTC/USDT", "ETH/USDT")]
    names = UNIVERSE[:symbols]
    messages: list[tuple[bytes, int]] = []
    for at in range(len(tapes[0])):
        for number, symbol in enumerate(names):
            record = msgspec.structs.replace(tapes[number % 2][at], symbol=symbol)
            data = codec.encode(record)
            stamp_at = -1
            if not isinstance(record, Bar):
                second, fraction = divmod(record.ts_event, 1_000_000_000)
                stamp_at = data.index((fraction << 34 | second).to_bytes(8, "big"))
            messages.append((data, stamp_at))
    return [Frame(messages[i : i + per_frame]) for i in range(0, len(messages), per_frame)]


class Venue:
    """One websocket at a time, and two routes to steer it."""

    def __init__(self, made: list[Frame]) -> None:
        self._frames = made
        self._rate = 0.0
        self._sent = 0

    def application(self) -> web.Application:
        """Return the application."""
        application = web.Application()
        application.router.add_get("/feed", self._stream)
        application.router.add_post("/rate", self._set_rate)
        application.router.add_get("/sent", self._say_sent)
        return application

    async def _set_rate(self, request: web.Request) -> web.Response:
        self._rate = float(request.query["points_s"])
        return web.json_response({"sent": self._sent})

    async def _say_sent(self, _: web.Request) -> web.Response:
        return web.json_response({"sent": self._sent})

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        await ws.send_bytes(_control({"T": "success", "msg": "connected"}))
        sending: asyncio.Task[None] | None = None
        granted: dict[str, list[str]] = {}
        async for message in ws:
            asked = decode_request(message.data)
            if asked["action"] == "auth":
                await ws.send_bytes(_control({"T": "success", "msg": "authenticated"}))
                continue
            granted |= {name: asked[name] for name in CHANNELS if name in asked}
            await ws.send_bytes(_control({"T": "subscription", **granted}))
            sending = sending or asyncio.create_task(self._send(ws))
        if sending is not None:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending
        return ws

    async def _send(self, ws: web.WebSocketResponse) -> None:
        turn = self._turns()
        due, before = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            # what could not be sent within a quarter of a second is not made up for
            due = min(due + self._rate * (now - before), 0.25 * self._rate)
            before = now
            while due >= 1:
                frame = next(turn)
                await ws.send_bytes(frame.stamp(time.time_ns()))
                self._sent += frame.points
                due -= frame.points

    def _turns(self) -> Iterator[Frame]:
        while True:
            yield from self._frames


def _control(message: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode([message])


async def serve(venue: Venue) -> None:
    """Serve until terminated; print the port first."""
    runner = web.AppRunner(venue.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of recorded data")
    parser.add_argument("--symbols", type=int, default=120)
    parser.add_argument("--per-symbol", type=int, default=500)
    parser.add_argument("--per-frame", type=int, default=20)
    given = parser.parse_args()
    made = frames(given.data, given.symbols, given.per_symbol, given.per_frame)
    asyncio.run(serve(Venue(made)))


if __name__ == "__main__":
    main()
