"""The lake reader: newest revisions, sources apart, resampling, fenced SQL."""

from __future__ import annotations

import pytest
from pyiceberg.exceptions import NoSuchTableError

from tradelake.errors import ConfigError, InsufficientData
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.reader import LakeReader
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Bar, Trade
from tradelake.settings import LakeSettings
from tradelake.stream.envelope import Batch
from tradelake.topology.tables import TABLES, TRADES

MINUTE = 60_000_000_000
START = 1_700_000_040_000_000_000 // (5 * MINUTE) * (5 * MINUTE)


def bar(n, close, *, channel="history", source="alpaca", revision=0, seen=0, volume=1.0):
    return Bar(
        "BTC/USD", START + n * MINUTE, seen, close, close + 1, close - 1, close, volume, close, 3,
        "1m", source, channel, revision,
    )  # fmt: skip


def put(catalog, *records, seq=0):
    IcebergWriter(catalog).deliver("clean", [Batch("live", "us", 1, 0, seq, 0, list(records))])


def test_bars_returns_the_newest_revision_when_a_bar_was_updated(catalog):
    put(
        catalog,
        bar(0, 10.0),
        bar(0, 11.0, channel="bars", revision=5, seen=1),
        bar(0, 12.0, channel="updatedBars", revision=-7, seen=2),
        bar(1, 20.0),
    )
    bars = LakeReader(catalog).bars("BTC/USD", "1m")
    assert bars.close.tolist() == [12.0, 20.0]
    assert bars.snapshot_id


def test_bars_never_mixes_sources(catalog):
    put(catalog, bar(0, 10.0), bar(1, 11.0), bar(2, 99.0, source="tradelake", channel="aggregate"))
    reader = LakeReader(catalog)
    assert reader.bars("BTC/USD", "1m").close.tolist() == [10.0, 11.0]
    assert reader.bars("BTC/USD", "1m", source="tradelake").close.tolist() == [99.0]


def test_bars_are_made_of_minutes_when_the_timeframe_is_not_stored(catalog):
    put(catalog, *(bar(n, 10.0 + n, volume=2.0) for n in range(7)))
    bars = LakeReader(catalog).bars("BTC/USD", "5m")
    assert bars.open.tolist() == [10.0, 15.0]
    assert bars.high.tolist() == [15.0, 17.0]
    assert bars.low.tolist() == [9.0, 14.0]
    assert bars.close.tolist() == [14.0, 16.0]
    assert bars.volume.tolist() == [10.0, 4.0]


def test_bars_are_cut_to_the_interval_with_its_end_excluded(catalog):
    put(catalog, *(bar(n, 10.0 + n) for n in range(5)))
    bars = LakeReader(catalog).bars("BTC/USD", "1m", START + MINUTE, START + 3 * MINUTE)
    assert bars.close.tolist() == [11.0, 12.0]


def test_bars_says_what_is_missing_when_there_is_no_data(catalog):
    with pytest.raises(InsufficientData, match="no 1m bars of BTC/USD"):
        LakeReader(catalog).bars("BTC/USD", "1m")


def test_sql_answers_over_every_table_even_an_empty_one(catalog):
    put(catalog, Trade("BTC/USD", START, 5, 1, 100.0, 1.0), Trade("ETH/USD", START, 5, 2, 9.0, 1.0))
    reader = LakeReader(catalog)
    answer = reader.sql("SELECT symbol, count(*) AS n FROM trades GROUP BY 1 ORDER BY 1")
    assert answer.to_pylist() == [{"symbol": "BTC/USD", "n": 1}, {"symbol": "ETH/USD", "n": 1}]
    assert reader.sql("SELECT count(*) AS n FROM trials").to_pylist() == [{"n": 0}]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SET threads = 1", "expected one SELECT"),
        ("SELECT * FROM nothing", "nothing"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Permission Error|not allowed|disabled"),
        ("COPY (SELECT 1) TO '/tmp/tradelake-should-not-exist.csv'", "expected one SELECT"),
    ],
)
def test_sql_refuses_with_one_clear_line_when_the_query_is_wrong(catalog, query, message):
    with pytest.raises(ConfigError, match=message) as caught:
        LakeReader(catalog).sql(query)
    assert "\n" not in str(caught.value)


def test_facts_counts_rows_files_and_extent(catalog):
    put(catalog, Trade("BTC/USD", START, 5, 1, 100.0, 1.0))
    put(catalog, Trade("BTC/USD", START + MINUTE, 5, 2, 100.0, 1.0), seq=1)
    facts = {fact.name: fact for fact in LakeReader(catalog).facts()}
    assert (facts["trades"].rows, facts["trades"].files) == (2, 2)
    assert (facts["trades"].first_ns, facts["trades"].last_ns) == (START, START + MINUTE)
    assert facts["books"].rows == 0
    assert facts["books"].first_ns is None


@pytest.fixture
def bare(tmp_path):
    """A catalog in which nobody made a table, for a reader that may not make one."""
    settings = LakeSettings(
        environment="test",
        catalog_uri=f"sqlite:///{tmp_path}/bare.db",
        warehouse=str(tmp_path / "bare"),
    )
    lake = LakeCatalog(settings)
    yield lake
    lake.close()


def test_reader_finds_nothing_and_makes_nothing_when_there_is_no_table(bare):
    reader = LakeReader(bare)
    with pytest.raises(InsufficientData):
        reader.bars("BTC/USD", "5m")
    assert [(facts.rows, facts.snapshot_id) for facts in reader.facts()] == [(0, "")] * len(TABLES)
    assert reader.watermarks(TRADES) == {}
    with pytest.raises(NoSuchTableError):
        bare.load(TRADES)


def test_bars_never_mixes_venues(catalog):
    writer = IcebergWriter(catalog)
    here = [bar(0, 10.0), bar(1, 11.0)]
    there = [bar(0, 99.0), bar(1, 98.0), bar(2, 97.0)]
    writer.deliver("clean", [Batch("live", "us", 1, 0, 0, 0, here)])
    writer.deliver("clean", [Batch("live", "us-1", 1, 0, 0, 0, there)])
    assert LakeReader(catalog).bars("BTC/USD", "1m").close.tolist() == [99.0, 98.0, 97.0]


def event_bar(second, trades, revision, status="complete"):
    at = START + second * 1_000_000_000
    prices = (10.0, 11.0, 9.0, 10.0 + second)
    rest = ("tick:5", "tradelake", "aggregate", revision, status)
    return Bar("BTC/USD", at, at + 3, *prices, 1.0, 10.0, trades, *rest)


def test_event_bars_are_available_when_their_last_trade_was_seen(catalog):
    put(catalog, event_bar(0, 5, 10), event_bar(7, 5, 10))
    bars = LakeReader(catalog).bars("BTC/USD", "tick:5")
    assert bars.close_ns.tolist() == [START + 3, START + 7_000_000_003]
    assert bars.take(1, 2).close_ns.tolist() == [START + 7_000_000_003]


def test_event_bars_of_a_rebuilt_day_are_those_of_its_last_rebuild(catalog):
    day_s = 86_400
    put(
        catalog,
        event_bar(0, 5, 10),
        event_bar(1, 5, 41, "backfilled"),
        event_bar(2, 5, 43, "backfilled"),
        event_bar(3, 5, 43, "backfilled"),
        event_bar(day_s, 5, 10),
    )
    bars = LakeReader(catalog).bars("BTC/USD", "tick:5")
    assert bars.close.tolist() == [12.0, 13.0, 10.0 + day_s]
