"""The live tap: what a subscriber gets, and what it is told it missed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tradelake.adapters.tap import tap_route
from tradelake.errors import ConfigError, Transient
from tradelake.live import subscribe
from tradelake.market.records import Quote, Record, Trade, Unreadable
from tradelake.usecases.tap import Tap

NOW = 1_700_000_000_000_000_000


def trade(number: int, symbol: str = "BTC/USD", price: float = 100.0) -> Trade:
    return Trade(symbol, NOW + number, NOW + number, number, price, 1.0)


def is_clean(record: Record) -> bool:
    return not isinstance(record, Trade) or record.price > 0


def run(body) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await body()

    asyncio.run(bounded())


def test_subscriber_gets_the_clean_records_it_wants_in_order():
    async def body() -> None:
        tap = Tap("us", is_clean)
        one = tap.subscribe(["BTC/USD"], ["trades"], 10)
        frame = [
            trade(1),
            trade(2, "ETH/USD"),
            Quote("BTC/USD", NOW, NOW, 1.0, 1.0, 2.0, 1.0),
            trade(3, price=-1.0),
            Unreadable("BTC/USD", NOW, "trades", "no json", b"{"),
            trade(4),
        ]
        assert tap.process(frame, NOW) is frame
        assert (await one.next(1.0)).records == [trade(1), trade(4)]

    run(body)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 30), st.data())
def test_what_is_delivered_and_what_is_missed_is_all_there_was_however_slowly_it_is_read(
    frames, capacity, data
):
    async def body() -> None:
        tap = Tap("us", is_clean)
        slow = tap.subscribe(["*"], ["*"], capacity)
        got: list[Trade] = []
        missed = number = 0
        for size in frames:
            tap.process([trade(number + i) for i in range(size)], NOW)
            number += size
            if data.draw(st.booleans()):
                tapped = await slow.next(0.0)
                missed += tapped.missed
                got += tapped.records
        tapped = await slow.next(0.0)
        missed += tapped.missed
        got += tapped.records
        assert len(got) + missed == number
        assert missed == slow.missed == tap.missed
        ids = [one.trade_id for one in got]
        assert ids == sorted(set(ids))
        assert not got or got[-1].trade_id == number - 1 or not tapped.records

    run(body)


def test_what_a_subscriber_missed_is_remembered_when_it_left():
    tap = Tap("us", is_clean)
    slow = tap.subscribe(["*"], ["*"], 1)
    tap.process([trade(1), trade(2), trade(3)], NOW)
    tap.leave(slow)
    tap.process([trade(4)], NOW)
    assert (tap.subscribers, tap.missed) == (0, 2)


@contextlib.asynccontextmanager
async def served(tap: Tap):
    app = web.Application()
    app.add_routes([tap_route(tap)])
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_subscription_delivers_over_the_network_and_leaves_when_it_is_closed():
    async def body() -> None:
        tap = Tap("us", is_clean)
        async with served(tap) as url:
            async with subscribe(url, ["BTC/USD"], ["trades"]) as live:
                tap.process([trade(1), trade(2, "ETH/USD")], NOW)
                async for message in live:
                    assert message.venue == "us"
                    assert message.records == [trade(1)]
                    break
            for _ in range(500):
                if not tap.subscribers:
                    break
                await asyncio.sleep(0.01)
            assert tap.subscribers == 0

    run(body)


def test_reader_that_stalls_is_told_how_many_it_missed_and_the_feed_goes_on():
    async def body() -> None:
        tap = Tap("us", is_clean)
        total = 400_000
        async with served(tap) as url, subscribe(url, ["BTC/USD"]) as live:
            for start in range(0, total, 2_000):
                tap.process([trade(start + i) for i in range(2_000)], NOW)
                await asyncio.sleep(0)
            got, missed = 0, 0
            async for message in live:
                got += len(message.records)
                missed += message.missed
                if got + missed == total:
                    break
            assert missed == live.missed == tap.missed > 0

    run(body)


def test_subscription_to_a_channel_that_is_none_is_refused_with_its_name():
    async def body() -> None:
        async with served(Tap("us", is_clean)) as url:
            with pytest.raises(ConfigError, match="400"):
                async with subscribe(url, [], ["candles"]):
                    pass

    run(body)


def test_subscription_fails_as_transient_when_nobody_serves_or_the_ingester_ends():
    async def body() -> None:
        with pytest.raises(Transient):
            async with subscribe("http://127.0.0.1:9"):
                pass
        with pytest.raises(Transient, match="ended"):
            await read_until_the_ingester_ends()

    run(body)


async def read_until_the_ingester_ends() -> None:
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(Tap("us", is_clean)))
        async with subscribe(url) as live:
            await stack.aclose()
            async for _ in live:
                pass
