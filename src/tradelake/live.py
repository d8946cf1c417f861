"""Subscribe to the live tap of an ingester.

>>> import asyncio
>>> from tradelake.live import subscribe
>>> async def watch() -> None:
...     async with subscribe("http://127.0.0.1:8080", ["BTC/USD"], ["trades"]) as tap:
...         async for message in tap:
...             for trade in message.records:
...                 print(trade.symbol, trade.price, trade.size)

Records are validated and normalised, and come within milliseconds of their receipt, before they are
durable. Who reads too slowly misses the oldest; ``message.missed`` says how many, always.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import aiohttp

from tradelake.errors import ConfigError, Transient
from tradelake.stream.tapped import Tapped, decode_tapped

_MAX_MESSAGE: Final = 256 * 1024 * 1024
_SILENT_S: Final = 20.0
"""The tap gives a sign of life each few seconds."""

__all__ = ["LiveTap", "Tapped", "subscribe"]


class LiveTap:
    """An open subscription; iterate over it. Made by :func:`subscribe`.

    Attributes
    ----------
    missed : int
        Records missed so far because this reader was too slow.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        self.missed = 0
        self._socket, self._url = socket, url

    def __aiter__(self) -> AsyncIterator[Tapped]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Tapped]:
        while True:
            try:
                message = await self._socket.receive(_SILENT_S)
            except TimeoutError as error:
                raise Transient(f"{self._url}: no sign of life for {_SILENT_S:g} s") from error
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise Transient(f"{self._url}: the tap ended with {self._socket.close_code}")
            tapped = decode_tapped(message.data)
            if tapped.records or tapped.missed:
                self.missed += tapped.missed
                yield tapped


@contextlib.asynccontextmanager
async def subscribe(
    url: str, symbols: Sequence[str] = (), channels: Sequence[str] = ()
) -> AsyncIterator[LiveTap]:
    """Open a subscription at an ingester.

    Parameters
    ----------
    url : str
        Base URL of the ingester's endpoint, for instance ``http://127.0.0.1:8080``.
    symbols, channels : sequence of str
        What to deliver; empty: all. Channels are Alpaca's, ``snapshots`` (the top of the books we
        build) and ``instruments``.

    Raises
    ------
    ConfigError
        The ingester refuses the subscription; the message says why.
    Transient
        It cannot be reached, or the tap ended; the same call may succeed later.
    """
    query = {"symbols": ",".join(symbols), "channels": ",".join(channels)}
    async with aiohttp.ClientSession() as http:
        try:
            socket = await http.ws_connect(
                f"{url.rstrip('/')}/tap", params=query, max_msg_size=_MAX_MESSAGE, compress=0
            )
        except aiohttp.WSServerHandshakeError as error:
            refused = f"{url}: HTTP {error.status}: {error.message}"
            raise (ConfigError if error.status == 400 else Transient)(refused) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"{url}: {type(error).__name__}: {error}") from error
        async with socket:
            yield LiveTap(socket, url)
