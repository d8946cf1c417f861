"""Routes that only the simulator has: start, status, faults."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from tradelake.decoding import json_decoder
from tradelake.errors import InvalidData
from tradelake.exchange.connection import Connections
from tradelake.exchange.faults import KINDS, Faults
from tradelake.exchange.ledger import Ledger
from tradelake.exchange.paper.updates import UpdateStream
from tradelake.exchange.player import Player
from tradelake.exchange.source import IntArray, MarketSource
from tradelake.market.timeframes import timeframe_ns

_DAY_NS = timeframe_ns("1d")


@dataclass(frozen=True, slots=True)
class AdminEndpoints:
    """Serves ``/_exchange``."""

    source: MarketSource
    player: Player
    connections: Connections
    ledger: Ledger
    faults: Faults
    updates: UpdateStream

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
        """The longest stretch of minute bars REST serves of each symbol, without a day's gap."""
        found: dict[str, dict[str, int]] = {}
        for symbol in self.source.history.symbols():
            minutes = await asyncio.to_thread(self.source.history.minutes, symbol)
            if minutes is not None and len(minutes):
                found[symbol] = longest_stretch(minutes.ts_ns)
        return web.json_response(found)

    async def fault(self, request: web.Request) -> web.Response:
        """Inject a fault."""
        try:
            body = json_decoder(dict[str, Any]).decode(await request.read())
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
            "update_listeners": self.updates.listeners,
            "symbols": list(self.source.symbols),
            "source": self.source.description,
        }


def longest_stretch(opens_ns: IntArray) -> dict[str, int]:
    """First and last open, and the number of bars, of the longest run without a day's gap.

    Parameters
    ----------
    opens_ns : IntArray
        Opens in ns since 1970 UTC, increasing, at least one.
    """
    cuts = np.flatnonzero(np.diff(opens_ns) > _DAY_NS) + 1
    runs = np.split(opens_ns, cuts)
    longest = max(runs, key=len)
    return {"first_ns": int(longest[0]), "last_ns": int(longest[-1]), "bars": len(longest)}
