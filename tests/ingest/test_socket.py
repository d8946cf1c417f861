"""The shell on real sockets, against a venue that does as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import msgpack
import pytest
from aiohttp import WSMsgType, web

from tests.ingest.fakes import SystemTime
from tradelake.adapters.alpaca.socket import AlpacaFeed
from tradelake.errors import Fatal
from tradelake.feed.events import Event, GapClosed, GapOpened, Records, Subscribed
from tradelake.feed.session import Session, SessionPolicy
from tradelake.feed.subscription import Credentials, Subscription

Conversation = Callable[[web.WebSocketResponse], Awaitable[None]]


class Sink:
    """An intake that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.full = False
        self.has_room = asyncio.Event()
        self.subscribed = asyncio.Event()
        self._wanted = 0
        self._enough = asyncio.Event()

    def take(self, event: Event, now_ns: int) -> None:
        self.events.append(event)
        if isinstance(event, Subscribed):
            self.subscribed.set()
        if len(self.ids()) >= self._wanted:
            self._enough.set()

    async def until(self, count: int) -> None:
        """Return when so many records were taken."""
        self._wanted = count
        if len(self.ids()) < count:
            self._enough.clear()
            await self._enough.wait()

    async def room(self) -> None:
        await self.has_room.wait()
        self.full = False

    def ids(self) -> list[int]:
        return [r.trade_id for e in self.events if isinstance(e, Records) for r in e.records]


def trade(number: int) -> dict:
    time = msgpack.Timestamp(1_710_000_000, number)
    return {"T": "t", "S": "BTC/USD", "p": 1.0, "s": 1.0, "t": time, "i": number, "tks": "B"}


async def say(ws: web.WebSocketResponse, *messages: dict) -> None:
    await ws.send_bytes(msgpack.packb(list(messages)))


async def hand_shake(ws: web.WebSocketResponse) -> None:
    await say(ws, {"T": "success", "msg": "connected"})
    auth = msgpack.unpackb((await ws.receive()).data)
    assert (auth["key"], auth["secret"]) == ("k", "s")
    await say(ws, {"T": "success", "msg": "authenticated"})
    asked = msgpack.unpackb((await ws.receive()).data)
    await say(ws, {"T": "subscription", "trades": asked["trades"]})


@contextlib.asynccontextmanager
async def venue(*conversations: Conversation) -> AsyncIterator[str]:
    """Serve the conversations, one a connection, in order."""
    waiting = iter(conversations)

    async def handle(request: web.Request) -> web.WebSocketResponse:
        assert request.headers["Content-Type"] == "application/msgpack"
        ws = web.WebSocketResponse(autoclose=False)
        await ws.prepare(request)
        await next(waiting)(ws)
        return ws

    app = web.Application()
    app.add_routes([web.get("/crypto", handle)])
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/crypto"
    finally:
        await runner.cleanup()


def new_feed(
    url: str, credentials: Callable[[], Credentials] | None = None, **policy: float
) -> AlpacaFeed:
    session = Session(
        Credentials("k", "s"),
        Subscription(("trades",), ("BTC/USD",)),
        lambda: itertools.repeat(0.0),
        SessionPolicy(**policy),
    )
    return AlpacaFeed(url, session, SystemTime(), credentials)


async def until_closed(ws: web.WebSocketResponse) -> None:
    while (await ws.receive()).type is not WSMsgType.CLOSE:
        pass


def test_frames_after_our_close_are_taken_when_stopped():
    async def conversation(ws: web.WebSocketResponse) -> None:
        await hand_shake(ws)
        await say(ws, trade(1))
        await until_closed(ws)
        for number in range(2, 200):
            await say(ws, trade(number))
        await ws.close()

    async def scenario() -> Sink:
        sink, stop = Sink(), asyncio.Event()
        async with venue(conversation) as url:
            running = asyncio.create_task(new_feed(url).run(sink, stop))
            await sink.subscribed.wait()
            stop.set()
            await asyncio.wait_for(running, 20)
        return sink

    assert asyncio.run(scenario()).ids() == list(range(1, 200))


