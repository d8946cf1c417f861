"""Talks to the simulator's own routes: start, status, history."""

from __future__ import annotations

from typing import Any

import msgspec
import urllib3

from tradelake.decoding import convert, json_decoder
from tradelake.errors import Transient


class ExchangeClient:
    """Controls a running exchange.

    Parameters
    ----------
    url : str
        Its base URL, ``http://host:port``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=3, read=60), retries=False)

    def start(self) -> None:
        """Begin the playback."""
        self._call("POST", "start")

    def status(self) -> Status:
        """How far the playback is, and what was sent."""
        return convert(self._call("GET", "status"), Status)

    def history(self) -> dict[str, HistoryRange]:
        """Which minute bars REST serves, by symbol."""
        return convert(self._call("GET", "history"), dict[str, HistoryRange])

    def _call(self, method: str, route: str) -> dict[str, Any]:
        try:
            answer = self._pool.request(method, f"{self._url}/_exchange/{route}")
        except urllib3.exceptions.HTTPError as error:
            raise Transient(f"exchange {route}: {error}") from error
        if answer.status != 200:
            raise Transient(f"exchange {route}: HTTP {answer.status}")
        return json_decoder(dict[str, Any]).decode(answer.data)


class Status(msgspec.Struct, frozen=True):
    """The exchange's own account: messages written to subscribed clients by channel and symbol."""

    state: str
    progress: float
    event_ns: int | None
    subscribed: int
    sent: dict[str, dict[str, int]]
    total_sent: int
    symbols: list[str]
    source: str


class HistoryRange(msgspec.Struct, frozen=True):
    """Minute bars of one symbol: first and last open in ns since 1970 UTC, and how many."""

    first_ns: int
    last_ns: int
    bars: int
