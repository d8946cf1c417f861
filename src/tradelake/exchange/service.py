"""Runs the exchange: options to a listening server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from aiohttp import WSCloseCode, web
from aiohttp.web_protocol import RequestPayloadError

from tradelake.errors import ConfigError, InvalidData
from tradelake.exchange.admin import AdminEndpoints
from tradelake.exchange.assets import AssetEndpoints, Listing
from tradelake.exchange.barstore import BarStore
from tradelake.exchange.connection import Connections
from tradelake.exchange.faults import Faults
from tradelake.exchange.journal import Journal
from tradelake.exchange.ledger import Ledger
from tradelake.exchange.options import ExchangeOptions, SyntheticOptions
from tradelake.exchange.paper.account import PaperAccount
from tradelake.exchange.paper.endpoints import PaperEndpoints
from tradelake.exchange.paper.matching import MATCHINGS
from tradelake.exchange.paper.updates import UpdateStream
from tradelake.exchange.player import Pace, Player
from tradelake.exchange.publication import Lateness
from tradelake.exchange.ratelimit import RateLimit
from tradelake.exchange.recorded import RecordedMarket
from tradelake.exchange.rest import RestEndpoints
from tradelake.exchange.slots import Slots
from tradelake.exchange.source import MarketSource
from tradelake.exchange.stream import (
    KEY_HEADER,
    SECRET_HEADER,
    StreamEndpoint,
    credentials_match,
)
from tradelake.exchange.tape import Tape
from tradelake.exchange.wire import JsonCodec, MsgpackCodec
from tradelake.market.venues import VENUES

__all__ = ["ExchangeOptions", "SyntheticOptions", "open_source", "run_exchange", "serve"]

_DATA = "/v1beta3/crypto/{location:" + "|".join(VENUES) + "}"
_TRADING = "/v2"
_ADMIN = "/_exchange"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def open_source(options: ExchangeOptions) -> MarketSource:
    """The market the options ask for.

    Raises
    ------
    ConfigError
        Recorded data are missing or malformed, or the synthetic market is not possible.
    """
    if options.synthetic is not None:
        from tradelake.exchange.synthetic.market import SyntheticMarket

        return SyntheticMarket(options.synthetic)
    assert options.data is not None
    return RecordedMarket(
        options.data,
        symbols=options.symbols,
        sessions=options.sessions,
        limit=options.limit,
        history_pattern=options.history_pattern,
    )


def _wire(options: ExchangeOptions, source: MarketSource) -> tuple[web.Application, Player]:
    connections, tape = Connections(), Tape(options.tape_limit)
    ledger = Ledger(Journal(options.journal) if options.journal is not None else None)
    seed = options.synthetic.seed if options.synthetic else 0
    lateness = Lateness(fraction=options.late_trade_fraction, seed=seed)
    faults = Faults(connections, lateness)
    pace = Pace(
        options.speed,
        options.duration_s,
        options.frame_ms,
        options.frame_messages,
        options.live_s,
        options.skew_s,
    )
    listing = Listing(source.symbols, tape)
    matching = MATCHINGS[options.matching]
    account = PaperAccount(matching, options.cash, options.currency, tape, seed)
    admits = partial(credentials_match, options, faults)
    updates = UpdateStream(admits, faults, options.auth_timeout_s)
    paper = PaperEndpoints(account, listing, updates, lambda: player.now_ns, KEY_HEADER)
    listing.watch(paper.change)
    player = Player(
        source,
        pace,
        connections=connections,
        ledger=ledger,
        tape=tape,
        faults=faults,
        listing=listing,
        watcher=paper.observe,
    )
    stream = StreamEndpoint(
        options=options,
        listing=listing,
        player=player,
        connections=connections,
        slots=Slots(options.connection_limit, options.unclean_hold_s, time.monotonic),
        ledger=ledger,
        tape=tape,
        faults=faults,
        json=JsonCodec(),
        msgpack=MsgpackCodec(),
    )
    guard = _guard(options, faults, (stream.handle, updates.handle))
    app = web.Application(middlewares=[guard])
    app.add_routes([web.get(_DATA, stream.handle)])
    app.add_routes(RestEndpoints(BarStore(source.history, tape), tape).routes(_DATA))
    app.add_routes(AssetEndpoints(listing, KEY_HEADER).routes(_TRADING, _ADMIN))
    app.add_routes(paper.routes(_TRADING))
    app.add_routes(
        AdminEndpoints(source, player, connections, ledger, faults, updates).routes(_ADMIN)
    )

    async def close_connections(_app: web.Application) -> None:
        for connection in connections.all():
            await connection.close(WSCloseCode.GOING_AWAY)
        await updates.close()

    async def close_ledger(_app: web.Application) -> None:
        ledger.close()

    app.on_cleanup.append(close_ledger)
    app.on_shutdown.append(close_connections)
    return app, player


def _message(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"code": status * 100_000 + 10_000, "message": text}  # as 40410000: clients ask for it
    return web.json_response(body, status=status, headers=headers)


def _guard(
    options: ExchangeOptions, faults: Faults, sockets: Sequence[_Handler]
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Middleware of REST: credentials, rate limit, armed faults; errors are answered as JSON.

    ``sockets`` ask for credentials themselves.
    """
    limit = RateLimit(options.rate_limit, time.time) if options.rate_limit is not None else None

    async def answer(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (InvalidData, RequestPayloadError) as error:
            return _message(400, str(error))
        except web.HTTPException as error:
            return _message(error.status, error.reason)

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path.startswith(_ADMIN) or request.match_info.handler in sockets:
            return await answer(request, handler)
        key = request.headers.get(KEY_HEADER)
        if key is not None and not credentials_match(
            options, faults, key, request.headers.get(SECRET_HEADER)
        ):
            return _message(403, "forbidden.")
        admitted, headers = limit.admit(key or request.remote or "") if limit else (True, {})
        if faults.http_errors:
            return _message(faults.http_errors.pop(0), "injected fault", headers)
        if not admitted:
            return _message(429, "too many requests.", headers)
        response = await answer(request, handler)
        if faults.lost_answers:
            return _message(faults.lost_answers.pop(0), "injected fault", headers)
        response.headers.update(headers)
        return response

    return guard


async def serve(
    options: ExchangeOptions, ready: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Serve until ``stop`` is set.

    Parameters
    ----------
    options : ExchangeOptions
        What to play and how.
    ready : callable
        Called with the base URL, ``http://host:port``, once the server listens.
    stop : asyncio.Event
        Ends the service; clients are closed with 1001.

    Raises
    ------
    ConfigError
        The data or the market is not usable, or the port is taken; nothing was started.
    """
    source = open_source(options)
    app, player = _wire(options, source)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    playback = asyncio.create_task(player.run())
    stopped = asyncio.create_task(stop.wait())
    try:
        await _listen(runner, options)
        host, port = runner.addresses[0][:2]
        ready(f"http://{host}:{port}")
        if options.start == "at_once":
            player.start()
        await asyncio.wait((playback, stopped), return_when=asyncio.FIRST_COMPLETED)
        if playback.done():
            playback.result()
        await stopped
    finally:
        for task in (playback, stopped):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await runner.cleanup()


async def _listen(runner: web.AppRunner, options: ExchangeOptions) -> None:
    try:
        await web.TCPSite(runner, options.host, options.port).start()
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise ConfigError(
                f"exchange: cannot listen on {options.host}, port {options.port}: {error.strerror}"
            ) from error
        raise


def run_exchange(options: ExchangeOptions) -> None:
    """Serve until SIGTERM or SIGINT; prints one JSON line with the URL when listening.

    Raises
    ------
    ConfigError
        As :func:`serve`.
    """

    def ready(url: str) -> None:
        line = {"event": "ready", "url": url, "port": int(url.rpartition(":")[2])}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        await serve(options, ready, stop)

    asyncio.run(main())
