"""How a long-running service shows how it is: a JSON line a second, and an HTTP endpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from tradelake.errors import ConfigError

StatusFunction = Callable[[], msgspec.Struct | Mapping[str, Any]]
LineFunction = Callable[[dict[str, Any]], None]


@contextlib.asynccontextmanager
async def observed(
    status: StatusFunction,
    report: StatusFunction,
    line: LineFunction,
    *,
    port: int,
    routes: Sequence[web.RouteDef] = (),
    interval_s: float = 1.0,
) -> AsyncIterator[None]:
    """Write ``report()`` every ``interval_s`` and at the end; answer ``status()`` meanwhile.

    Parameters
    ----------
    status, report : callable
        Return what is answered and what is written. Never secrets.
    line : callable
        Writes one line of fields.
    port : int
        Where ``GET /`` and ``GET /health`` are answered, on every interface; 0: nowhere.
    routes : sequence of web.RouteDef
        What else is answered there.
    interval_s : float
        Seconds between two lines.

    Raises
    ------
    ConfigError
        The port is taken.
    """
    runner = await _serve(status, port, routes) if port else None
    reporting = asyncio.create_task(_write(report, line, interval_s))
    try:
        yield
    finally:
        reporting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporting
        line(msgspec.to_builtins(report()))
        if runner is not None:
            await runner.cleanup()


async def _serve(
    status: StatusFunction, port: int, routes: Sequence[web.RouteDef]
) -> web.AppRunner:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(status()), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/", answer), web.get("/health", answer), *routes])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"cannot listen on port {port}: {error.strerror or error}") from error
    return runner


async def _write(report: StatusFunction, line: LineFunction, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        line(msgspec.to_builtins(report()))
