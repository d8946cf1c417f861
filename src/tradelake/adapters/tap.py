"""The live tap over a websocket: ``/tap?symbols=BTC/USD,ETH/USD&channels=trades``."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiohttp import WSMsgType, web

from tradelake.market.channels import CHANNELS, INSTRUMENTS, SNAPSHOTS
from tradelake.stream.tapped import encode_tapped
from tradelake.usecases.tap import EVERY, Subscriber, Tap

PATH: Final = "/tap"
CAPACITY: Final = 20_000
"""Records that wait for one subscriber at most: a few megabytes."""
SUBSCRIBERS: Final = 64
_SIGN_OF_LIFE_S: Final = 5.0
_SEND_TIMEOUT_S: Final = 15.0
_OFFERED: Final = frozenset({*CHANNELS, SNAPSHOTS, INSTRUMENTS, *EVERY})


def tap_route(tap: Tap) -> web.RouteDef:
    """Return the route under which ``tap`` can be subscribed."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        symbols = _listed(request, "symbols")
        channels = _listed(request, "channels")
        unknown = sorted(channels - _OFFERED)
        if unknown:
            raise web.HTTPBadRequest(
                text=f"channels: expected some of {', '.join(sorted(_OFFERED))}; found {unknown}"
            )
        if tap.subscribers >= SUBSCRIBERS:
            raise web.HTTPServiceUnavailable(text=f"there are {SUBSCRIBERS} subscribers already")
        socket = web.WebSocketResponse(heartbeat=30.0, compress=False)
        await socket.prepare(request)
        subscriber = tap.subscribe(symbols, channels, CAPACITY)
        sending = asyncio.create_task(_send(socket, subscriber))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            tap.leave(subscriber)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, TimeoutError):
                await sending
        return socket

    return web.get(PATH, serve)


async def _send(socket: web.WebSocketResponse, subscriber: Subscriber) -> None:
    """Send until the connection ends; one that takes nothing for long is given up."""
    try:
        while True:
            data = encode_tapped(await subscriber.next(_SIGN_OF_LIFE_S))
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await socket.send_bytes(data)
    except (ConnectionError, TimeoutError):
        await socket.close()


def _listed(request: web.Request, name: str) -> frozenset[str]:
    given = request.query.get(name, "")
    return frozenset(part.strip() for part in given.split(",") if part.strip()) or EVERY
