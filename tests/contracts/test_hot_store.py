"""What every HotStore keeps to, on SQLite and on InfluxDB's protocol."""

import math
import multiprocessing
import sqlite3

import pytest

from tests.functions.influx_server import TOKEN, influx_server
from tradelake.adapters.aws.influx import InfluxHotStore, escape_tag, line_of
from tradelake.adapters.aws.influx_login import influx_token
from tradelake.adapters.embedded import hot
from tradelake.adapters.embedded.hot import SqliteHotStore
from tradelake.bootstrap import wire_hot_store
from tradelake.errors import ConfigError, Fatal, InvalidData, Throttled, Transient
from tradelake.market.records import Bar
from tradelake.settings import HotSettings

MINUTE = 60_000_000_000
DAY = 1_723_075_200_000_000_000


def bar(minute=0, **changes):
    values = {"symbol": "BTC/USD", "ts_event": DAY + minute * MINUTE, "ts_ingest": DAY + 7}
    values |= {"open": 1.5, "high": 2.25, "low": 0.1, "close": 2.0, "volume": 1e-9, "vwap": 1.75}
    values |= {"trades": 3, "timeframe": "1m", "source": "tradelake", "channel": "aggregate"}
    return Bar(**values | {"revision": 3, "status": "complete"} | changes)


@pytest.fixture
def influx():
    with influx_server() as (server, url):
        yield server, InfluxHotStore(url, "desk", "market", TOKEN)


@pytest.fixture(params=["sqlite", "influx"])
def store(request, tmp_path):
    if request.param == "sqlite":
        return SqliteHotStore(tmp_path / "deep" / "hot.db")
    return request.getfixturevalue("influx")[1]


def test_a_bar_is_read_as_it_was_written(store):
    store.upsert_bars("us", [bar()])
    assert store.recent_bars("BTC/USD", "1m", 10) == [bar()]


def test_recent_bars_are_the_latest_and_oldest_first(store):
    store.upsert_bars("us", [bar(minute) for minute in (3, 1, 2, 0)])
    assert store.recent_bars("BTC/USD", "1m", 3) == [bar(1), bar(2), bar(3)]


def test_other_symbols_and_timeframes_are_apart(store):
    store.upsert_bars("us", [bar(), bar(symbol="ETH/USD"), bar(timeframe="5m")])
    assert store.recent_bars("ETH/USD", "1m", 10) == [bar(symbol="ETH/USD")]
    assert store.recent_bars("BTC/USD", "5m", 10) == [bar(timeframe="5m")]
    assert store.recent_bars("SOL/USD", "1m", 10) == []


def test_venues_sources_and_channels_are_apart(store):
    store.upsert_bars("us", [bar(), bar(channel="bars", source="alpaca", close=9.0, high=9.0)])
    store.upsert_bars("us-1", [bar()])
    assert len(store.recent_bars("BTC/USD", "1m", 10)) == 3


def test_a_later_revision_replaces_an_earlier_one_whole(store):
    store.upsert_bars("us", [bar()])
    later = bar(revision=4, trades=4, close=1.9, volume=5.0, status="partial", ts_ingest=DAY + 9)
    store.upsert_bars("us", [later])
    assert store.recent_bars("BTC/USD", "1m", 10) == [later]


def test_an_earlier_revision_changes_nothing_when_it_comes_late(store):
    later = bar(revision=4, trades=4, close=1.9)
    store.upsert_bars("us", [later])
    store.upsert_bars("us", [bar(), bar(1)])
    assert store.recent_bars("BTC/USD", "1m", 10) == [later, bar(1)]


@pytest.mark.parametrize("order", [(3, 4), (4, 3)])
def test_the_latest_revision_wins_within_one_write(store, order):
    store.upsert_bars("us", [bar(revision=revision) for revision in order])
    assert [found.revision for found in store.recent_bars("BTC/USD", "1m", 10)] == [4]


def test_writing_again_changes_nothing(store):
    for _ in range(2):
        store.upsert_bars("us", [bar(), bar(1)])
    assert store.recent_bars("BTC/USD", "1m", 10) == [bar(), bar(1)]


def test_nothing_is_written_when_there_are_no_bars(store):
    store.upsert_bars("us", [])
    assert store.recent_bars("BTC/USD", "1m", 10) == []


def test_a_symbol_with_a_quote_is_a_value_and_not_a_query(store):
    assert store.recent_bars("' OR symbol != '", "1m", 10) == []


