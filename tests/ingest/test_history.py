"""Pages of bars over REST, from a server that answers as the test says."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from tradelake.adapters.alpaca.history import AlpacaHistory
from tradelake.adapters.alpaca.rest import ATTEMPTS
from tradelake.errors import ConfigError, Fatal, InvalidData, Throttled, Transient
from tradelake.feed.timestamps import rfc3339

MINUTE = 60 * 10**9
START = 1_710_000_000 * 10**9


class ManualClock:
    def __init__(self) -> None:
        self.ns = START + 10**15
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ns += int(seconds * 1e9)


@pytest.fixture
def rest() -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.server.asked.append((parts.path, parse_qs(parts.query)))
            status, body = self.server.answers.pop(0)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def raw(ts_ns: int, close: float = 2.0) -> dict:
    return {
        "t": rfc3339(ts_ns).replace(".000000000", ""),
        "o": 1.0,
        "h": 3.0,
        "l": 0.5,
        "c": close,
        "v": 4.0,
        "n": 5,
        "vw": 1.5,
    }


def new_history(rest: ThreadingHTTPServer, **options: int) -> tuple[AlpacaHistory, ManualClock]:
    clock = ManualClock()
    history = AlpacaHistory(
        "us",
        clock,
        key="k",
        secret="s",
        url=f"http://127.0.0.1:{rest.server_port}",
        rng=random.Random(0),
        sleep=clock.sleep,
        **options,
    )
    return history, clock


def test_pages_follow_the_token_and_are_sorted_when_there_are_several(rest):
    rest.answers += [
        (200, {"bars": {"ETH/USD": [raw(START)], "BTC/USD": [raw(START)]}, "next_page_token": "x"}),
        (200, {"bars": {}, "next_page_token": "y"}),
        (200, {"bars": {"ETH/USD": [raw(START + MINUTE)]}, "next_page_token": None}),
    ]
    history, clock = new_history(rest)
    pages = list(history.bars(["ETH/USD", "BTC/USD"], "1m", START, START + 2 * MINUTE))
    assert [[(b.symbol, b.ts_event) for b in page] for page in pages] == [
        [("BTC/USD", START), ("ETH/USD", START)],
        [("ETH/USD", START + MINUTE)],
    ]
    bar = pages[0][0]
    assert (bar.source, bar.channel, bar.timeframe, bar.status) == (
        "alpaca",
        "history",
        "1m",
        "complete",
    )
    assert bar.ts_ingest <= clock.now_ns()
    path, query = rest.asked[0]
    assert path == "/v1beta3/crypto/us/bars"
    assert query["symbols"] == ["BTC/USD,ETH/USD"]
    assert query["end"] == [rfc3339(START + 2 * MINUTE - 1)]
    assert [q.get("page_token") for _, q in rest.asked] == [None, ["x"], ["y"]]


def test_requests_keep_their_distance_when_the_rate_is_limited(rest):
    page = {"bars": {}, "next_page_token": "more"}
    rest.answers += [(200, page)] * 3 + [(200, {"bars": {}, "next_page_token": None})]
    history, clock = new_history(rest, requests_a_minute=60)
    assert list(history.bars(["BTC/USD"], "1m", START, START + MINUTE)) == []
    assert sum(clock.slept) == pytest.approx(3.0, abs=0.01)


def test_request_is_repeated_when_throttled_or_the_server_fails(rest):
    rest.answers += [
        (429, {"message": "too many requests."}),
        (504, b"gateway"),
        (200, {"bars": {"BTC/USD": [raw(START)]}, "next_page_token": None}),
    ]
    history, _ = new_history(rest)
    assert len(list(history.bars(["BTC/USD"], "1m", START, START + MINUTE))) == 1


@pytest.mark.parametrize(("status", "error"), [(429, Throttled), (500, Transient)])
def test_history_gives_up_when_the_server_keeps_failing(rest, status, error):
    rest.answers += [(status, b"no")] * ATTEMPTS
    history, _ = new_history(rest)
    with pytest.raises(error, match=f"HTTP {status}"):
        list(history.bars(["BTC/USD"], "1m", START, START + MINUTE))
    assert len(rest.asked) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 403, 422])
def test_history_is_fatal_when_the_request_is_refused(rest, status):
    rest.answers += [(status, {"message": "no"})]
    history, _ = new_history(rest)
    with pytest.raises(Fatal, match=f"HTTP {status}"):
        list(history.bars(["BTC/USD"], "1m", START, START + MINUTE))


def test_history_is_invalid_when_a_page_is_not_what_the_api_documents(rest):
    rest.answers += [(200, {"bars": {"BTC/USD": [{"t": 5}]}})]
    history, _ = new_history(rest)
    with pytest.raises(InvalidData, match="history"):
        list(history.bars(["BTC/USD"], "1m", START, START + MINUTE))


def test_bar_is_partial_when_it_has_not_ended(rest):
    history, clock = new_history(rest)
    now = clock.now_ns() // MINUTE * MINUTE
    rest.answers += [(200, {"bars": {"BTC/USD": [raw(now)]}, "next_page_token": None})]
    [[bar]] = list(history.bars(["BTC/USD"], "1h", now, now + MINUTE))
    assert bar.status == "partial"


def test_history_refuses_when_venue_or_timeframe_is_unknown(rest):
    with pytest.raises(ConfigError, match="venue"):
        AlpacaHistory("mars", ManualClock())
    history, _ = new_history(rest)
    with pytest.raises(ConfigError, match="timeframe"):
        list(history.bars(["BTC/USD"], "1s", START, START + MINUTE))
