"""Recordings of a venue's recent history: played again, and what is done when there is none."""

from __future__ import annotations

import datetime as dt
import random
import socket
import threading
import time

import pyarrow.parquet as pq
import pytest

from tradelake.adapters.alpaca.history import AlpacaHistory
from tradelake.adapters.alpaca.recorder import SYMBOLS, Recorder, reachable
from tradelake.adapters.alpaca.rest import AlpacaRest
from tradelake.bootstrap import wire_recorder
from tradelake.errors import ConfigError, Fatal, InsufficientData, InvalidData, Transient
from tradelake.exchange.options import SyntheticOptions
from tradelake.exchange.recorded import RecordedMarket
from tradelake.feed.timestamps import rfc3339
from tradelake.market.records import BookUpdate, Trade
from tradelake.topology import names

MINUTE = 60 * 10**9
NOW = 1_750_000_000 * 10**9 // MINUTE * MINUTE + 7 * 10**9
PAIR = ("BTC/USD", "ETH/USD")
BAR = {"o": 2.0, "h": 3.0, "l": 1.0, "c": 2.0, "v": 1.0, "n": 1, "vw": 2.0}


class ManualClock:
    def __init__(self, ns: int = NOW) -> None:
        self.ns = ns

    def now_ns(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def new_recorder(url: str, now_ns: int = NOW, read_s: float = 5.0) -> Recorder:
    clock = ManualClock(now_ns)
    options = {"url": url, "rng": random.Random(0), "sleep": clock.sleep}
    rest = AlpacaRest(clock, timeouts_s=(1.0, read_s), **options)
    return Recorder(rest, AlpacaHistory("us", clock, **options), ManualClock(now_ns))


def trade(ts_ns: int, number: int = 1) -> dict:
    return {"t": rfc3339(ts_ns), "i": number, "p": 2.0, "s": 0.5, "tks": "B"}


def quote(ts_ns: int) -> dict:
    return {"t": rfc3339(ts_ns), "bp": 1.0, "bs": 1.0, "ap": 2.0, "as": 1.0}


class ThinVenue:
    """Answers from lists, newest first, ``size`` to a page."""

    def __init__(self, size: int = 10_000) -> None:
        self.books: dict = {}
        self.ticks: dict = {"trades": {}, "quotes": {}}
        self.bars: dict = {}
        self.size = size

    def __call__(self, name: str, query: dict[str, str]) -> tuple[int, object]:
        if name == "latest/orderbooks":
            return 200, {"orderbooks": self.books}
        if name == "bars":
            return 200, {"bars": self.bars, "next_page_token": None}
        symbol, first = query["symbols"], int(query.get("page_token", 0))
        held = self.ticks[name].get(symbol, [])
        held = sorted((t for t in held if t["t"] >= query["start"]), key=lambda t: t["t"])[::-1]
        last = first + self.size
        token = str(last) if last < len(held) else None
        page = held[first:last]
        return 200, {name: {symbol: page} if page else {}, "next_page_token": token}


def test_recording_plays_and_serves_what_the_venue_served(simulator, tmp_path):
    market = SyntheticOptions(symbols=PAIR, hours=0.75, activity=4, history_days=3)
    venue = simulator(synthetic=market)
    now_ns = venue.played()["event_ns"]
    folder = new_recorder(venue.url, now_ns).record(tmp_path, PAIR, days=2)

    again = simulator(data=folder)
    again.played()
    start = rfc3339((now_ns // MINUTE - 30) * MINUTE)
    for symbol in PAIR:
        for channel in ("trades", "quotes"):
            expected = venue.rows(channel, symbol, start)
            assert len(expected) > 10
            assert again.rows(channel, symbol, start) == expected
        bars = {"timeframe": "1Min", "end": start}
        since = rfc3339(now_ns - 2 * 86_400 * 10**9)
        expected = venue.rows("bars", symbol, since, **bars)
        assert len(expected) > 2_800
        assert again.rows("bars", symbol, since, **bars) == expected
    latest = "/v1beta3/crypto/us/latest/orderbooks"
    books = venue.get(latest, symbols=",".join(PAIR))
    assert set(books["orderbooks"]) == set(PAIR)
    assert again.get(latest, symbols=",".join(PAIR)) == books


def test_recording_holds_one_symbol_per_row_group_in_time_order(simulator, tmp_path):
    market = SyntheticOptions(symbols=PAIR, hours=0.1, activity=4, history_days=9)
    venue = simulator(synthetic=market)
    now_ns = venue.played()["event_ns"]
    folder = new_recorder(venue.url, now_ns).record(tmp_path, PAIR)
    assert len(list(folder.iterdir())) == 4
    for path in folder.iterdir():
        with pq.ParquetFile(path) as parquet:
            groups = [parquet.read_row_group(i).to_pydict() for i in range(len(PAIR))]
        assert [set(group["symbol"]) for group in groups] == [{symbol} for symbol in PAIR]
        assert all(group["ts_ns"] == sorted(group["ts_ns"]) for group in groups)


def test_wire_recorder_records_from_the_url_in_the_environment(simulator, tmp_path):
    start = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=32)
    market = SyntheticOptions(
        symbols=SYMBOLS, hours=0.5, activity=5, history_days=1, start=f"{start:%Y-%m-%dT%H:%M}:00Z"
    )
    venue = simulator(synthetic=market)
    venue.played()
    folder = wire_recorder({names.ENV_DATA_URL: venue.url}, tmp_path)()
    assert folder is not None
    recorded = RecordedMarket(folder)
    assert recorded.symbols == sorted(SYMBOLS)
    assert recorded.history.symbols() == sorted(SYMBOLS)


def test_wire_recorder_records_nothing_when_nobody_listens(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert wire_recorder({names.ENV_DATA_URL: url}, tmp_path)() is None
    assert not list(tmp_path.iterdir())


def test_recording_is_a_session_when_most_symbols_did_not_trade(scripted, tmp_path):
    venue = scripted.answer = ThinVenue()
    venue.ticks["trades"]["BTC/USD"] = [trade(NOW - 5 * MINUTE, 2**63 - 1)]
    venue.bars = {"BTC/USD": [{"t": rfc3339(NOW // MINUTE * MINUTE - 90 * MINUTE), **BAR}]}
    market = RecordedMarket(new_recorder(scripted.url).record(tmp_path))
    [session] = market.sessions
    assert list(session.ticks()) == [
        Trade("BTC/USD", NOW - 5 * MINUTE, 0, 2**63 - 1, 2.0, 0.5, "buy")
    ]


def test_book_stands_from_its_own_time_or_from_the_beginning(scripted, tmp_path):
    venue = scripted.answer = ThinVenue()
    venue.ticks["trades"]["BTC/USD"] = [trade(NOW)]
    venue.bars = {"BTC/USD": [{"t": rfc3339(NOW // MINUTE * MINUTE - 90 * MINUTE), **BAR}]}
    levels = {"b": [{"p": 1.0, "s": 1.0}], "a": None}
    venue.books = {
        "BTC/USD": {"t": rfc3339(NOW - 3 * MINUTE), **levels},
        "ETH/USD": {"t": rfc3339(NOW - 300 * MINUTE), **levels},
    }
    [session] = RecordedMarket(new_recorder(scripted.url).record(tmp_path)).sessions
    books = [tick for tick in session.ticks() if isinstance(tick, BookUpdate)]
    assert [(b.symbol, b.ts_event, b.bids, b.asks) for b in books] == [
        ("ETH/USD", NOW // MINUTE * MINUTE - 30 * MINUTE, [(1.0, 1.0)], []),
        ("BTC/USD", NOW - 3 * MINUTE, [(1.0, 1.0)], []),
    ]


def test_recording_begins_with_the_first_whole_minute_when_there_is_too_much(scripted, tmp_path):
    venue = scripted.answer = ThinVenue(size=100)
    start_ns = NOW // MINUTE * MINUTE - 30 * MINUTE
    venue.ticks["quotes"]["BTC/USD"] = [quote(start_ns + i * 6 * 10**9) for i in range(300)]
    venue.ticks["trades"] = {
        symbol: [trade(start_ns + i * MINUTE, i) for i in range(30)] for symbol in PAIR
    }
    venue.bars = {"BTC/USD": [{"t": rfc3339(start_ns - MINUTE), **BAR}]}
    folder = new_recorder(scripted.url).record(tmp_path, pages=2)
    [session] = RecordedMarket(folder).sessions
    cut_ns = start_ns + 11 * MINUTE  # quotes 100 to 299 are held; the first came in minute 10
    assert session.start_ns == cut_ns
    assert sum(isinstance(tick, Trade) for tick in session.ticks()) == 2 * 19
    assert sum(name == "quotes" for name, _ in scripted.asked) == 2 + len(SYMBOLS) - 1
    [(_, asked)] = [ask for ask in scripted.asked if ask[0] == "bars"]
    assert asked["end"] == rfc3339(cut_ns - 1)


@pytest.mark.parametrize("missing", ["trade", "bar"])
def test_recording_is_refused_without_trades_or_bars(scripted, tmp_path, missing):
    venue = scripted.answer = ThinVenue()
    if missing != "trade":
        venue.ticks["trades"]["BTC/USD"] = [trade(NOW - MINUTE)]
    with pytest.raises(InsufficientData, match=f"no .*{missing}"):
        new_recorder(scripted.url).record(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"message": "unauthorized."}, Fatal),
        (403, {"message": "forbidden."}, Fatal),
        (429, {"message": "too many requests."}, Transient),
        (500, b"", Transient),
        (200, b"<html>Welcome to our Wi-Fi</html>", Transient),
        (302, b"", InvalidData),
        (200, {"welcome": "guest"}, InvalidData),
        (200, [], InvalidData),
    ],
)
def test_recording_gives_up_at_once_when_the_first_answer_is_no_book(
    scripted, tmp_path, status, body, error
):
    scripted.answer = lambda name, query: (status, body)
    with pytest.raises(error):
        new_recorder(scripted.url).record(tmp_path)
    assert len(scripted.asked) == 1
    assert not list(tmp_path.iterdir())


def test_recording_goes_on_when_it_was_throttled_on_its_way(scripted, tmp_path):
    venue = ThinVenue()
    venue.ticks["trades"]["BTC/USD"] = [trade(NOW - MINUTE)]
    venue.bars = {"BTC/USD": [{"t": rfc3339(NOW // MINUTE * MINUTE - 90 * MINUTE), **BAR}]}
    refused = ["trades", "quotes", "bars"]

    def answer(name: str, query: dict[str, str]) -> tuple[int, object]:
        if name in refused:
            refused.remove(name)
            return 429, {"message": "too many requests."}
        return venue(name, query)

    scripted.answer = answer
    assert RecordedMarket(new_recorder(scripted.url).record(tmp_path)).symbols == ["BTC/USD"]


def test_nothing_is_left_behind_when_the_venue_fails_half_way(scripted, tmp_path):
    venue = ThinVenue()
    venue.ticks["trades"]["BTC/USD"] = [trade(NOW - MINUTE)]
    scripted.answer = lambda name, query: (403, b"") if name == "bars" else venue(name, query)
    with pytest.raises(Fatal):
        new_recorder(scripted.url).record(tmp_path)
    assert not list(tmp_path.iterdir())


def test_recording_of_the_same_minute_stays_when_it_is_made_again(scripted, tmp_path):
    venue = scripted.answer = ThinVenue()
    venue.ticks["trades"]["BTC/USD"] = [trade(NOW - MINUTE)]
    venue.bars = {"BTC/USD": [{"t": rfc3339(NOW // MINUTE * MINUTE - 90 * MINUTE), **BAR}]}
    first = new_recorder(scripted.url).record(tmp_path)
    assert new_recorder(scripted.url).record(tmp_path) == first
    assert list(tmp_path.iterdir()) == [first]


def test_recording_gives_up_when_the_host_accepts_and_never_answers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert reachable(url)
        with pytest.raises(Transient, match="Timeout"):
            new_recorder(url, read_s=0.2).record(tmp_path)


def test_recording_gives_up_when_tls_fails(scripted, tmp_path):
    with pytest.raises(Transient, match="SSL"):
        new_recorder(scripted.url.replace("http", "https")).record(tmp_path)


def test_host_is_out_of_reach_in_time_when_its_name_is_never_resolved(monkeypatch):
    release = threading.Event()

    def resolve(*_args: object, **_options: object) -> list[object]:
        release.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    began = time.monotonic()
    assert not reachable("https://data.example.test", timeout_s=0.2)
    assert time.monotonic() - began < 1.0
    release.set()


def test_proxy_is_asked_when_one_leads_to_the_host(scripted, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", scripted.url)
    assert reachable("https://data.example.test", timeout_s=1.0)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://host:port", "http://"])
def test_url_is_refused_when_it_is_none(url):
    with pytest.raises(ConfigError, match="Alpaca's data"):
        reachable(url)
