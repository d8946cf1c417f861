"""Ticks come back from the lake as they went in, each once, for any interval."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tradelake.lake.ticks import LakeTicks
from tradelake.lake.watermarks import MOST_EPOCHS
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Bar, Quote, Trade
from tradelake.ports import Fill, Gap
from tradelake.stream.envelope import Batch

NOON = 1_723_075_200_000_000_000 + 43_200_000_000_000


def trade(ts_ns, trade_id, symbol="BTC/USD", side="buy", flags=""):
    return Trade(symbol, NOON + ts_ns, NOON + ts_ns + 5, trade_id, 1.5, 0.25, side, flags)


TRADES = [
    trade(0, 2),
    trade(0, 1, side="", flags="price_spike"),
    trade(999, 3),
    trade(1_001, 4),
    trade(50, 5, symbol="ETH/USD"),
]
QUOTES = [Quote("SOL/USD", NOON + 5, NOON + 9, 1.0, 2.0, 3.0, 4.0, n, "stale" * n) for n in (1, 0)]
BAR = Bar(
    "BTC/USD", NOON, NOON + 60_000_000_007, 1.0, 3.0, 0.5, 2.0, 0.0, 0.0, 0,
    "1m", "tradelake", "aggregate", 1, "backfilled", "cross_source",
)  # fmt: skip


@pytest.fixture
def ticks(catalog):
    writer = IcebergWriter(catalog)
    writer.deliver("clean", [Batch("live", "us", 1, 3, 0, NOON, [*TRADES, *QUOTES])])
    writer.deliver("clean", [Batch("backfill", "us", 7, 3, 4, -(2**63), [TRADES[0], trade(9, 9)])])
    history = msgspec.structs.replace(BAR, channel="history", source="alpaca")
    writer.deliver("bars", [Batch("live", "us", 1, 3, 0, NOON, [BAR, history])])
    return LakeTicks(catalog)


def test_trades_come_back_by_time_and_id_as_they_went_in(ticks):
    found = ticks.trades("us", "BTC/USD", NOON, NOON + 1_001)
    assert found == [TRADES[1], TRADES[0], trade(9, 9), TRADES[2]]


def test_quotes_come_back_by_occurrence(ticks):
    assert ticks.quotes("us", "SOL/USD", NOON, NOON + 6) == QUOTES[::-1]


def test_symbols_are_those_that_traded_or_were_quoted(ticks):
    assert ticks.symbols("us", NOON + 5, NOON + 51) == ["BTC/USD", "ETH/USD", "SOL/USD"]
    assert ticks.symbols("eu-1", NOON, NOON + 51) == []


def test_bars_come_back_without_those_of_history(ticks):
    assert ticks.bars("us", "1m", NOON, NOON + 1) == [BAR]
    assert ticks.bars("us", "1h", NOON, NOON + 1) == []


def test_a_lake_without_tables_has_no_ticks(catalog):
    empty = LakeTicks(catalog)
    assert empty.trades("us", "BTC/USD", 0, NOON) == empty.symbols("us", 0, NOON) == []
    assert empty.whole_until_ns("us") is None


def test_a_gap_is_delivered_when_the_last_batch_of_each_bucket_is_in_a_table(ticks):
    gap = Gap("us", NOON, NOON + 9, ("trades",), ("BTC/USD",), "test")
    filled = replace(gap, fill=Fill(epoch=7, last_seq={"3": 4}))
    assert ticks.is_delivered(gap)
    assert ticks.is_delivered(filled)
    assert not ticks.is_delivered(replace(gap, fill=Fill(epoch=7, last_seq={"3": 5})))
    assert not ticks.is_delivered(replace(gap, fill=Fill(epoch=8, last_seq={"3": 0})))
    assert not ticks.is_delivered(replace(gap, fill=Fill(epoch=7, last_seq={"3": 4, "5": 0})))


def test_a_gap_is_not_delivered_while_the_batches_of_an_interrupted_run_are_not_in_a_table(
    catalog, ticks
):
    IcebergWriter(catalog).deliver("clean", [Batch("backfill", "us", 8, 3, 0, -(2**63), [])])
    gap = Gap("us", NOON, NOON + 9, ("trades",), ("BTC/USD",), "test")
    for last_seq, delivered in (({"3": 4}, True), ({"3": 5}, False), ({"3": 4, "5": 0}, False)):
        fill = Fill(epoch=8, last_seq={"3": 0}, earlier={7: last_seq})
        assert ticks.is_delivered(replace(gap, fill=fill)) is delivered


def test_a_gap_is_delivered_when_so_many_came_after_it_that_its_epoch_is_not_remembered(
    catalog, ticks
):
    lane = [Batch("backfill", "us", 8 + n, 3, 0, -(2**63), []) for n in range(MOST_EPOCHS)]
    IcebergWriter(catalog).deliver("clean", lane)
    gap = Gap("us", NOON, NOON + 9, ("trades",), ("BTC/USD",), "test")
    assert ticks.is_delivered(replace(gap, fill=Fill(epoch=7, last_seq={"3": 4})))
    late = Fill(epoch=8 + MOST_EPOCHS, last_seq={"3": 0})
    assert not ticks.is_delivered(replace(gap, fill=late))


def test_the_lake_is_whole_up_to_the_least_watermark_of_the_live_sources(catalog, ticks):
    assert ticks.whole_until_ns("us") == NOON
    later = [trade(10**9, 11), trade(10**9, 12)]
    IcebergWriter(catalog).deliver(
        "clean", [Batch("live", "us", 1, 4, 0, NOON - 7, later, origin="b")]
    )
    assert ticks.whole_until_ns("us") == NOON - 7
