"""Channels over REST, from a server that answers and limits as the test says."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.backfill.fakes import ManualClock
from tradelake.adapters.alpaca.channels import AlpacaChannels
from tradelake.adapters.alpaca.rest import AlpacaRest
from tradelake.errors import ConfigError, Fatal, InvalidData, Throttled, Transient
from tradelake.feed.timestamps import rfc3339
from tradelake.market.records import Quote, Trade

S = 10**9
START = 1_710_000_000 * S
NOW = START + 3600 * S


class Server(ThreadingHTTPServer):
    """Answers in turn: (status, body, headers)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.answers: list[tuple[int, object, dict[str, str]]] = []

    def answer(self, body: object, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, body, named))


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append((parts.path, parse_qs(parts.query)))
        status, body, headers = self.server.answers.pop(0)
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Sleeper:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.clock.ns += round(seconds * S)


def channels_of(server: Server, patience_s: float = 30.0) -> tuple[AlpacaChannels, Sleeper]:
    clock = ManualClock(NOW)
    sleeper = Sleeper(clock)
    rest = AlpacaRest(
        clock,
        key="k",
        secret="s",
        url=f"http://127.0.0.1:{server.server_address[1]}",
        patience_s=patience_s,
        rng=random.Random(1),
        sleep=sleeper,
    )
    return AlpacaChannels("us", clock, rest), sleeper


def pages(channels: AlpacaChannels, channel: str = "trades") -> list[list[object]]:
    return list(channels.pages(channel, ["ETH/USD", "BTC/USD"], START, START + 60 * S))


def trade(number: int, **more: object) -> dict[str, object]:
    return {"t": rfc3339(START + number), "i": number, "p": 1.5, "s": 2.0, "tks": "B", **more}


def quote(ts_ns: int) -> dict[str, object]:
    return {"t": rfc3339(ts_ns), "bp": 1.0, "bs": 2.0, "ap": 3.0, "as": 4.0}


def test_trades_come_by_symbol_over_pages_as_the_stream_would_have_had_them(server):
    server.answer(
        {"trades": {"ETH/USD": [trade(3)], "BTC/USD": [trade(1)]}, "next_page_token": "a"}
    )
    server.answer({"trades": {"ETH/USD": [trade(4, tks="S")]}, "next_page_token": None})
    channels, _ = channels_of(server)
    first, second = pages(channels)
    assert first == [
        Trade("BTC/USD", START + 1, NOW, 1, 1.5, 2.0, "buy"),
        Trade("ETH/USD", START + 3, NOW, 3, 1.5, 2.0, "buy"),
    ]
    assert [(t.trade_id, t.taker_side) for t in second] == [(4, "sell")]
    path, query = server.asked[0]
    assert path.endswith("/crypto/us/trades")
    assert query["symbols"] == ["BTC/USD,ETH/USD"]
    assert query["limit"] == ["10000"]
    assert query["end"] == [rfc3339(START + 60 * S - 1)]
    assert server.asked[1][1]["page_token"] == ["a"]


def test_equal_quotes_of_an_instant_are_numbered_over_pages(server):
    server.answer({"quotes": {"BTC/USD": [quote(START)] * 2}, "next_page_token": "a"})
    server.answer({"quotes": {"BTC/USD": [quote(START), quote(START + 1)]}})
    channels, _ = channels_of(server)
    found = [q for page in pages(channels, "quotes") for q in page]
    assert [(q.ts_event - START, q.occurrence) for q in found if isinstance(q, Quote)] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
    ]


@pytest.mark.parametrize(
    ("channel", "timeframe", "kept"),
    [("bars", "1Min", "1m"), ("updatedBars", "1Min", "1m"), ("dailyBars", "1Day", "1d")],
)
def test_bars_keep_the_channel_and_ask_for_its_timeframe(server, channel, timeframe, kept):
    raw = {"t": rfc3339(START), "o": 1, "h": 1, "l": 1, "c": 1, "v": 1, "n": 1, "vw": 1}
    server.answer({"bars": {"BTC/USD": [raw]}})
    channels, _ = channels_of(server)
    ((bar,),) = pages(channels, channel)
    assert (bar.channel, bar.timeframe, bar.source) == (channel, kept, "alpaca")
    assert server.asked[0][0].endswith("/crypto/us/bars")
    assert server.asked[0][1]["timeframe"] == [timeframe]


@pytest.mark.parametrize(
    "headers",
    [{"Retry_After": "12"}, {"X_RateLimit_Reset": str(NOW // S + 12)}],
    ids=["retry-after", "reset"],
)
def test_a_429_is_obeyed_for_as_long_as_it_says(server, headers):
    server.answer({"message": "too many requests."}, 429, **headers)
    server.answer({"trades": {}})
    channels, sleeper = channels_of(server)
    assert pages(channels) == []
    assert sleeper.slept[0] == 12.0


def test_no_request_is_made_before_the_reset_when_none_is_left(server):
    reset = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(NOW // S + 20)}
    server.answer({"trades": {"BTC/USD": [trade(1)]}, "next_page_token": "a"}, **reset)
    server.answer({"trades": {}}, X_RateLimit_Remaining="199")
    channels, sleeper = channels_of(server)
    pages(channels)
    assert sleeper.slept == [20.0]


def test_a_pause_longer_than_its_patience_is_told_with_its_length(server):
    server.answer({"message": "too many requests."}, 429, Retry_After="40")
    channels, sleeper = channels_of(server, patience_s=4.0)
    with pytest.raises(Throttled) as told:
        pages(channels)
    assert told.value.retry_after_s == 40.0
    assert sleeper.slept == []


@pytest.mark.parametrize("reset", ["", "soon", "-5", str(NOW // S + 10**6)])
def test_a_reset_that_cannot_be_is_not_waited_for(server, reset):
    server.answer({"message": "too many requests."}, 429, X_RateLimit_Reset=reset)
    server.answer({"trades": {}})
    channels, sleeper = channels_of(server)
    assert pages(channels) == []
    assert sum(sleeper.slept) < 5


@pytest.mark.parametrize(
    ("status", "kind"), [(403, Fatal), (500, Transient), (429, Throttled)], ids=str
)
def test_a_venue_that_keeps_refusing_is_told_apart(server, status, kind):
    for _ in range(4):
        server.answer({"message": "no"}, status)
    channels, _ = channels_of(server)
    with pytest.raises(kind, match=str(status)):
        pages(channels)


@pytest.mark.parametrize(
    "bodies",
    [
        [{"trades": {"BTC/USD": [trade(1, tks="X")]}}],
        [{"trades": {"BTC/USD": [trade(1, t="yesterday")]}}],
        [{"trades": {"BTC/USD": [{"t": 1}]}}],
        [{"trades": {}, "next_page_token": "a"}, {"trades": {}, "next_page_token": "a"}],
    ],
    ids=["taker side", "time", "fields", "token twice"],
)
def test_an_answer_that_is_not_documented_is_invalid_data(server, bodies):
    for body in bodies:
        server.answer(body)
    channels, _ = channels_of(server)
    with pytest.raises(InvalidData):
        pages(channels)


def test_a_channel_without_history_is_refused(server):
    channels, _ = channels_of(server)
    with pytest.raises(ConfigError, match="orderbooks"):
        pages(channels, "orderbooks")
    assert server.asked == []
