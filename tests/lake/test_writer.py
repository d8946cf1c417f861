"""The lake writer: exactly once under redelivery, re-sends, races and repeats."""

from __future__ import annotations

import threading

import pytest
from pyiceberg.exceptions import CommitFailedException

from tradelake.errors import InvalidData
from tradelake.lake.watermarks import MOST_EPOCHS, duplicate_key, read_watermarks
from tradelake.lake.writer import FOLLOW_NS, STALE_LEADER, IcebergWriter
from tradelake.market.records import Bar, BookUpdate, Quote, Rejected, Trade
from tradelake.ports import Received
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK, Batch, Damaged
from tradelake.topology import tables
from tradelake.usecases.unreadable import unreadable_batch

T = 1_700_000_000_000_000_000


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


def marks_of(catalog, table=tables.TRADES):
    return read_watermarks(catalog.load(table).properties)


def test_deliver_writes_an_older_epochs_batches_once_beside_the_newer_ones(catalog):
    writer = IcebergWriter(catalog)
    writer.deliver("clean", [batch(9, [trade(1)], epoch=2)])
    stale = [batch(50, [trade(2), trade(1)], epoch=1), batch(51, [trade(3)], epoch=1)]
    late = writer.deliver("clean", stale)["trades"]
    again = writer.deliver("clean", [*stale, batch(0, [trade(4)], epoch=3)])["trades"]
    assert (late.rows, late.duplicates, late.skipped_batches) == (2, 1, 0)
    assert (again.rows, again.duplicates, again.skipped_batches) == (1, 0, 2)
    mark = marks_of(catalog)["clean/live/us/3"]
    assert mark.seqs == {1: 51, 2: 9, 3: 0}
    assert mark.holds(1, 51)
    assert not mark.holds(1, 52)


def book(ts, flags=""):
    return BookUpdate("BTC/USD", ts, 5, [(99.0, 1.0)], [(101.0, 0.0)], flags=flags)


def test_deliver_marks_books_of_an_older_epoch_and_keeps_them(catalog):
    ts = 1_700_000_000_000_000_000
    writer = IcebergWriter(catalog)
    writer.deliver("clean", [batch(0, [book(ts)], epoch=1), batch(0, [book(ts + 1)], epoch=2)])
    writer.deliver("clean", [batch(1, [book(ts + 2), book(ts + 3, "future"), trade(1)], epoch=1)])
    writer.deliver("clean", [batch(1, [book(ts + 4)], epoch=2)])
    kept = {
        row["ts_event_ns"] - ts: row["flags"] for row in rows(catalog, tables.BOOKS).to_pylist()
    }
    assert kept == {0: None, 1: None, 2: STALE_LEADER, 3: f"future,{STALE_LEADER}", 4: None}
    assert rows(catalog, tables.TRADES)["flags"].to_pylist() == [None]


def test_deliver_doubles_nothing_when_the_epoch_of_a_repeat_was_forgotten(catalog):
    writer = IcebergWriter(catalog)
    batches = [batch(0, [trade(epoch)], epoch=epoch) for epoch in range(MOST_EPOCHS + 2)]
    writer.deliver("clean", batches)
    again = writer.deliver("clean", batches)["trades"]
    assert (again.rows, again.duplicates, again.skipped_batches) == (0, 2, MOST_EPOCHS)
    assert len(marks_of(catalog)["clean/live/us/3"].seqs) == MOST_EPOCHS


def test_deliver_counts_duplicates_of_ingesters_that_divide_a_venue_apart(catalog):
    def of(origin, seq, *ids):
        return Batch("live", "us", 1, 3, seq, 0, [trade(n) for n in ids], origin)

    IcebergWriter(catalog).deliver("clean", [of("", 0, 1, 2), of("b", 0, 2, 3), of("b", 1, 1)])
    marks = marks_of(catalog)
    assert (marks["clean/live/us/3"].rows, marks["clean/live/us/3"].duplicates) == (2, {})
    other = marks["clean/live/us~b/3"]
    assert (other.rows, other.duplicates) == (1, {duplicate_key("trades", "BTC/USD"): 2})
    assert other.seqs == {1: 1}


def test_the_watermark_says_up_to_which_event_time_the_table_is_whole(catalog):
    def at(seq, watermark_ns, *records, bucket=3, lane="live"):
        return Batch(lane, "us", 1, bucket, seq, watermark_ns, list(records))

    writer = IcebergWriter(catalog)
    writer.deliver("clean", [at(0, 50, trade(1)), at(1, 70), at(0, 60, bucket=4)])
    marks = marks_of(catalog)
    assert {source: mark.watermark_ns for source, mark in marks.items()} == {
        "clean/live/us/3": 70,
        "clean/live/us/4": 60,
    }
    writer.deliver("clean", [at(2, FINAL_WATERMARK, trade(2))])
    assert marks_of(catalog)["clean/live/us/3"].watermark_ns == 70


def test_trades_follow_heartbeats_by_the_minute_and_every_batch_of_the_backfill_lane(catalog):
    def at(seq, watermark_ns, lane="live"):
        return Batch(lane, "us", 1, 3, seq, watermark_ns, [])

    writer = IcebergWriter(catalog)
    writer.deliver("clean", [at(0, T)])
    snapshots = len(catalog.load(tables.TRADES).snapshots())
    writer.deliver("clean", [at(1, T + FOLLOW_NS - 1)])
    assert len(catalog.load(tables.TRADES).snapshots()) == snapshots
    writer.deliver("clean", [at(2, T + FOLLOW_NS)])
    writer.deliver("clean", [at(7, NO_WATERMARK, lane="backfill")])
    marks = marks_of(catalog)
    assert marks["clean/live/us/3"].watermark_ns == T + FOLLOW_NS
    assert marks["clean/backfill/us/3"].holds(1, 7)
    assert len(catalog.load(tables.TRADES).snapshots()) == snapshots + 2


def test_rejects_without_a_stamp_keep_no_watermark_and_are_kept_once(catalog):
    made = [
        unreadable_batch(Received(str(n << 80), "3", b"?", T), [damaged(index) for index in (0, 4)])
        for n in (5, 3)
    ]
    writer = IcebergWriter(catalog)
    assert writer.deliver("clean", made)["quarantine"].rows == 4
    again = writer.deliver("clean", made)["quarantine"]
    assert (again.rows, again.duplicates) == (0, 4)
    assert marks_of(catalog, tables.QUARANTINE) == {}


def damaged(index):
    return Damaged(index, b"?", InvalidData("envelope", "no"))


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
    assert mark.seqs == {1: 1}
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
    assert mark.seqs == {1: 2}
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
