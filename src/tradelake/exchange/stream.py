"""The websocket endpoint: handshake, authentication, subscriptions."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import WSMsgType, web

from tradelake.errors import InvalidData
from tradelake.exchange.assets import Listing
from tradelake.exchange.connection import Connection, Connections
from tradelake.exchange.faults import Faults
from tradelake.exchange.ledger import Ledger
from tradelake.exchange.options import ExchangeOptions
from tradelake.exchange.player import Player, send_books
from tradelake.exchange.slots import Slots
from tradelake.exchange.subscriptions import ALL, StreamError, Subscriptions, error_message
from tradelake.exchange.tape import Tape
from tradelake.exchange.wire import JsonCodec, MsgpackCodec, decode_request
from tradelake.market.channels import ORDERBOOKS, TRADES

KEY_HEADER = "APCA-API-KEY-ID"
SECRET_HEADER = "APCA-API-SECRET-KEY"  # noqa: S105 -- a header's name
_CLOSING_TIMEOUT_S: Final = 2.0


def credentials_match(
    options: ExchangeOptions, faults: Faults, key: object, secret: object
) -> bool:
    """Whether key and secret are the accepted ones: those of the options, until rotated."""
    if not isinstance(key, str) or not isinstance(secret, str):
        return False
    accepted_key, accepted_secret = faults.credentials or (options.key, options.secret)
    right_key = hmac.compare_digest(key.encode(), accepted_key.encode())
    return right_key and hmac.compare_digest(secret.encode(), accepted_secret.encode())


@dataclass(frozen=True, slots=True)
class StreamEndpoint:
    """Serves ``/v1beta3/crypto/{location}``.

    Parameters
    ----------
    options : ExchangeOptions
        Credentials, limits and timeouts.
    listing : Listing
        What the venue trades.
    player, connections, slots, ledger, tape, faults
        The parts of the venue a client meets.
    """

    options: ExchangeOptions
    listing: Listing
    player: Player
    connections: Connections
    slots: Slots
    ledger: Ledger
    tape: Tape
    faults: Faults
    json: JsonCodec
    msgpack: MsgpackCodec

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """One client, from upgrade to close."""
        ws = web.WebSocketResponse(compress=True, timeout=_CLOSING_TIMEOUT_S)
        await ws.prepare(request)
        transport = request.transport
        if transport is None:
            return ws
        binary = request.headers.get("Content-Type", "").startswith("application/msgpack")
        connection = Connection(
            ws,
            transport,
            self.msgpack if binary else self.json,
            request.match_info["location"],
            Subscriptions(self.options.symbol_limit),
        )
        async with self._watched(connection):
            await connection.control({"T": "success", "msg": "connected"})
            if await self._authenticate(connection, request.headers):
                try:
                    await self._serve(connection)
                finally:
                    self.slots.release(self._account(connection), clean=connection.clean)
        return ws

    def _account(self, connection: Connection) -> tuple[str, str]:
        return (self.options.key, connection.location)

    @asynccontextmanager
    async def _watched(self, connection: Connection) -> AsyncIterator[None]:
        self.connections.add(connection)
        watch = asyncio.create_task(self._drop_when_slow(connection))
        try:
            yield
        finally:
            self.connections.remove(connection)
            connection.ended.set()
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _drop_when_slow(self, connection: Connection) -> None:
        limit = self.options.slow_client_s
        if limit is None:
            return
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(limit / 4)
            since = connection.sending_since
            if since is not None and loop.time() - since > limit:
                with suppress(TimeoutError):
                    async with asyncio.timeout(limit / 4):
                        await connection.control(error_message(407))
                connection.drop()
                return

    async def _authenticate(self, connection: Connection, headers: Mapping[str, str]) -> bool:
        """Authenticate by headers or by message; False when the client was refused or left."""
        if KEY_HEADER in headers:
            given: tuple[object, object] | None = (headers[KEY_HEADER], headers.get(SECRET_HEADER))
        else:
            try:
                async with asyncio.timeout(self.options.auth_timeout_s):
                    given = await self._credentials(connection)
            except TimeoutError:
                await connection.refuse(404)
                return False
        if given is None:
            return False
        code = self._refusal(connection, *given)
        if code is not None:
            await connection.refuse(code)
            return False
        connection.authenticated = True
        await connection.control({"T": "success", "msg": "authenticated"})
        return True

    def _refusal(self, connection: Connection, key: object, secret: object) -> int | None:
        """Error code that keeps a client out, or None when it has taken a slot."""
        if self.faults.connect_errors:
            return self.faults.connect_errors.pop(0)
        if not credentials_match(self.options, self.faults, key, secret):
            return 402
        if connection.location not in self.options.entitled:
            return 409
        return None if self.slots.take(self._account(connection)) else 406

    async def _credentials(self, connection: Connection) -> tuple[object, object] | None:
        """Wait for the authentication message; None when the client left."""
        async for message in self._requests(connection):
            if message["action"] == "auth":
                return message.get("key"), message.get("secret")
            await connection.control(error_message(401))
        return None

    async def _requests(self, connection: Connection) -> AsyncIterator[dict[str, Any]]:
        while True:
            message = await connection.receive()
            if message is None or message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            try:
                yield decode_request(message.data)
            except InvalidData:
                await connection.control(error_message(400))

    async def _serve(self, connection: Connection) -> None:
        async for message in self._requests(connection):
            try:
                await self._answer(connection, message)
            except StreamError as error:
                await connection.control(error_message(error.code))

    async def _answer(self, connection: Connection, message: Mapping[str, Any]) -> None:
        match message["action"]:
            case "auth":
                raise StreamError(403)
            case "subscribe":
                await self._subscribe(connection, message)
            case "unsubscribe":
                async with connection.lock:
                    connection.subscriptions.remove(message)
                    await connection.control(connection.subscriptions.acknowledgement())
            case _:
                raise StreamError(400)
        self.connections.changed()

    async def _subscribe(self, connection: Connection, message: Mapping[str, Any]) -> None:
        if self.faults.partial_acknowledgements:
            self.faults.partial_acknowledgements -= 1
            message = {name: value for name, value in message.items() if name != TRADES}
        async with connection.lock:
            symbols = self.listing.symbols
            new = connection.subscriptions.add(message, symbols, self.listing.refused)
            await connection.control(connection.subscriptions.acknowledgement())
            books = [symbol for symbol in symbols if {symbol, ALL} & new[ORDERBOOKS]]
            await send_books(connection, self.tape, books, self.ledger)
        if self.options.start == "subscribed":
            self.player.start()
