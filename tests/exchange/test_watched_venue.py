"""Books and the universe through the real feed, intake and SDK, against the simulated venue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp

from tests.functions.stores import StateInMemory
from tests.ingest.fakes import Ledger, Stream, SystemTime, no_wait
from tradelake.adapters.alpaca.assets import AlpacaAssets
from tradelake.adapters.alpaca.socket import AlpacaFeed
from tradelake.feed.session import Session
from tradelake.feed.subscription import Change, Credentials, Subscription
from tradelake.market.channels import ORDERBOOKS, TRADES
from tradelake.market.records import BookSnapshot, BookUpdate, Instrument, Record
from tradelake.ports import Stage
from tradelake.stream.quality import findings
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.intake import Intake
from tradelake.usecases.keep_books import BookKeeper
from tradelake.usecases.publish import Publisher
from tradelake.usecases.run_ingester import run_ingester
from tradelake.usecases.watch_universe import UniverseWatch

CHANNELS = (TRADES, ORDERBOOKS)
BTC, ETH = "BTC/USD", "ETH/USD"


class LosesOne:
    """Stands for a venue that loses the delta which moves the market down."""

    def __init__(self) -> None:
        self.lost = 0

    def process(self, records: Sequence[Record], now_ns: int) -> Sequence[Record]:
        for record in records:
            if self.lost or not isinstance(record, BookUpdate) or record.reset:
                continue
            if (105.5, 0.0) in record.bids:
                self.lost += 1
                return [other for other in records if other is not record]
        return records


class Ingester:
    """A whole ingester whose stream and ledger are in memory."""

    def __init__(self, server, symbols: tuple[str, ...], before: Sequence[Stage] = ()) -> None:
        clock = SystemTime()
        self.subscription = Subscription(CHANNELS, symbols)
        self.clock, self.server = clock, server
        session = Session(Credentials("demo-key", "demo-secret"), self.subscription, no_wait)
        self.feed = AlpacaFeed(server.stream, session, clock)
        self.asked: list[Change] = []
        self.keeper = BookKeeper(self.renew, interval_ns=1)
        batcher = Batcher("us", 1, 4, BatchLimits(linger_ns=1_000_000))
        self.stream = Stream()
        self.publisher = Publisher(batcher, self.stream, clock, no_wait, buckets=4)
        self.intake = Intake(
            "us",
            1,
            batcher,
            self.publisher,
            Ledger(),
            clock,
            no_wait,
            stages=(*before, self.keeper),
            interrupted=self.keeper.interrupted,
        )

    def renew(self, symbols: tuple[str, ...]) -> None:
        self.request(Change(renew=Subscription((ORDERBOOKS,), symbols)))

    def request(self, change: Change) -> None:
        self.asked.append(change)
        self.feed.request(change)

    def records(self, kind: type) -> list:
        return [r for batch in self.stream.batches for r in batch.records if isinstance(r, kind)]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Event]:
        stop = asyncio.Event()
        task = asyncio.create_task(run_ingester(self.feed, self.intake, self.publisher, stop))
        await until(lambda: self.intake.state == "streaming" or task.done())
        yield stop
        stop.set()
        await asyncio.wait_for(task, 20)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110 - much of it happens in other threads
            await asyncio.sleep(0.01)


async def post(server, path: str, **body) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}/_exchange/{path}", json=body) as response,
    ):
        assert response.status == 200, await response.text()


def test_a_book_is_whole_again_when_the_venue_lost_an_update(exchange, recordings, venue):
    async def scenario() -> None:
        server = exchange(data=recordings, speed=400.0, frame_ms=2.0)
        lossy = LosesOne()
        ingester = Ingester(server, (BTC,), [lossy])
        async with ingester.running(), venue(server) as view:
            await post(server, "start")
            await until(lambda: ingester.intake.received[TRADES] == 200)
            await until(lambda: ingester.keeper.counts().resets >= 3)
            book = (await view.get("latest/orderbooks", symbols=BTC))["orderbooks"][BTC]
            top = ingester.keeper.top(BTC, 100)
        assert lossy.lost == 1
        assert ingester.asked == [Change(renew=Subscription((ORDERBOOKS,), (BTC,)))]
        assert top is not None
        assert top == tuple([(level["p"], level["s"]) for level in book[side]] for side in "ba")
        snapshots = ingester.records(BookSnapshot)
        assert {snapshot.flags for snapshot in snapshots} == {"", "crossed_book"}
        assert snapshots[-1].flags == ""
        assert all(finding.rule == "crossed_book" for s in snapshots for finding in findings(s))
        assert ingester.intake.status().venue_errors == {}

    asyncio.run(scenario())


def test_a_delisted_pair_is_told_and_unsubscribed_and_a_renamed_one_followed(exchange, recordings):
    async def scenario() -> None:
        server = exchange(data=recordings, speed=400.0, frame_ms=2.0)
        ingester = Ingester(server, (BTC, ETH))
        assets = AlpacaAssets("demo-key", "demo-secret", url=server.url)
        watch = UniverseWatch(
            "us",
            assets,
            StateInMemory(),
            ingester.clock,
            ingester.subscription,
            no_wait,
            every_s=0.02,
        )
        async with ingester.running() as stop:
            watching = asyncio.create_task(watch.run(ingester.intake.add, ingester.request, stop))
            await until(lambda: watch.status().active == 2)
            await post(server, "assets", action="delist", symbol=ETH)
            await until(lambda: watch.status().active == 1)
            await post(server, "assets", action="rename", symbol=BTC, to="XBT/USD")
            await until(lambda: "renamed" in watch.status().events)
            await until(lambda: len(ingester.asked) == 2)
            await post(server, "start")
            await until(lambda: ingester.intake.received[TRADES] >= 50)
        await asyncio.wait_for(watching, 20)
        assets._client._session.close()
        assert ingester.asked == [
            Change(drop=Subscription(CHANNELS, (ETH,))),
            Change(add=Subscription(CHANNELS, ("XBT/USD",)), drop=Subscription(CHANNELS, (BTC,))),
        ]
        told = sorted((r.symbol, r.event, r.renamed_to) for r in ingester.records(Instrument))
        assert told == [
            (BTC, "listed", ""),
            (BTC, "renamed", "XBT/USD"),
            (ETH, "delisted", ""),
            (ETH, "listed", ""),
            ("XBT/USD", "listed", ""),
        ]
        assert {record.symbol for record in ingester.records(BookUpdate)} == {"XBT/USD"}
        assert ingester.intake.status().venue_errors == {}

    asyncio.run(scenario())
