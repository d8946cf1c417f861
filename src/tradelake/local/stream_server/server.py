"""The process: wires the parts, listens, says so in one JSON line, and stops cleanly on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from tradelake.errors import ConfigError
from tradelake.local.stream_server.commit import GroupCommit
from tradelake.local.stream_server.consumers import Consumers
from tradelake.local.stream_server.control_plane import ControlPlane
from tradelake.local.stream_server.data_plane import DataPlane
from tradelake.local.stream_server.fanout import FanOut
from tradelake.local.stream_server.faults import Faults
from tradelake.local.stream_server.options import ServerOptions
from tradelake.local.stream_server.store import StreamStore
from tradelake.local.stream_server.web import WebServer

_SWEEP_S: Final = 30.0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class StreamServer:
    """A wired server; :meth:`start` and :meth:`stop` belong to one event loop."""

    options: ServerOptions
    store: StreamStore
    commits: GroupCommit
    web_server: WebServer
    runner: web.AppRunner | None = None
    sweeper: asyncio.Task[None] | None = None
    port: int = 0

    @classmethod
    def build(cls, options: ServerOptions) -> StreamServer:
        """Open the folder and wire the parts.

        Raises
        ------
        ConfigError
            The folder cannot be used.
        """
        store = StreamStore(options, _now_ms)
        commits = GroupCommit(options.fsync, options.fsync_interval_s)
        faults = Faults(time.monotonic)
        data = DataPlane(store, commits, faults, options, _now_ms, time.monotonic)
        control = ControlPlane(store, commits, _now_ms)
        consumers = Consumers(store, _now_ms)
        fan_out = FanOut(data, consumers)
        web_server = WebServer(store, data, control, consumers, fan_out, faults)
        return cls(options, store, commits, web_server)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://{self.options.host}:{self.port}"

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigError
            The address is taken or not ours.
        """
        self.commits.start()
        self.runner = web.AppRunner(self.web_server.application(), access_log=None)
        await self.runner.setup()
        site = web.TCPSite(self.runner, self.options.host, self.options.port, shutdown_timeout=2.0)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            where = f"{self.options.host}:{self.options.port}"
            raise ConfigError(
                f"stream server: cannot listen on {where}: {error.strerror}"
            ) from error
        self.port = int(self.runner.addresses[0][1])
        self.sweeper = asyncio.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """Finish requests in hand, commit, sync, close."""
        if self.sweeper is not None:
            self.sweeper.cancel()
        if self.runner is not None:
            await self.runner.cleanup()
        await self.commits.stop()
        self.store.close()

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                self.store.expire()
            except (
                OSError
            ) as error:  # nothing is lost by keeping old segments; the next sweep tries again
                sys.stderr.write(json.dumps({"event": "sweep_failed", "error": str(error)}) + "\n")


def run_stream_server(options: ServerOptions) -> None:
    """Serve until SIGTERM or SIGINT.

    Prints ``{"event": "ready", "url": ..., "port": ...}`` when listening.

    Raises
    ------
    ConfigError
        The folder cannot be used or the port is taken; one clear line.
    """
    asyncio.run(_serve(options))


async def _serve(options: ServerOptions) -> None:
    server = StreamServer.build(options)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await server.start()
    ready = {"event": "ready", "url": server.url, "port": server.port}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await stopping.wait()
    await server.stop()