def test_feed_reconnects_and_tells_the_gap_when_the_line_drops():
    async def dropped(ws: web.WebSocketResponse) -> None:
        await hand_shake(ws)
        await say(ws, trade(1), trade(2))
        assert ws._req is not None
        assert ws._req.transport is not None
        await asyncio.sleep(0.05)
        ws._req.transport.abort()

    async def whole(ws: web.WebSocketResponse) -> None:
        await hand_shake(ws)
        await say(ws, trade(3))
        await until_closed(ws)
        await ws.close()

    async def scenario() -> Sink:
        sink, stop = Sink(), asyncio.Event()
        async with venue(dropped, whole) as url:
            running = asyncio.create_task(new_feed(url).run(sink, stop))
            await sink.until(3)
            stop.set()
            await asyncio.wait_for(running, 20)
        return sink

    sink = asyncio.run(scenario())
    assert sink.ids() == [1, 2, 3]
    kinds = [type(e) for e in sink.events if isinstance(e, GapOpened | GapClosed)]
    assert kinds == [GapOpened, GapClosed, GapOpened]


def test_feed_authenticates_with_the_keys_of_the_day_when_it_connects_again():
    current = [Credentials("k", "s")]
    seen = []

    async def first(ws: web.WebSocketResponse) -> None:
        await hand_shake(ws)
        current[0] = Credentials("k2", "s2")

    async def second(ws: web.WebSocketResponse) -> None:
        await say(ws, {"T": "success", "msg": "connected"})
        auth = msgpack.unpackb((await ws.receive()).data)
        seen.append((auth["key"], auth["secret"]))
        await say(ws, {"T": "error", "code": 402, "msg": "auth failed"})
        await until_closed(ws)

    async def scenario() -> None:
        async with asyncio.timeout(10), venue(first, second) as url:
            feed = new_feed(url, credentials=lambda: current[0])
            with pytest.raises(Fatal, match="402"):
                await feed.run(Sink(), asyncio.Event())

    asyncio.run(scenario())
    assert seen == [("k2", "s2")]


def test_feed_fails_with_the_venues_words_when_refused_for_good():
    async def refusing(ws: web.WebSocketResponse) -> None:
        await say(ws, {"T": "success", "msg": "connected"})
        await ws.receive()
        await say(ws, {"T": "error", "code": 402, "msg": "auth failed"})
        await until_closed(ws)
        await ws.close()

    async def scenario() -> None:
        async with venue(refusing) as url:
            await new_feed(url).run(Sink(), asyncio.Event())

    with pytest.raises(Fatal, match="402 auth failed: authentication failed"):
        asyncio.run(scenario())


def test_feed_fails_when_there_is_no_feed_at_the_address():
    async def scenario() -> None:
        async with venue() as url:
            await new_feed(url + "/nowhere").run(Sink(), asyncio.Event())

    with pytest.raises(Fatal, match="HTTP 404"):
        asyncio.run(scenario())


def test_feed_stops_at_once_when_the_venue_cannot_be_reached():
    async def scenario() -> None:
        async with venue() as url:
            pass
        stop = asyncio.Event()
        running = asyncio.create_task(new_feed(url).run(Sink(), stop))
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(running, 20)

    asyncio.run(scenario())


def test_feed_gives_up_waiting_when_the_venue_does_not_answer_the_close():
    async def deaf(ws: web.WebSocketResponse) -> None:
        await hand_shake(ws)
        await asyncio.sleep(60)

    async def scenario() -> None:
        sink, stop = Sink(), asyncio.Event()
        async with venue(deaf) as url:
            running = asyncio.create_task(new_feed(url, close_timeout_s=0.1).run(sink, stop))
            await sink.subscribed.wait()
            stop.set()
            await asyncio.wait_for(running, 20)

    asyncio.run(scenario())


def test_socket_is_not_read_when_the_intake_is_full():
    async def flooding(ws: web.WebSocketResponse) -> None:
        await hand_shake(ws)
        for number in range(1, 101):
            await say(ws, trade(number))
        await until_closed(ws)
        await ws.close()

    async def scenario() -> tuple[int, list[int]]:
        sink, stop = Sink(), asyncio.Event()
        sink.full = True
        async with venue(flooding) as url:
            running = asyncio.create_task(new_feed(url).run(sink, stop))
            await asyncio.sleep(0.2)
            before = len(sink.ids())
            sink.has_room.set()
            await sink.until(100)
            stop.set()
            await asyncio.wait_for(running, 20)
        return before, sink.ids()

    before, ids = asyncio.run(scenario())
    assert before == 0
    assert ids == list(range(1, 101))
