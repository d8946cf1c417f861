"""The websocket of ``trade_updates``: ``/stream`` of the trading API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from tradelake.errors import InvalidData
from tradelake.exchange.faults import Faults
from tradelake.exchange.paper.orders import Update
from tradelake.exchange.wire import decode_request

STREAM: Final = "trade_updates"
_MOST_WAITING: Final = 10_000
_CLOSING_TIMEOUT_S: Final = 2.0
_ENCODE: Final = msgspec.json.Encoder().encode


class UpdateStream:
    """Tells clients what happens to orders; who connects later is told nothing of the past.

    Parameters
    ----------
    admits : callable
        Whether a key and its secret are accepted.
    faults : Faults
        What breaks connections.
    auth_timeout_s : float
        Time to authenticate in.
    """

    def __init__(
        self, admits: Callable[[object, object], bool], faults: Faults, auth_timeout_s: float
    ) -> None:
        self._admits = admits
        self._faults = faults
        self._auth_timeout_s = auth_timeout_s
        self._listeners: dict[web.WebSocketResponse, asyncio.Queue[bytes]] = {}
        self._open: set[web.WebSocketResponse] = set()

    @property
    def listeners(self) -> int:
        """How many clients are told."""
        return len(self._listeners)

    def publish(self, updates: Sequence[Update]) -> None:
        """Send updates to those who listen; a client that takes nothing is dropped."""
        for update in updates:
            message = _ENCODE({"stream": STREAM, "data": update.body()})
            for ws, queue in list(self._listeners.items()):
                try:
                    queue.put_nowait(message)
                except asyncio.QueueFull:
                    del self._listeners[ws]
                    _break(ws)

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(ws.close(code=WSCloseCode.GOING_AWAY) for ws in self._open))

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """The websocket of ``trade_updates``: authenticate, then listen."""
        ws = web.WebSocketResponse(timeout=_CLOSING_TIMEOUT_S)
        await ws.prepare(request)

        def drop() -> None:
            self._listeners.pop(ws, None)
            _break(ws)

        self._open.add(ws)
        self._faults.update_streams.add(drop)
        writer: asyncio.Task[None] | None = None
        try:
            with contextlib.suppress(TimeoutError, ClientConnectionResetError):
                async with asyncio.timeout(self._auth_timeout_s):
                    if not await self._authenticated(ws):
                        return ws
                queue: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)
                writer = asyncio.create_task(_write(ws, queue))
                await self._serve(ws, queue)
        finally:
            self._listeners.pop(ws, None)
            self._open.discard(ws)
            self._faults.update_streams.discard(drop)
            if writer is not None:
                writer.cancel()
                with contextlib.suppress(asyncio.CancelledError, ClientConnectionResetError):
                    await writer
        return ws

    async def _authenticated(self, ws: web.WebSocketResponse) -> bool:
        """Wait for credentials; False where the client left."""
        while True:
            told = await _request(ws)
            if told is None:
                return False
            data = told.get("data")
            given = data if isinstance(data, dict) else {}
            key = given.get("key_id", told.get("key"))
            secret = given.get("secret_key", told.get("secret"))
            asked = told["action"] in ("authenticate", "auth")
            right = asked and self._admits(key, secret)
            answer = {
                "action": told["action"],
                "status": "authorized" if right else "unauthorized",
            }
            await ws.send_bytes(_ENCODE({"stream": "authorization", "data": answer}))
            if right:
                return True

    async def _serve(self, ws: web.WebSocketResponse, queue: asyncio.Queue[bytes]) -> None:
        while (told := await _request(ws)) is not None:
            if told["action"] != "listen":
                continue
            data = told.get("data")
            streams = data.get("streams", []) if isinstance(data, dict) else []
            known = [STREAM] if isinstance(streams, list) and STREAM in streams else []
            try:
                queue.put_nowait(_ENCODE({"stream": "listening", "data": {"streams": known}}))
            except asyncio.QueueFull:
                _break(ws)
                return
            if known:
                self._listeners[ws] = queue
            else:
                self._listeners.pop(ws, None)


async def _write(ws: web.WebSocketResponse, queue: asyncio.Queue[bytes]) -> None:
    while True:
        await ws.send_bytes(await queue.get())


async def _request(ws: web.WebSocketResponse) -> dict[str, Any] | None:
    """Return the client's next request that makes sense; None where it left."""
    while True:
        message = await ws.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return None
        data = message.data
        with contextlib.suppress(InvalidData, UnicodeDecodeError):
            return decode_request(data if isinstance(data, str) else data.decode())


def _break(ws: web.WebSocketResponse) -> None:
    """Break a connection without a closing handshake."""
    transport = ws._req.transport if ws._req is not None else None  # noqa: SLF001 - no public way
    if transport is not None:
        transport.abort()