def _write_many(path, first):
    store = SqliteHotStore(path)
    for revision in range(1, 21):
        store.upsert_bars("us", [bar(first, revision=revision), bar(99, revision=revision)])


def test_sqlite_loses_nothing_when_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "hot.db"
    writers = [context.Process(target=_write_many, args=(path, first)) for first in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = SqliteHotStore(path).recent_bars("BTC/USD", "1m", 10)
    assert [(b.ts_event, b.revision) for b in found] == [
        (bar(minute).ts_event, 20) for minute in (0, 1, 99)
    ]


def test_sqlite_is_transient_when_another_holds_the_file(tmp_path):
    path = tmp_path / "hot.db"
    store = SqliteHotStore(path, busy_ms=10)
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="locked"):
            store.upsert_bars("us", [bar()])
    finally:
        holder.close()


def test_sqlite_columns_are_the_venue_and_every_field_of_a_bar():
    assert set(hot._COLUMNS) == {"venue", *Bar.__struct_fields__}


def test_a_line_has_tags_fields_with_types_and_the_exact_time():
    assert line_of("us", bar()) == (
        "bars,venue=us,source=tradelake,channel=aggregate,symbol=BTC/USD,timeframe=1m "
        "open=1.5,high=2.25,low=0.1,close=2.0,volume=1e-09,vwap=1.75,"
        f'trades=3i,revision=3i,ts_ingest={DAY + 7}i,status="complete" {DAY}'
    )


def test_a_value_that_is_not_finite_is_left_out_of_the_line():
    assert "vwap" not in line_of("us", bar(vwap=math.nan))


def test_tags_are_escaped_and_read_back(influx):
    server, store = influx
    odd = bar(channel="a b,c=d")
    store.upsert_bars("us", [odd])
    assert r"channel=a\ b\,c\=d" in server.written[0]
    assert store.recent_bars("BTC/USD", "1m", 1) == [odd]


@pytest.mark.parametrize("text", ["", "a\\", "a\nb", "a\x00"])
def test_a_tag_is_refused_when_it_would_break_the_line(text):
    with pytest.raises(InvalidData, match="tag"):
        escape_tag(text)


@pytest.mark.parametrize(("status", "error"), [(503, Transient), (429, Throttled), (401, Fatal)])
def test_influx_errors_are_ours(influx, status, error):
    server, store = influx
    server.status = status
    with pytest.raises(error):
        store.upsert_bars("us", [bar()])


def test_influx_is_transient_when_nobody_listens():
    with pytest.raises(Transient):
        InfluxHotStore("http://127.0.0.1:1", "desk", "market", "t").recent_bars("A/USD", "1m", 1)


def test_a_secret_with_a_token_needs_no_sign_in():
    assert influx_token("http://127.0.0.1:1", "desk", {"token": "t"}) == "t"


def test_a_user_name_and_password_give_one_authorization_that_is_used_again():
    secret = {"username": "admin", "password": "pass"}
    with influx_server() as (server, url):
        assert [influx_token(url, "desk", secret) for _ in range(2)] == [TOKEN, TOKEN]
        (made,) = server.authorizations
        assert {p["action"] for p in made["permissions"]} == {"read", "write"}
        assert {p["resource"]["type"] for p in made["permissions"]} == {"buckets"}
        with pytest.raises(ConfigError, match="organisation"):
            influx_token(url, "other", secret)
        with pytest.raises(Fatal, match="401"):
            influx_token(url, "desk", {"username": "admin", "password": "wrong"})
    with pytest.raises(ConfigError, match="expected token"):
        influx_token("http://127.0.0.1:1", "desk", {})


def test_the_settings_choose_the_store(tmp_path):
    def chosen(address):
        return wire_hot_store(HotSettings(environment="dev", hot_store=address, hot_token=TOKEN))

    assert chosen("none") is None
    chosen(f"sqlite:///{tmp_path}/hot.db").upsert_bars("us", [bar()])
    assert (tmp_path / "hot.db").exists()
    with influx_server() as (_, url):
        store = chosen(url.replace("http", "influxdb+http") + "/desk/market")
        store.upsert_bars("us", [bar()])
        assert store.recent_bars("BTC/USD", "1m", 1) == [bar()]
    for address in ("", "sqlite:///", "redis://host", "influxdb://host:8086/desk"):
        with pytest.raises(ConfigError, match="hot store"):
            chosen(address)
