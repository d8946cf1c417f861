"""What every feed must do, on the simulated exchange: our session, and the SDK's client.

Where the two differ (``docs/adr/0010-feed-session.md``) the test says what each does.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.contracts.feeds import (
    KEYS,
    MARKET,
    MakeFeed,
    Sink,
    as_message,
    as_said,
    collect,
    content,
    fault,
    native,
    run,
    sdk,
    status,
)
from tests.exchange.conftest import Server
from tests.ingest.fakes import Ledger, Stream, SystemTime, no_wait
from tradelake.errors import Fatal
from tradelake.exchange.options import ExchangeOptions
from tradelake.feed.events import GapClosed, GapOpened, Subscribed, VenueError
from tradelake.feed.subscription import Change, Credentials, Subscription
from tradelake.market.channels import CHANNELS
from tradelake.market.records import channel_of
from tradelake.ports import OPEN
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.intake import Intake
from tradelake.usecases.publish import Publisher
from tradelake.usecases.run_ingester import run_ingester

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # alpaca-py imports websockets.legacy
    from alpaca.data.live import CryptoDataStream


pytestmark = pytest.mark.filterwarnings("ignore:.*websockets.*:DeprecationWarning")


@pytest.fixture(params=[native, sdk], ids=["native", "sdk"])
def feed(request) -> MakeFeed:
    return request.param


@pytest.fixture
def exchange() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**options) -> Server:
        market = {"synthetic": MARKET, "start": "subscribed", "unclean_hold_s": 0.0}
        server = Server(ExchangeOptions(**{**market, **options}))
        servers.append(server.start())
        return server

    yield start
    for server in servers:
        server.close()


def test_feed_hands_over_every_message_in_order_when_the_exchange_plays(exchange, feed):
    server = exchange()
    records = collect(server, feed(server.stream))
    sent = status(server)["sent"]
    counts = {}
    for record in records:
        per = counts.setdefault(channel_of(record), {})
        per[record.symbol] = per.get(record.symbol, 0) + 1
    assert counts == sent
    assert set(counts) >= {"trades", "quotes", "orderbooks", "bars", "dailyBars"}


def test_both_feeds_hand_over_the_same_records_when_the_same_market_is_played(exchange):
    first, second = exchange(), exchange()
    ours = collect(first, native(first.stream))
    theirs = collect(second, sdk(second.stream))
    assert len(ours) > 1000
    assert [content(record) for record in ours] == [content(record) for record in theirs]
    assert any(record.ts_event % 1000 for record in ours), "nanoseconds are kept"


def test_records_are_the_unmodified_clients_messages_field_by_field(exchange):
    first, second = exchange(), exchange()
    ours = collect(first, native(first.stream))
    theirs: list[dict] = []
    client = CryptoDataStream(KEYS.key, KEYS.secret, raw_data=True, url_override=second.stream)

    async def take(message: dict) -> None:
        theirs.append(message)
        if len(theirs) == len(ours):
            await client.stop_ws()

    for subscribe in (
        client.subscribe_trades,
        client.subscribe_quotes,
        client.subscribe_orderbooks,
        client.subscribe_bars,
        client.subscribe_updated_bars,
        client.subscribe_daily_bars,
    ):
        subscribe(take, "*")
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert [as_message(record) for record in ours] == [as_said(message) for message in theirs]


def test_feed_fails_with_the_reason_when_the_credentials_are_wrong(exchange, feed):
    server = exchange()

    async def nothing(sink: Sink) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        wrong = feed(server.stream, keys=Credentials("demo-key", "wrong"))
        await asyncio.wait_for(wrong.run(Sink(), asyncio.Event()), 10)

    with pytest.raises(Fatal, match="402 auth failed: authentication failed"):
        asyncio.run(scenario())


class FullIntake(Intake):
    """Says when a feed waits for room."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)
        self.waited_for = asyncio.Event()

    async def room(self) -> None:
        self.waited_for.set()
        await super().room()


def test_run_ends_soon_and_ledgers_what_it_holds_when_it_is_full_and_asked_to_stop(exchange, feed):
    server = exchange(speed=60.0)

    async def scenario() -> None:
        stream, ledger, clock, stop = Stream(), Ledger(), SystemTime(), asyncio.Event()
        stream.open.clear()
        batcher = Batcher("us", 1, 2, BatchLimits(max_in_hand=20))
        publisher = Publisher(batcher, stream, clock, no_wait, buckets=2)
        intake = FullIntake("us", 1, batcher, publisher, ledger, clock, no_wait)
        source = feed(server.stream, close_timeout_s=0.5)
        running = asyncio.create_task(
            run_ingester(source, intake, publisher, stop, drain_timeout_s=0.5)
        )
        async with asyncio.timeout(20):
            await intake.waited_for.wait()
            oldest_ns = batcher.oldest_ns()
        stop.set()
        async with asyncio.timeout(5):
            with pytest.raises(Fatal, match="records were not durable"):
                await running
        assert (ledger.written[-1].opened_ns, ledger.written[-1].closed_ns) == (oldest_ns, OPEN)

    asyncio.run(scenario())


