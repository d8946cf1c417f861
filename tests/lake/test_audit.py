"""The account: what was sent against what is there, to the unit."""

from __future__ import annotations

from tradelake.lake.audit import LakeAuditor
from tradelake.lake.reader import LakeReader
from tradelake.lake.rows import records_to_arrow
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Bar, Quote, Rejected, Trade
from tradelake.stream.envelope import Batch
from tradelake.topology import tables
from tradelake.usecases.reconcile import reconcile

TS = 1_700_000_000_000_000_000


def batch(seq, *records):
    return Batch("live", "us", 1, 2, seq, 0, list(records))


def trade(n):
    return Trade("BTC/USD", TS + n, TS, n, 100.0, 1.0)


def bar(source, channel, revision=1):
    return Bar("BTC/USD", TS, TS, 1, 2, 0.5, 1, 1, 1, 1, "1m", source, channel, revision)


def lines(catalog, sent):
    audit = LakeAuditor(LakeReader(catalog))
    return {(line.channel, line.symbol): line for line in reconcile(sent, audit, {})}


def test_reconcile_explains_every_point_when_some_are_quarantined_and_some_are_duplicates(catalog):
    rejected = Rejected("BTC/USD", TS, TS, "trades", "negative_size", "size -1", b"", 3)
    quote = Quote("BTC/USD", TS, TS, 1.0, 1.0, 2.0, 1.0)
    IcebergWriter(catalog).deliver(
        "clean",
        [batch(0, trade(1), trade(2), trade(2), rejected, quote, bar("alpaca", "bars"))],
    )
    sent = {("trades", "BTC/USD"): 4, ("quotes", "BTC/USD"): 1, ("bars", "BTC/USD"): 1}
    found = lines(catalog, sent)
    line = found[("trades", "BTC/USD")]
    assert (line.stored, line.quarantined, line.duplicates) == (2, 1, 1)
    assert all(line.balanced for line in found.values())
    assert set(found) == set(sent)


def test_reconcile_reports_the_difference_when_a_point_is_missing(catalog):
    IcebergWriter(catalog).deliver("clean", [batch(0, trade(1))])
    line = lines(catalog, {("trades", "BTC/USD"): 2})[("trades", "BTC/USD")]
    assert line.unexplained == 1
    assert not line.balanced


def test_reconcile_reports_more_stored_than_sent(catalog):
    IcebergWriter(catalog).deliver("clean", [batch(0, trade(1), trade(2))])
    assert lines(catalog, {("trades", "BTC/USD"): 1})[("trades", "BTC/USD")].unexplained == -1


def test_reconcile_finds_a_row_that_was_written_twice_behind_the_writers_back(catalog):
    arrow = records_to_arrow(tables.TRADES, [batch(0, trade(1))])
    catalog.load(tables.TRADES).append(arrow)
    catalog.load(tables.TRADES).append(arrow)
    line = lines(catalog, {("trades", "BTC/USD"): 2})[("trades", "BTC/USD")]
    assert line.doubled == 1
    assert not line.balanced


def test_reconcile_leaves_bars_that_we_built_out_of_the_account(catalog):
    IcebergWriter(catalog).deliver("bars", [batch(0, bar("tradelake", "aggregate"))])
    assert lines(catalog, {}) == {}
