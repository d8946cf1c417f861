"""Routes that only the simulator has: start, status, faults."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from tradelake.errors import InvalidData
from tradelake.exchange.connection import Connections
from tradelake.exchange.faults import KINDS, Faults
from tradelake.exchange.ledger import Ledger
from tradelake.exchange.player import Player
from tradelake.exchange.source import MarketSource


@dataclass(frozen=True, slots=True)
class AdminEndpoints:
    """Serves ``/_exchange``."""

    source: MarketSource
    player: Player
    connections: Connections
    ledger: Ledger
    faults: Faults

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Routes under ``prefix``."""
        return [
            web.post(f"{prefix}/start", self.start),
            web.get(f"{prefix}/status", self.status),
            web.get(f"{prefix}/history", self.history),
            web.post(f"{prefix}/fault", self.fault),
        ]

    async def start(self, _request: web.Request) -> web.Response:
        """Begin the playback."""
        self.player.start()
        return web.json_response(self._status())

    async def status(self, _request: web.Request) -> web.Response:
        """How far the playback is and what was sent."""
        return web.json_response(self._status())

    async def history(self, _request: web.Request) -> web.Response:
        """Which minute bars REST serves, by symbol: first and last open, and how many."""
        found: dict[str, dict[str, int]] = {}
        for symbol in self.source.history.symbols():
            minutes = await asyncio.to_thread(self.source.history.minutes, symbol)
            if minutes is not None and len(minutes):
                first, last = int(minutes.ts_ns[0]), int(minutes.ts_ns[-1])
                found[symbol] = {"first_ns": first, "last_ns": last, "bars": len(minutes)}
        return web.json_response(found)

    async def fault(self, request: web.Request) -> web.Response:
        """Inject a fault."""
        try:
            body = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InvalidData("fault", f"expected a JSON object: {error}") from error
        await self.faults.inject(body)
        return web.json_response({"armed": self.faults.armed(), "kinds": sorted(KINDS)})

    def _status(self) -> dict[str, object]:
        return {
            "state": self.player.state,
            "progress": round(self.player.progress, 6),
            "event_ns": self.player.event_ns,
            "connections": len(self.connections),
            "subscribed": len(self.connections.live()),
            "published": self.player.published,
            "sent": self.ledger.table(),
            "total_sent": self.ledger.total(),
            "duplicated": self.ledger.duplicates(),
            "symbols": list(self.source.symbols),
            "source": self.source.description,
        }