def test_feed_records_the_gap_and_goes_on_when_the_connection_is_cut(exchange, feed):
    server = exchange(speed=60.0)

    async def cut(sink: Sink) -> None:
        await sink.until(lambda: len(sink.records()) > 20)
        await fault(server, kind="cut", how="abort")
        await sink.until(lambda: len(sink.only(Subscribed)) > 1)
        had = len(sink.records())
        await sink.until(lambda: len(sink.records()) > had + 20)

    sink = run(feed(server.stream), cut)
    gap, end = sink.only(GapOpened)
    [closed] = sink.only(GapClosed)
    assert gap.cause.startswith("disconnect: ")
    assert (gap.channels, gap.symbols) == (CHANNELS, ("*",))
    assert closed.gap == gap
    assert closed.closed_ns > gap.opened_ns
    assert end.cause == "stop"


def test_feed_holds_off_and_comes_back_when_the_connection_limit_is_reached(exchange, feed):
    server = exchange(speed=60.0)

    async def limit(sink: Sink) -> None:
        await fault(server, kind="connect_error", code=406)
        await sink.until(lambda: bool(sink.only(Subscribed)))

    feeding = feed(server.stream, connection_limit_hold_s=0.3)
    asyncio.run(fault(server, kind="connect_error", code=406))
    sink = run(feeding, lambda sink: sink.until(lambda: bool(sink.only(Subscribed))))
    assert [error.code for error in sink.only(VenueError)] == [406]


def test_feed_subscribes_to_more_and_less_when_asked_while_it_runs(exchange, feed):
    server = exchange(speed=600.0)
    trades = Subscription(("quotes",), ("BTC/USD",))
    feeding = feed(server.stream, trades)

    async def change(sink: Sink) -> None:
        await sink.until(lambda: len(sink.records()) > 5)
        assert {record.symbol for record in sink.records()} == {"BTC/USD"}
        more = Subscription(("quotes", "orderbooks"), ("ETH/USD",))
        feeding.request(Change(add=more, drop=trades))
        await sink.until(
            lambda: (
                {channel_of(r) for r in sink.records() if r.symbol == "ETH/USD"}
                == {"quotes", "orderbooks"}
            )
        )
        await sink.until(lambda: len(sink.only(Subscribed)) > 1)
        had = len(sink.records())
        await sink.until(lambda: len(sink.records()) > had + 20)
        assert {record.symbol for record in sink.records()[had:]} == {"ETH/USD"}

    sink = run(feeding, change)
    assert sink.only(Subscribed)[-1] == Subscribed({})


def test_feed_gets_a_book_whole_again_when_it_is_renewed(exchange, feed):
    server = exchange(speed=600.0)
    books = Subscription(("orderbooks",), ("BTC/USD", "ETH/USD"))
    feeding = feed(server.stream, books)
    renewed = Subscription(("orderbooks",), ("BTC/USD",))

    async def renew(sink: Sink) -> None:
        await sink.until(lambda: len(sink.records()) > 20)
        had = len(sink.records())
        feeding.request(Change(renew=renewed))
        await sink.until(lambda: any(book.reset for book in sink.records()[had:]))
        await sink.until(lambda: bool(sink.only(GapClosed)))

    sink = run(feeding, renew)
    [closed] = sink.only(GapClosed)
    assert closed.gap.cause == "subscription renewed"
    assert (closed.gap.channels, closed.gap.symbols) == (("orderbooks",), ("BTC/USD",))


def test_feed_replaces_the_socket_and_records_the_gap_when_it_is_mute(exchange, feed):
    server = exchange(speed=60.0)

    async def mute(sink: Sink) -> None:
        await sink.until(lambda: len(sink.records()) > 20)
        await fault(server, kind="mute")
        await sink.until(lambda: len(sink.only(Subscribed)) > 1)

    sink = run(feed(server.stream, silence_s=1.0), mute)
    gap = sink.only(GapOpened)[0]
    assert "mute: no data for 1 s" in gap.cause


def test_feed_says_what_is_missing_when_the_acknowledgement_is_partial(exchange, feed):
    server = exchange(speed=60.0)
    asyncio.run(fault(server, kind="partial_acknowledgement"))
    sink = run(feed(server.stream), lambda sink: sink.until(lambda: bool(sink.only(GapOpened))))
    gap = sink.only(GapOpened)[0]
    assert gap.cause == "partial acknowledgement"
    assert (gap.channels, gap.symbols) == (("trades",), ("*",))


def test_symbol_limit_is_met_by_asking_for_less_or_ends_the_feed_of_the_sdk(exchange, feed):
    """The SDK sends one request for everything: there is nothing it could ask for instead."""
    server = exchange(speed=60.0, symbol_limit=3)
    wanted = Subscription(("trades", "quotes"), ("BTC/USD", "ETH/USD"))

    def meet() -> Sink:
        return run(
            feed(server.stream, wanted),
            lambda sink: sink.until(lambda: bool(sink.only(Subscribed))),
        )

    if feed is native:
        sink = meet()
        assert sink.only(GapOpened)[0].symbols == ("ETH/USD",)
        assert sink.only(Subscribed)[0].missing == {"quotes": ("ETH/USD",)}
        return

    async def scenario() -> None:
        await asyncio.wait_for(feed(server.stream, wanted).run(Sink(), asyncio.Event()), 10)

    with pytest.raises(Fatal, match=r"405 .*: nothing is subscribed; ask for fewer"):
        asyncio.run(scenario())
