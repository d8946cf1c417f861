"""The lake writer: exactly once under redelivery, re-sends, races and repeats."""

from __future__ import annotations

import threading

import pytest
from pyiceberg.exceptions import CommitFailedException

from tradelake.errors import InvalidData
from tradelake.lake.writer import IcebergWriter, duplicate_key, read_watermarks
from tradelake.market.records import Bar, BookUpdate, Quote, Rejected, Trade
from tradelake.stream.envelope import Batch
from tradelake.topology import tables


def trade(trade_id, symbol="BTC/USD", ts=None):
    return Trade(
        symbol,
        ts if ts is not None else 1_700_000_000_000_000_000 + trade_id,
        5,
        trade_id,
        100.5,
        0.25,
        "buy",
    )


def batch(seq, records, *, epoch=1, bucket=3, lane="live"):
    return Batch(lane, "us", epoch, bucket, seq, 0, list(records))


def rows(catalog, table):
    return catalog.load(table).scan().to_arrow()


def test_deliver_appends_each_record_to_the_table_of_its_kind(catalog):
    ts = 1_700_000_000_123_456_789
    records = [
        trade(1, ts=ts),
        Quote("BTC/USD", ts, 5, 99.0, 1.0, 101.0, 2.0),
        BookUpdate("BTC/USD", ts, 5, [(99.0, 1.0)], [(101.0, 0.0)], reset=True),
        Bar("BTC/USD", ts, 5, 1.0, 2.0, 0.5, 1.5, 3.0, 1.2, 7, "1m", "alpaca", "bars", 11),
        Rejected("BTC/USD", 0, ts, "trades", "negative_size", "size -1", b"raw", 0),
    ]
    result = IcebergWriter(catalog).deliver("clean", [batch(0, records)])
    assert {name: d.rows for name, d in result.items()} == dict.fromkeys(
        ("trades", "quotes", "books", "bars", "quarantine"), 1
    )
    stored = rows(catalog, tables.TRADES).to_pylist()[0]
    assert stored["ts_event_ns"] == ts
    assert stored["ts_event"].microsecond == 123_456
    assert rows(catalog, tables.BOOKS).to_pylist()[0]["asks"] == [{"price": 101.0, "size": 0.0}]
    assert rows(catalog, tables.QUARANTINE).to_pylist()[0]["ts_event_ns"] == ts


def test_deliver_changes_nothing_when_batches_are_redelivered(catalog):
    writer = IcebergWriter(catalog)
    batches = [batch(0, [trade(1), trade(2)]), batch(1, [trade(3)])]
    writer.deliver("clean", batches)
    again = IcebergWriter(catalog).deliver("clean", [*batches, batch(2, [trade(4)])])
    assert again["trades"].skipped_batches == 2
    assert again["trades"].rows == 1
    assert sorted(rows(catalog, tables.TRADES)["trade_id"].to_pylist()) == [1, 2, 3, 4]


def test_deliver_skips_a_stale_epoch_and_accepts_a_new_one_from_seq_zero(catalog):
    writer = IcebergWriter(catalog)
    writer.deliver("clean", [batch(9, [trade(1)], epoch=2)])
    stale = writer.deliver("clean", [batch(50, [trade(2)], epoch=1)])
    fresh = writer.deliver("clean", [batch(0, [trade(3)], epoch=3)])
    assert (stale["trades"].rows, stale["trades"].skipped_batches) == (0, 1)
    assert fresh["trades"].rows == 1


def test_deliver_counts_rows_of_known_identity_as_duplicates_when_another_lane_brings_them(catalog):
    writer = IcebergWriter(catalog)
    writer.deliver("clean", [batch(0, [trade(1), trade(2)])])
    result = writer.deliver("clean", [batch(0, [trade(2), trade(3)], lane="backfill")])
    assert (result["trades"].rows, result["trades"].duplicates) == (1, 1)
    marks = read_watermarks(catalog.load(tables.TRADES).properties)
    mark = marks["clean/backfill/us/3"]
    assert mark.duplicates == {duplicate_key("trades", "BTC/USD"): 1}
    assert mark.rows == 1


def test_deliver_counts_repeats_inside_one_batch_as_duplicates(catalog):
    result = IcebergWriter(catalog).deliver("clean", [batch(0, [trade(1), trade(1), trade(2)])])
    assert (result["trades"].rows, result["trades"].duplicates) == (2, 1)


def test_deliver_keeps_equal_quotes_apart_when_their_occurrence_differs(catalog):
    ts = 1_700_000_000_000_000_000
    quotes = [Quote("BTC/USD", ts, 5, 99.0, 1.0, 101.0, 2.0, n) for n in range(3)]
    assert IcebergWriter(catalog).deliver("clean", [batch(0, quotes)])["quotes"].rows == 3


