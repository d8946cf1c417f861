"""One client's websocket: its encoding, its subscriptions, its place in the order of frames."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMessage, WSMsgType, web

from tradelake.exchange.publication import Message
from tradelake.exchange.subscriptions import Subscriptions, error_message
from tradelake.exchange.wire import Codec

_NUMBERS: Final = itertools.count(1)


class Connection:
    """A connected client; ``number`` counts the connections of the process.

    Frames are written under ``lock``, so that nothing of a subscription is sent before its
    acknowledgement.
    """

    def __init__(
        self,
        ws: web.WebSocketResponse,
        transport: asyncio.Transport,
        codec: Codec,
        location: str,
        subscriptions: Subscriptions,
    ) -> None:
        self.number = next(_NUMBERS)
        self.ws = ws
        self.codec = codec
        self.location = location
        self.subscriptions = subscriptions
        self.lock = asyncio.Lock()
        self.authenticated = False
        self.muted = False
        self.unclean = False
        self.sending_since: float | None = None
        self._transport = transport
        self.ended = asyncio.Event()
        self._asked: asyncio.Future[WSCloseCode] | None = None

    @property
    def live(self) -> bool:
        """Whether data can be sent."""
        return self.authenticated and bool(self.subscriptions) and not self.ws.closed

    def select(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Those of the messages the client subscribed to."""
        if self.subscriptions.wants_all():
            return messages
        wants = self.subscriptions.wants
        return [message for message in messages if wants(message.key)]

    def frame(self, messages: Iterable[Message]) -> bytes:
        """Messages as a frame; each is encoded once for all clients of an encoding."""
        encode = self.codec.encode
        parts = []
        if self.codec.binary:
            for message in messages:
                if message.packed is None:
                    message.packed = encode(message.record)
                parts.append(message.packed)
        else:
            for message in messages:
                if message.json is None:
                    message.json = encode(message.record)
                parts.append(message.json)
        return self.codec.frame(parts)

    async def write(self, frame: bytes) -> bool:
        """Write a frame and wait until the socket takes more; False when the connection is gone."""
        self.sending_since = asyncio.get_running_loop().time()
        try:
            await self.ws.send_frame(frame, _opcode(self.codec))
        except ClientConnectionResetError:
            return False
        finally:
            self.sending_since = None
        return True

    async def control(self, message: Mapping[str, Any]) -> bool:
        """Write a control message; False when the connection is gone."""
        return await self.write(self.codec.control(message))

    async def refuse(self, code: int) -> None:
        """Report an error and close."""
        await self.control(error_message(code))
        await self.close(WSCloseCode.POLICY_VIOLATION)

    async def receive(self) -> WSMessage | None:
        """The client's next message, or None when somebody asked to close.

        The closing handshake happens here then, because a websocket has one reader.
        """
        receiving = asyncio.create_task(self.ws.receive())
        self._asked = asked = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((receiving, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._asked = None
            if not receiving.done():
                receiving.cancel()
                await asyncio.wait((receiving,))
        if not asked.done():
            return receiving.result()
        await self.ws.close(code=asked.result())
        return None

    async def close(self, code: WSCloseCode) -> None:
        """Close with a closing handshake."""
        if self._asked is None:
            await self.ws.close(code=code)
            return
        if not self._asked.done():
            self._asked.set_result(code)
        await self.ended.wait()

    @property
    def clean(self) -> bool:
        """Whether the connection ended with a closing handshake."""
        lost = self.ws.close_code in (None, WSCloseCode.ABNORMAL_CLOSURE)
        return not self.unclean and not lost

    def drop(self) -> None:
        """Break the connection without a closing handshake."""
        self.unclean = True
        self._transport.abort()

    def drop_inside(self, frame: bytes) -> None:
        """Write the first half of a frame, then break the connection."""
        self.unclean = True
        head = bytes((0x80 | _opcode(self.codec), 127)) + struct.pack(">Q", len(frame))
        self._transport.write(head + frame[: len(frame) // 2])
        self._transport.close()


def _opcode(codec: Codec) -> Literal[WSMsgType.BINARY, WSMsgType.TEXT]:
    return WSMsgType.BINARY if codec.binary else WSMsgType.TEXT


class Connections:
    """The clients that are connected now."""

    def __init__(self) -> None:
        self._open: list[Connection] = []
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Note a client."""
        self._open.append(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a client."""
        self._open.remove(connection)
        self.changed()

    def changed(self) -> None:
        """Call when a subscription changed."""
        if any(connection.live for connection in self._open):
            self._arrived.set()
        else:
            self._arrived.clear()

    def live(self) -> list[Connection]:
        """Clients that are sent data."""
        return [connection for connection in self._open if connection.live]

    def all(self) -> list[Connection]:
        """Every client, authenticated or not."""
        return list(self._open)

    async def subscribed(self) -> None:
        """Wait until there is a subscribed client."""
        await self._arrived.wait()
