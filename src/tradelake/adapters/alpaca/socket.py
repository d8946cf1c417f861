"""The market-data socket: carries out what a :class:`~tradelake.feed.session.Session` decides."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import aiohttp
from aiohttp import WSMsgType

from tradelake.errors import Fatal, TradelakeError
from tradelake.feed.events import (
    Abort,
    Close,
    Event,
    Fail,
    ReconnectAfter,
    Records,
    Send,
    SendPing,
    Stopped,
)
from tradelake.feed.session import Session
from tradelake.feed.subscription import Change, Credentials
from tradelake.ports import Clock
from tradelake.usecases.intake import Intake

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
TICK_S: Final = 0.5
CONNECT_TIMEOUT_S: Final = 15.0
_MSGPACK: Final = {"Content-Type": "application/msgpack"}
_NORMAL_CLOSURE: Final = struct.pack("!H", 1000)
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
_CLOSE_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_close=1.0)
_LOST: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class AlpacaFeed:
    """A session on real sockets, one at a time.

    Parameters
    ----------
    url : str
        For instance ``wss://stream.data.alpaca.markets/v1beta3/crypto/us``.
    session : Session
        Decides.
    clock : Clock
        Stamps what is received.
    credentials : callable, optional
        Returns the account's keys as they are now; asked in a thread before every connection. While
        it cannot answer, the last ones serve.
    """

    def __init__(
        self,
        url: str,
        session: Session,
        clock: Clock,
        credentials: Callable[[], Credentials] | None = None,
    ) -> None:
        self._url = url
        self._session = session
        self._clock = clock
        self._credentials = credentials
        self._reading = False
        self._ended = False
        self._failure: str | None = None
        self._wait_s = 0.0
        self._intake: Intake | None = None
        self._outbox: asyncio.Queue[Send | Close] = asyncio.Queue()

    def request(self, change: Change) -> None:
        """Change the subscription: at once when there is one, else with the next connection.

        Does not block. Called in the loop that runs the feed, or before it runs.
        """
        now_ns = self._clock.now_ns()
        for event in self._session.change(change, now_ns):
            if isinstance(event, Send | Close):
                self._outbox.put_nowait(event)
            elif self._intake is not None:
                self._intake.take(event, now_ns)

    async def run(self, intake: Intake, stop: asyncio.Event) -> None:
        """Feed ``intake`` until ``stop`` is set and all that came before the close is taken.

        Raises
        ------
        Fatal
            The venue refuses for good.
        """
        self._intake = intake
        async with aiohttp.ClientSession(headers=_MSGPACK, timeout=_NO_TIMEOUT) as http:
            while not self._ended:
                await self._connect_once(http, intake, stop)
                if not self._ended:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._wait_s):
                            await stop.wait()
                    if stop.is_set():
                        await self._perform(self._session.stop(self._clock.now_ns()), None, intake)
        if self._failure is not None:
            raise Fatal(f"{self._url}: {self._failure}")

    async def _connect_once(
        self, http: aiohttp.ClientSession, intake: Intake, stop: asyncio.Event
    ) -> None:
        if self._credentials is not None:
            with contextlib.suppress(TradelakeError):
                self._session.renew_credentials(await asyncio.to_thread(self._credentials))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                ws = await http.ws_connect(
                    self._url,
                    autoping=False,
                    max_msg_size=MAX_FRAME_BYTES,
                    timeout=_CLOSE_TIMEOUT,
                )
            async with ws:
                self._outbox = asyncio.Queue()  # what was not sent went with the connection
                await self._perform(self._session.connected(self._clock.now_ns()), ws, intake)
                async with self._attended(ws, intake, stop):
                    reason = await self._read(ws, intake)
        except aiohttp.WSServerHandshakeError as error:
            now_ns, headers = self._clock.now_ns(), error.headers
            events = self._session.refused(error.status, error.message, now_ns, headers)
        except _LOST as error:
            reason = f"{type(error).__name__}: {error}"
            events = self._session.disconnected(reason, self._clock.now_ns())
        else:
            events = self._session.disconnected(reason, self._clock.now_ns())
        await self._perform(events, None, intake)

    @contextlib.asynccontextmanager
    async def _attended(
        self, ws: aiohttp.ClientWebSocketResponse, intake: Intake, stop: asyncio.Event
    ) -> AsyncIterator[None]:
        attendants = [
            asyncio.create_task(self._tick(ws, intake)),
            asyncio.create_task(self._close_on(stop, ws, intake)),
            asyncio.create_task(self._carry_out_requests(ws, intake)),
        ]
        try:
            yield
        finally:
            for task in attendants:
                task.cancel()
            for outcome in await asyncio.gather(*attendants, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, _LOST):
                    raise outcome

    async def _read(self, ws: aiohttp.ClientWebSocketResponse, intake: Intake) -> str:
        self._reading = True
        while True:
            message = await ws.receive()
            now_ns = self._clock.now_ns()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                await self._perform(self._session.received(message.data, now_ns), ws, intake)
            elif message.type is WSMsgType.PONG:
                await self._perform(self._session.pong(now_ns), ws, intake)
            elif message.type is WSMsgType.PING:
                await ws.pong(message.data)
            else:
                cause = ws.exception()
                return f"closed with {ws.close_code}" + (f": {cause}" if cause else "")
            if intake.full:
                self._reading = False
                await intake.room()
                self._reading = True
                events = self._session.resumed(self._clock.now_ns())
                await self._perform(events, ws, intake)

    async def _tick(self, ws: aiohttp.ClientWebSocketResponse, intake: Intake) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._reading:
                await self._perform(self._session.tick(self._clock.now_ns()), ws, intake)

    async def _carry_out_requests(
        self, ws: aiohttp.ClientWebSocketResponse, intake: Intake
    ) -> None:
        while True:
            await self._perform([await self._outbox.get()], ws, intake)

    async def _close_on(
        self, stop: asyncio.Event, ws: aiohttp.ClientWebSocketResponse, intake: Intake
    ) -> None:
        await stop.wait()
        await self._perform(self._session.stop(self._clock.now_ns()), ws, intake)

    async def _perform(
        self,
        events: Iterable[Event],
        ws: aiohttp.ClientWebSocketResponse | None,
        intake: Intake,
    ) -> None:
        for event in events:
            match event:
                case Records():
                    intake.take(event, self._clock.now_ns())
                case ReconnectAfter():
                    self._wait_s = event.seconds
                case Fail():
                    self._failure, self._ended = event.message, True
                case Stopped():
                    self._ended = True
                case Send() | SendPing() | Close() | Abort():
                    if ws is not None:
                        await _carry_out(event, ws)
                case _:
                    intake.take(event, self._clock.now_ns())


async def _carry_out(
    action: Send | SendPing | Close | Abort, ws: aiohttp.ClientWebSocketResponse
) -> None:
    match action:
        case Send(data=str(text)):
            await ws.send_str(text)
        case Send(data=bytes(data)):
            await ws.send_bytes(data)
        case SendPing():
            await ws.ping()
        case Close():
            # ws.close() would drop the data frames that arrive before the venue's own close.
            await ws.send_frame(_NORMAL_CLOSURE, WSMsgType.CLOSE)
        case Abort():
            await ws.close()
