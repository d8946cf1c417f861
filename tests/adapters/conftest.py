"""Venues over real HTTP: a whole simulator, and one that answers as the test says."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tradelake.exchange.options import ExchangeOptions
from tradelake.exchange.service import serve


class Simulator:
    """Reads what a running exchange serves."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> Any:
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)

    def played(self) -> dict[str, Any]:
        """The status once everything was published."""
        deadline = time.monotonic() + 30
        while (status := self.get("/_exchange/status"))["state"] != "finished":
            assert time.monotonic() < deadline
        return status

    def rows(self, channel: str, symbol: str, start: str, **query: str) -> list[dict[str, Any]]:
        """Everything of a channel and symbol since ``start``."""
        found: list[dict[str, Any]] = []
        query |= {"symbols": symbol, "start": start, "limit": "10000"}
        while True:
            page = self.get(f"/v1beta3/crypto/us/{channel}", **query)
            found += page[channel].get(symbol, ())
            if page["next_page_token"] is None:
                return found
            query["page_token"] = page["next_page_token"]


@contextmanager
def _simulator(options: ExchangeOptions) -> Iterator[Simulator]:
    listening = threading.Event()
    running: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def ready(url: str) -> None:
            running.append((url, loop, stop))
            listening.set()

        await serve(options, ready, stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert listening.wait(20)
    url, loop, stop = running[0]
    yield Simulator(url)
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def simulator() -> Iterator[Callable[..., Simulator]]:
    """Start an exchange that plays at once, as fast as it can."""
    with ExitStack() as stack:

        def start(**options: Any) -> Simulator:
            usual = {"rate_limit": None, "start": "at_once", "speed": 1e9}
            return stack.enter_context(_simulator(ExchangeOptions(**usual | options)))

        yield start


class Scripted(ThreadingHTTPServer):
    """Answers each request as ``answer(path, query)`` says: a status and a body."""

    answer: Callable[[str, dict[str, str]], tuple[int, object]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        name = parts.path.removeprefix("/v1beta3/crypto/us/")
        self.server.asked.append((name, query))
        status, body = self.server.answer(name, query)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A venue that answers as the test says."""
    server = Scripted()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