def test_deliver_advances_the_watermark_when_every_row_was_a_duplicate(catalog):
    writer = IcebergWriter(catalog)
    writer.deliver("clean", [batch(0, [trade(1)])])
    writer.deliver("clean", [batch(1, [trade(1)])])
    mark = read_watermarks(catalog.load(tables.TRADES).properties)["clean/live/us/3"]
    assert mark.position == (1, 1)
    assert writer.deliver("clean", [batch(1, [trade(1)])])["trades"].skipped_batches == 1


def test_two_writers_of_the_same_batches_store_every_row_once(catalog):
    batches = [[batch(seq, [trade(seq * 10 + n) for n in range(10)])] for seq in range(6)]
    errors = []

    def work():
        try:
            writer = IcebergWriter(catalog)
            for one in batches:
                writer.deliver("clean", one)
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(rows(catalog, tables.TRADES)["trade_id"].to_pylist()) == list(range(60))


def test_a_second_writer_with_stale_metadata_is_refused_rather_than_rebased(catalog):
    """The library's own retries would double the rows; the table property turns them off."""
    first = catalog.load(tables.TRADES)
    second = catalog.load(tables.TRADES)
    from tradelake.lake.rows import records_to_arrow

    arrow = records_to_arrow(tables.TRADES, [batch(0, [trade(1)])])
    first.append(arrow)
    with pytest.raises(CommitFailedException):
        second.append(arrow)


def test_append_repeated_changes_nothing_and_says_so(catalog):
    writer = IcebergWriter(catalog)
    columns = {
        "run_id": ["a", "b"], "sweep_id": ["s", "s"], "strategy": ["sma", "sma"],
        "symbol": ["BTC/USD"] * 2,
        "timeframe": ["1h"] * 2, "params": ["{}"] * 2, "start_ns": [1, 1], "end_ns": [2, 2],
        "bars": [1, 1],
        "status": ["succeeded", "failed"], "sharpe": [1.5, None], "manifest": ["{}"] * 2,
        "result_uri": ["x", "y"], "recorded": [1, 1],
    }  # fmt: skip
    first = writer.append(tables.TRIALS, columns)
    second = writer.append(tables.TRIALS, {**columns, "recorded": [9_000_000, 9_000_000]})
    assert (first.rows, first.duplicates) == (2, 0)
    assert (second.rows, second.duplicates) == (0, 2)


def test_append_names_the_column_when_a_required_one_is_missing(catalog):
    from tradelake.errors import InvalidData

    with pytest.raises(InvalidData, match=r"trials\.sweep_id is required"):
        IcebergWriter(catalog).append(tables.TRIALS, {"run_id": ["a"]})


def test_a_stale_writer_never_moves_a_watermark_back_when_all_its_rows_are_known(catalog):
    """Properties alone commit without a claim on the snapshot; they must be refused too."""
    IcebergWriter(catalog).deliver("clean", [batch(0, [trade(1)])])
    overtaken = catalog.load(tables.TRADES)
    IcebergWriter(catalog).deliver("clean", [batch(1, [trade(1)]), batch(2, [trade(1)])])

    class Overtaken:
        """Answers with what it loaded before it was overtaken, then with the truth."""

        def __init__(self):
            self.answers = [overtaken]

        def ensure(self, table):
            return self.answers.pop() if self.answers else catalog.ensure(table)

    late = IcebergWriter(Overtaken(), pause=lambda _: None)
    assert late.deliver("clean", [batch(1, [trade(1)])])["trades"].skipped_batches == 1
    mark = read_watermarks(catalog.load(tables.TRADES).properties)["clean/live/us/3"]
    assert mark.position == (1, 2)
    assert mark.duplicates == {duplicate_key("trades", "BTC/USD"): 2}


def test_rejects_of_two_venues_stay_apart_when_their_stamps_are_equal(catalog):
    rejected = Rejected("BTC/USD", 0, 5, "trades", "negative_size", "size -1", b"raw", 0)
    batches = [Batch("live", venue, 1, 3, 0, 0, [rejected]) for venue in ("us", "us-1")]
    delivered = IcebergWriter(catalog).deliver("quarantine", batches)
    assert delivered["quarantine"].rows == 2


def test_deliver_commits_no_table_when_a_record_fits_none_of_its_columns(catalog):
    ts = 1_700_000_000_000_000_000
    wrong = Quote("BTC/USD", ts, 5, 99.0, 1.0, 101.0, 2.0, 2**40)
    with pytest.raises(InvalidData):
        IcebergWriter(catalog).deliver("clean", [batch(0, [trade(1), wrong])])
    assert rows(catalog, tables.TRADES).num_rows == 0
