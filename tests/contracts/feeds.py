"""Both feeds, an intake that keeps what it is given, and the simulated exchange from outside."""

from __future__ import annotations

import asyncio
import itertools
import json
import urllib.request
import warnings
from collections.abc import Awaitable, Callable

import msgspec

from tests.exchange.conftest import Server
from tests.ingest.fakes import SystemTime
from tradelake.adapters.alpaca.socket import AlpacaFeed
from tradelake.exchange.options import SyntheticOptions
from tradelake.feed.events import Event, Records
from tradelake.feed.policy import SessionPolicy
from tradelake.feed.session import Session
from tradelake.feed.subscription import Credentials, Subscription
from tradelake.market.channels import CHANNELS
from tradelake.market.records import BookUpdate, Record, channel_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # alpaca-py imports websockets.legacy

    from tradelake.adapters.alpaca.sdk_feed import AlpacaSdkFeed

KEYS = Credentials("demo-key", "demo-secret")
EVERYTHING = Subscription(CHANNELS, ("*",))
MARKET = SyntheticOptions(seed=3, symbols=("BTC/USD", "ETH/USD"), hours=0.2, history_days=1)
MakeFeed = Callable[..., "AlpacaFeed | AlpacaSdkFeed"]


def native(
    url: str, subscription: Subscription = EVERYTHING, keys: Credentials = KEYS, **policy: float
) -> AlpacaFeed:
    session = Session(keys, subscription, lambda: itertools.repeat(0.05), SessionPolicy(**policy))
    return AlpacaFeed(url, session, SystemTime())


def sdk(
    url: str, subscription: Subscription = EVERYTHING, keys: Credentials = KEYS, **policy: float
) -> AlpacaSdkFeed:
    waits = itertools.repeat(0.05)
    limits = SessionPolicy(**policy)
    return AlpacaSdkFeed(url, keys, subscription, SystemTime(), lambda: waits, limits)


class Sink:
    """An intake that keeps what it is given."""

    full = False

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._took = asyncio.Event()

    def take(self, event: Event, now_ns: int) -> None:
        self.events.append(event)
        self._took.set()

    async def room(self) -> None:
        return

    def records(self) -> list[Record]:
        return [record for event in self.only(Records) for record in event.records]

    def only(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not met():
                self._took.clear()
                await self._took.wait()


def status(server: Server) -> dict:
    with urllib.request.urlopen(server.url + "/_exchange/status", timeout=5) as response:
        return json.load(response)


async def fault(server: Server, **body) -> None:
    def post() -> None:
        url = server.url + "/_exchange/fault"
        request = urllib.request.Request(url, data=json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=5).close()

    await asyncio.to_thread(post)


async def everything(server: Server, sink: Sink) -> None:
    """Return when all that the exchange sent has come."""
    async with asyncio.timeout(30):
        while True:
            now = await asyncio.to_thread(status, server)
            if now["state"] == "finished" and len(sink.records()) >= now["total_sent"]:
                return
            await asyncio.sleep(0.05)


def run(feed, conduct: Callable[[Sink], Awaitable[None]]) -> Sink:
    """Run a feed while ``conduct`` goes on, then stop it."""

    async def scenario() -> Sink:
        sink, stop = Sink(), asyncio.Event()
        running = asyncio.create_task(feed.run(sink, stop))
        conducting = asyncio.create_task(conduct(sink))
        await asyncio.wait((running, conducting), return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await asyncio.wait_for(running, 20)
        await conducting
        assert asyncio.all_tasks() == {asyncio.current_task()}, "the feed left a task behind"
        return sink

    return asyncio.run(scenario())


def collect(server: Server, feed) -> list[Record]:
    return run(feed, lambda sink: everything(server, sink)).records()


def content(record: Record) -> dict:
    return msgspec.structs.asdict(record) | {"ts_ingest": 0}


def as_message(record: Record) -> dict:
    """Spell a record as the protocol does, with its time in ns."""
    fields = {"S": record.symbol, "t": record.ts_event}
    match channel_of(record):
        case "trades":
            side = {"buy": "B", "sell": "S"}[record.taker_side]
            i = record.trade_id
            return fields | {"T": "t", "p": record.price, "s": record.size, "i": i, "tks": side}
        case "quotes":
            bid = {"bp": record.bid, "bs": record.bid_size}
            return fields | bid | {"T": "q", "ap": record.ask, "as": record.ask_size}
        case "orderbooks":
            assert isinstance(record, BookUpdate)
            sides = {"b": [*map(tuple, record.bids)], "a": [*map(tuple, record.asks)]}
            return fields | sides | {"T": "o", "r": record.reset}
        case channel:
            tag = {"bars": "b", "updatedBars": "u", "dailyBars": "d"}[channel]
            prices = {"o": record.open, "h": record.high, "l": record.low, "c": record.close}
            traded = {"v": record.volume, "n": record.trades, "vw": record.vwap}
            return fields | prices | traded | {"T": tag}


def as_said(message: dict) -> dict:
    """Spell a message of the SDK with its time in ns and its levels as pairs."""
    stamp = message["t"]
    said = message | {"t": stamp.seconds * 1_000_000_000 + stamp.nanoseconds}
    if message["T"] == "o":
        for side in "ba":
            said[side] = [(level["p"], level["s"]) for level in message[side]]
        said.setdefault("r", False)
    return said
