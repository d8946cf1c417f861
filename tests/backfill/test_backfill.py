"""Gaps in, records on the backfill stream out: whole, resumable, one run a gap."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backfill.fakes import Crash, Epochs, History, Ledger, ManualClock, Stream
from tradelake.errors import Fatal, Throttled, Transient
from tradelake.market.records import Bar, Quote, Trade
from tradelake.ports import NOTHING_FILLED, OPEN, ChannelFill, Fill, Gap
from tradelake.stream.envelope import NO_WATERMARK
from tradelake.usecases.backfill import BackfillParts, backfill

S = 10**9
MINUTE = 60 * S
OPENED = 1_710_000_000 * S
CLOSED = OPENED + 10 * S
LATE = CLOSED + 600 * S
GAP = Gap("us", OPENED, CLOSED, ("trades", "quotes"), ("BTC/USD", "ETH/USD"), "disconnect")


def trade(number: int, ts_ns: int, symbol: str = "BTC/USD") -> Trade:
    return Trade(symbol, ts_ns, LATE, number, 100.0 + number, 0.5)


def quote(ts_ns: int, symbol: str = "BTC/USD", occurrence: int = 0, bid: float = 1.0) -> Quote:
    return Quote(symbol, ts_ns, LATE, bid, 1.0, 2.0, 1.0, occurrence)


def bar(open_ns: int, channel: str, timeframe: str) -> Bar:
    return Bar("BTC/USD", open_ns, LATE, 1, 1, 1, 1, 1, 1, 1, timeframe, "alpaca", channel, 9)


def some_history() -> list:
    symbols = ("BTC/USD", "ETH/USD")
    trades = [trade(i, OPENED + i * S // 2, symbols[i % 2]) for i in range(20)]
    quotes = [quote(OPENED + i // 3 * S, symbols[i // 3 % 2], i % 3) for i in range(30)]
    return [*trades, *quotes]


def parts_of(history, *, ledger=None, stream=None, clock=None, **more) -> BackfillParts:
    ledger = ledger or Ledger()
    if not ledger.kept:
        ledger.record(GAP)
    return BackfillParts(
        venue="us",
        ledger=ledger,
        history=history,
        writer=stream or Stream(),
        epochs=Epochs(),
        clock=clock or ManualClock(LATE),
        symbols=lambda: ("BTC/USD", "ETH/USD"),
        buckets=4,
        **more,
    )


def positions(stream: Stream) -> list[tuple[int, int, int]]:
    return [(batch.epoch, batch.bucket, batch.seq) for batch in stream.batches]


def test_backfill_puts_all_records_of_a_gap_and_says_it_is_filled():
    parts = parts_of(History(some_history(), size=7))
    outcome = backfill(parts)
    assert sorted(parts.writer.records, key=repr) == sorted(some_history(), key=repr)
    assert {(b.lane, b.venue, b.watermark_ns) for b in parts.writer.batches} == {
        ("backfill", "us", NO_WATERMARK)
    }
    (gap,) = parts.ledger.gaps()
    assert {name: fill.status for name, fill in gap.fill.channels.items()} == {
        "trades": "filled",
        "quotes": "filled",
    }
    assert gap.fill.channels["trades"].fetched == {"BTC/USD": 10, "ETH/USD": 10}
    assert (outcome.records, outcome.filled, outcome.stopped) == (50, 2, "")


def test_backfill_does_nothing_more_when_it_runs_again():
    parts = parts_of(History(some_history(), size=7))
    backfill(parts)
    before = len(parts.writer.batches), parts.ledger.notes
    assert backfill(parts).records == 0
    assert (len(parts.writer.batches), parts.ledger.notes) == before


def test_backfill_tells_how_long_what_it_could_not_fill_has_waited():
    ledger = Ledger()
    for closed_ns in (CLOSED, CLOSED + 20 * S, OPEN):
        ledger.record(replace(GAP, opened_ns=OPENED + closed_ns % 7, closed_ns=closed_ns))
    parts = parts_of(History(some_history(), size=50, errors=[Transient("away")]), ledger=ledger)
    outcome = backfill(parts)
    assert (outcome.unfilled, outcome.stopped) == (2, "away")
    assert outcome.unfilled_s == pytest.approx(10 + 30)
    assert outcome.oldest_s == pytest.approx(600)
    assert (backfill(parts).unfilled, backfill(parts).oldest_s) == (0, 0)


def test_the_last_position_of_every_bucket_is_noted():
    parts = parts_of(History(some_history(), size=7))
    backfill(parts)
    (gap,) = parts.ledger.gaps()
    last = {str(batch.bucket): batch.seq for batch in parts.writer.batches}
    assert (gap.fill.epoch, gap.fill.last_seq) == (1, last)


def run_to_the_end(parts: BackfillParts) -> int:
    crashes = 0
    while True:
        try:
            backfill(parts)
        except Crash:
            crashes += 1
            for fuse in (parts.history.fuse, parts.writer.fuse, parts.ledger.fuse):
                fuse.left = -1
        else:
            return crashes


@given(
    place=st.sampled_from(["history", "writer", "ledger"]),
    step=st.integers(0, 25),
    size=st.integers(1, 9),
)
@settings(deadline=None, max_examples=150)
def test_nothing_is_lost_and_no_position_used_twice_when_it_dies_at_any_step(place, step, size):
    parts = parts_of(History(some_history(), size=size))
    getattr(parts, place).fuse.left = step
    run_to_the_end(parts)
    found = Counter(map(repr, parts.writer.records))
    assert set(found) == set(map(repr, some_history()))
    assert len(set(positions(parts.writer))) == len(parts.writer.batches)
    (gap,) = parts.ledger.gaps()
    assert {fill.status for fill in gap.fill.channels.values()} == {"filled"}
    # what the lake is waited for: never beyond what was put, and one record of each at least
    put = {(batch.epoch, str(batch.bucket), batch.seq): batch for batch in parts.writer.batches}
    assert set(gap.fill.positions()) <= set(put)
    until = {(epoch, bucket): seq for epoch, bucket, seq in gap.fill.positions()}
    waited_for = {
        repr(record)
        for (epoch, bucket, seq), batch in put.items()
        if seq <= until.get((epoch, bucket), -1)
        for record in batch.records
    }
    assert waited_for == set(map(repr, some_history()))


def test_a_resumed_run_goes_on_at_the_noted_instant_and_repeats_no_noted_page():
    parts = parts_of(History([trade(i, OPENED + i) for i in range(10)], size=4))
    parts.history.fuse.left = 2
    with pytest.raises(Crash):
        backfill(parts)
    (gap,) = parts.ledger.gaps()
    assert gap.fill.channels["trades"].fetched == {"BTC/USD": 7}
    parts.history.fuse.left = -1
    backfill(parts)
    assert [r.trade_id for r in parts.writer.records if isinstance(r, Trade)] == list(range(10))
    assert parts.epochs.last == 2


def test_an_instant_is_never_cut_so_that_equal_quotes_keep_their_numbers():
    equal = [quote(OPENED, occurrence=i) for i in range(6)]
    parts = parts_of(History([*equal, quote(OPENED + 1)], size=4))
    parts.writer.fuse.left = 0
    with pytest.raises(Crash):
        backfill(parts)
    parts.writer.fuse.left = -1
    backfill(parts)
    pages = [batch.records for batch in parts.writer.batches]
    assert [[r.occurrence for r in page] for page in pages] == [[0, 1, 2, 3, 4, 5], [0]]


def test_backfill_stops_before_its_time_is_over_and_goes_on_later():
    clock = ManualClock(LATE)
    history = History([trade(i, OPENED + i) for i in range(10)], size=2)
    parts = parts_of(history, clock=clock)
    stream = parts.writer
    put = stream.put

    def slow(records):
        clock.ns += 10 * S
        put(records)

    stream.put = slow
    outcome = backfill(parts, stop_ns=LATE + 15 * S)
    assert outcome.stopped == "the time is over"
    assert 0 < outcome.records < 10
    assert backfill(parts).stopped == ""
    assert sorted(r.trade_id for r in stream.records) == list(range(10))


@pytest.mark.parametrize("error", [Throttled("429", 40.0), Transient("away")])
def test_backfill_leaves_the_rest_to_the_next_run_when_the_venue_asks_for_a_pause(error):
    parts = parts_of(History(some_history(), size=7, errors=[error]))
    assert backfill(parts).stopped == str(error)
    assert backfill(parts).stopped == ""
    assert len(parts.writer.records) == 50


def test_a_gap_that_the_venue_refuses_does_not_hold_up_the_others():
    ledger = Ledger()
    ledger.record(GAP)
    later = replace(GAP, opened_ns=OPENED + 1, cause="407")
    ledger.record(later)
    parts = parts_of(History(some_history(), size=100, errors=[Fatal("403")]), ledger=ledger)
    with pytest.raises(Fatal, match=r"1 gaps cannot be filled.*disconnect.*403"):
        backfill(parts)
    assert ledger.gaps()[1].fill.channels["quotes"].status == "filled"


def test_a_second_backfiller_loses_and_stops_when_another_noted_in_between():
    ledger = Ledger()
    ledger.record(GAP)

    class Overtaken(Stream):
        def put(self, records):
            super().put(records)
            if len(ledger.kept) == 1 and ledger.notes == 0:
                ledger.note_fill(GAP, Fill(epoch=99))

    parts = parts_of(History(some_history(), size=7), ledger=ledger, stream=Overtaken())
    outcome = backfill(parts)
    assert (outcome.lost, outcome.filled, ledger.notes) == (1, 0, 1)
    assert ledger.gaps()[0].fill == Fill(epoch=99)


def test_order_books_are_unrecoverable_at_once_even_while_the_gap_lasts():
    ledger = Ledger()
    ledger.record(replace(GAP, closed_ns=OPEN, channels=("orderbooks", "trades")))
    parts = parts_of(History([], size=7), ledger=ledger)
    outcome = backfill(parts)
    assert (outcome.open, outcome.unrecoverable) == (1, 1)
    assert ledger.gaps()[0].fill.channels == {"orderbooks": ChannelFill(status="unrecoverable")}


def test_nothing_is_fetched_before_history_has_settled():
    clock = ManualClock(CLOSED + 4 * S)
    ledger = Ledger()
    ledger.record(replace(GAP, channels=("trades", "bars")))
    parts = parts_of(History([], size=7), ledger=ledger, clock=clock)
    assert backfill(parts).settling == 1
    assert parts.history.asked == []
    clock.ns = CLOSED + 6 * S
    assert backfill(parts).settling == 1
    assert {asked[0] for asked in parts.history.asked} == {"trades"}
    clock.ns = CLOSED + 120 * S
    assert backfill(parts).settling == 0
    assert ledger.gaps()[0].fill.channels["bars"].status == "filled"


def test_gaps_of_another_venue_are_left_alone():
    ledger = Ledger()
    ledger.record(replace(GAP, venue="eu-1"))
    parts = parts_of(History([], size=7), ledger=ledger)
    assert backfill(parts).gaps == 0
    assert ledger.gaps()[0].fill == NOTHING_FILLED


def test_a_gap_of_every_symbol_asks_for_the_venues_symbols():
    ledger = Ledger()
    ledger.record(replace(GAP, symbols=("*",), channels=("trades",)))
    parts = parts_of(History([], size=7), ledger=ledger)
    backfill(parts)
    assert parts.history.asked[0][1] == ("BTC/USD", "ETH/USD")


def test_a_bar_that_ends_inside_the_gap_is_fetched_and_one_that_ends_after_it_is_not():
    opened = OPENED - OPENED % MINUTE + 30 * S
    inside, after = opened - 30 * S, opened + 30 * S
    history = History([bar(inside, "bars", "1m"), bar(after, "bars", "1m")], size=7)
    ledger = Ledger()
    ledger.record(Gap("us", opened, opened + 40 * S, ("bars", "updatedBars"), ("BTC/USD",), "cut"))
    parts = parts_of(history, ledger=ledger)
    assert backfill(parts).filled == 2
    assert [r.ts_event for r in parts.writer.records] == [inside]


def test_a_long_outage_is_fetched_by_the_hour_and_notes_hours_without_records():
    hours = 3
    ledger = Ledger()
    ledger.record(replace(GAP, closed_ns=OPENED + hours * 3600 * S, channels=("trades",)))
    clock = ManualClock(OPENED + (hours + 1) * 3600 * S)
    parts = parts_of(History([trade(1, CLOSED)], size=7), ledger=ledger, clock=clock)
    parts.ledger.fuse.left = 5
    with pytest.raises(Crash):
        backfill(parts)
    before = len(parts.history.asked)
    parts.ledger.fuse.left = -1
    backfill(parts)
    starts = [asked[2] for asked in parts.history.asked]
    assert starts[0] not in starts[before:]
    assert {(start - starts[0]) // (3600 * S) for start in starts} == {0, 1, 2, 3}
    assert [r.trade_id for r in parts.writer.records] == [1]


def test_records_pass_the_stages_before_they_are_put():
    class Flag:
        def process(self, records, now_ns):
            return [msgspec.structs.replace(record, flags="odd") for record in records]

    parts = parts_of(History(some_history(), size=7), stages=lambda: (Flag(),))
    backfill(parts)
    assert {record.flags for record in parts.writer.records} == {"odd"}
