"""Stamps without holes, order per bucket, a watermark that never lies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.market.records import Bar, BookUpdate, Trade, Unreadable
from tradelake.market.symbols import bucket_of
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK, encode_batch
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.watermark import (
    CONVINCING_FRAMES,
    MAX_AHEAD_NS,
    MAX_SKEW_NS,
    Watermark,
)

MS = 1_000_000
S = 1_000 * MS
NOW = 1_710_000_000 * S
LIMITS = BatchLimits(linger_ns=5 * MS, heartbeat_ns=S, max_records=10, max_bytes=8_000)


def trade(symbol: str, ts: int, number: int = 0) -> Trade:
    return Trade(symbol, ts, NOW, number, 1.0, 1.0)


def new_batcher(buckets: int = 4, **limits: int) -> Batcher:
    chosen = {name: getattr(LIMITS, name) for name in BatchLimits.__dataclass_fields__} | limits
    return Batcher("us", 7, buckets, BatchLimits(**chosen))


def test_batch_is_due_when_its_first_record_lingered():
    batcher = new_batcher()
    batcher.add([trade("BTC/USD", NOW - 3)], NOW)
    batcher.add([trade("BTC/USD", NOW - 2, 1)], NOW + 4 * MS)
    assert [b for b in batcher.take(NOW + 5 * MS - 1) if b.records] == []
    [batch] = [b for b in batcher.take(NOW + 5 * MS) if b.records]
    assert [r.trade_id for r in batch.records] == [0, 1]
    assert (batch.lane, batch.venue, batch.epoch, batch.seq) == ("live", "us", 7, 0)
    assert batch.bucket == bucket_of("BTC/USD", 4)


def test_bucket_has_one_batch_in_flight_when_more_arrives():
    batcher = new_batcher(buckets=1)
    batcher.add([trade("BTC/USD", NOW)], NOW)
    [first] = batcher.take(NOW + 5 * MS)
    for number in range(1, 4):
        batcher.add([trade("BTC/USD", NOW + number, number)], NOW + 6 * MS)
    assert batcher.take(NOW + 90 * MS, flush=True) == []
    assert batcher.in_hand == 4
    batcher.acknowledged([first])
    [second] = batcher.take(NOW + 90 * MS)
    assert ([r.trade_id for r in second.records], second.seq) == ([1, 2, 3], 1)
    batcher.acknowledged([second])
    assert batcher.in_hand == 0


def test_acknowledgement_is_refused_when_the_batch_is_not_in_flight():
    batcher = new_batcher(buckets=1)
    batcher.add([trade("BTC/USD", NOW)], NOW)
    [batch] = batcher.take(NOW + S)
    batcher.acknowledged([batch])
    with pytest.raises(ValueError, match="live/us/0"):
        batcher.acknowledged([batch])


def test_batch_is_cut_when_it_would_exceed_its_bounds():
    batcher = new_batcher(buckets=1)
    batcher.add([trade("BTC/USD", NOW + i, i) for i in range(25)], NOW)
    sizes = []
    while batches := batcher.take(NOW + S, flush=True):
        sizes += [len(batch.records) for batch in batches]
        batcher.acknowledged(batches)
    assert sizes == [10, 10, 5]


def test_watermark_does_not_pass_what_is_left_when_a_batch_is_cut():
    batcher = new_batcher(buckets=1)
    batcher.add([trade("BTC/USD", NOW + i, i) for i in range(10)], NOW + 100)
    batcher.add([trade("BTC/USD", NOW + 10 + i, i) for i in range(10)], NOW + 200)
    [first] = batcher.take(NOW + S)
    assert first.watermark_ns == NOW + 9
    batcher.acknowledged([first])
    [second] = batcher.take(NOW + S)
    assert second.watermark_ns >= NOW + 19


def test_heartbeats_carry_the_watermark_when_a_bucket_is_silent():
    batcher = new_batcher(buckets=4)
    assert batcher.take(NOW) == []
    batcher.add([trade("BTC/USD", NOW - 50)], NOW)
    batches = batcher.take(NOW + 2 * S)
    assert sorted(batch.bucket for batch in batches) == [0, 1, 2, 3]
    assert {batch.watermark_ns for batch in batches} == {NOW - 50 + 2 * S}
    batcher.acknowledged(batches)
    assert batcher.take(NOW + 3 * S - 1) == []
    assert len(batcher.take(NOW + 3 * S)) == 4


def test_next_due_is_the_linger_or_the_heartbeat_when_asked():
    batcher = new_batcher(buckets=2)
    batcher.take(NOW)
    assert batcher.next_due_ns() == NOW + S
    batcher.add([trade("BTC/USD", NOW)], NOW)
    assert batcher.next_due_ns() == NOW + 5 * MS
    assert batcher.next_due_ns([1 - bucket_of("BTC/USD", 2)]) == NOW + S


def test_every_bucket_says_the_end_of_time_when_final():
    batcher = new_batcher(buckets=3)
    batches = batcher.final(NOW)
    assert [(b.bucket, b.seq, b.records, b.watermark_ns) for b in batches] == [
        (i, 0, [], FINAL_WATERMARK) for i in range(3)
    ]


def test_batcher_is_full_when_too_much_is_in_hand():
    batcher = new_batcher(buckets=1, max_in_hand=3)
    batcher.add([trade("BTC/USD", NOW)] * 2, NOW)
    assert not batcher.full
    batcher.add([trade("BTC/USD", NOW)], NOW)
    assert batcher.full


@pytest.mark.parametrize(
    "record",
    [
        Unreadable("BTC/USD", NOW, "trades", "é" * 5_000, bytes(range(256)) * 200),
        BookUpdate("BTC/USD", NOW, NOW, [(1.0, 2.0)] * 1_000, [], True),
        Unreadable("S" * 100_000, NOW, "unknown", "garbage", b"x" * 20_000),
        trade("S" * 100_000, NOW),
    ],
)
def test_record_is_cut_into_pieces_that_join_when_no_batch_could_carry_it(record):
    batcher = new_batcher(buckets=1)
    batcher.add([trade("BTC/USD", NOW, 1), record, trade("BTC/USD", NOW, 2)], NOW)
    records = []
    while batches := batcher.take(NOW + S, flush=True):
        for batch in batches:
            assert len(encode_batch(batch, compress_above=2**40)) <= LIMITS.max_bytes + 100
            records += batch.records
        batcher.acknowledged(batches)
    assert (records[0].trade_id, records[-1].trade_id) == (1, 2)
    pieces = records[1:-1]
    assert len(pieces) > 1
    assert all(isinstance(piece, Unreadable) for piece in pieces)
    if isinstance(record, Unreadable):
        assert b"".join(piece.raw for piece in pieces) == record.raw


SYMBOLS = st.sampled_from(["BTC/USD", "ETH/USD", "SOL/USD", "", "X"])
FRAMES = st.lists(
    st.tuples(
        st.lists(st.tuples(SYMBOLS, st.integers(0, 10 * S)), max_size=25),
        st.integers(0, 20 * MS),
        st.booleans(),
    ),
    max_size=30,
)


@given(FRAMES)
def test_nothing_is_lost_doubled_or_reordered_when_frames_and_puts_interleave(frames):
    batcher = new_batcher(buckets=3)
    now, number, flying = NOW, 0, []
    sent: dict[str, list[int]] = {}
    stored: dict[int, list] = {0: [], 1: [], 2: []}

    def acknowledge() -> None:
        for batch in flying:
            stored[batch.bucket].append(batch)
        batcher.acknowledged(flying)
        flying.clear()

    for messages, pause, finish in frames:
        records = []
        for symbol, offset in messages:
            records.append(trade(symbol, NOW + offset, number))
            sent.setdefault(symbol, []).append(number)
            number += 1
        batcher.add(records, now)
        now += pause
        flying += batcher.take(now)
        if finish:
            acknowledge()
    acknowledge()
    while taken := batcher.take(now, flush=True):
        flying += taken
        acknowledge()
    assert batcher.in_hand == 0
    got: dict[str, list[int]] = {}
    for bucket, batches in stored.items():
        assert [batch.seq for batch in batches] == list(range(len(batches)))
        marks = [batch.watermark_ns for batch in batches]
        assert marks == sorted(marks)
        for batch in batches:
            for record in batch.records:
                assert bucket_of(record.symbol, 3) == bucket
                got.setdefault(record.symbol, []).append(record.trade_id)
    assert got == sent


def test_next_batch_says_until_when_data_of_its_symbols_may_be_missing_and_only_that_one():
    batcher = Batcher("us", 1, 16, BatchLimits())
    batcher.add([trade("BTC/USD", NOW - 3 * S), trade("ETH/USD", NOW - 3 * S)], NOW)
    batcher.acknowledged(batcher.take(NOW, flush=True))
    batcher.watermark.hold(NOW + S)
    batcher.tear(["BTC/USD"], NOW + 60 * S)
    batcher.add([trade("BTC/USD", NOW + 58 * S), trade("ETH/USD", NOW + 58 * S)], NOW + 61 * S)
    said = {b.bucket: b.torn_until_ns for b in batcher.take(NOW + 61 * S, flush=True)}
    btc, eth = (bucket_of(symbol, 16) for symbol in ("BTC/USD", "ETH/USD"))
    assert (said[btc], said[eth]) == (NOW + 57 * S, NO_WATERMARK)
    batcher.tear(["*"], NOW + 62 * S)
    everyone = batcher.take(NOW + 64 * S, range(16))
    assert {b.torn_until_ns for b in everyone if b.bucket not in (btc, eth)} == {NOW + 59 * S}


def test_records_of_after_an_interruption_are_no_batch_with_those_of_before_that_still_wait():
    batcher = new_batcher(buckets=1)
    batcher.add([trade("BTC/USD", NOW)], NOW)
    in_flight = batcher.take(NOW, flush=True)
    batcher.add([trade("BTC/USD", NOW + S, 1)], NOW + S)
    batcher.watermark.hold(NOW + S)
    batcher.tear(["*"], NOW + 60 * S)
    batcher.watermark.resume(NOW + 60 * S)
    batcher.add([trade("BTC/USD", NOW + 60 * S, 2)], NOW + 60 * S)
    batcher.add([trade("BTC/USD", NOW + 61 * S, 3)], NOW + 61 * S)
    said = []
    for _ in range(3):
        batcher.acknowledged(in_flight)
        in_flight = batcher.take(NOW + 62 * S)
        said += [([r.trade_id for r in b.records], b.torn_until_ns) for b in in_flight]
    assert said == [([1], NOW + 60 * S), ([2, 3], NOW + 60 * S)]


def test_next_batch_says_the_later_of_two_interruptions():
    batcher = new_batcher(buckets=1)
    batcher.add([trade("BTC/USD", NOW)], NOW)
    batcher.acknowledged(batcher.take(NOW, flush=True))
    batcher.tear(["*"], NOW + 60 * S)
    batcher.add([trade("BTC/USD", NOW + 50 * S, 1)], NOW + 60 * S)
    batcher.tear(["*"], NOW + 61 * S)
    [batch] = batcher.take(NOW + 62 * S)
    assert batch.torn_until_ns == NOW + 60 * S


def test_watermark_follows_the_venue_when_its_clock_is_ahead_for_good_and_not_one_bad_stamp():
    watermark, ahead = Watermark(), 120 * S
    for frame in range(40):
        now = NOW + frame * S
        late = 60 * S if frame % 7 == 3 else 0
        bad = 3_600 * S if frame % 9 == 5 else 0
        watermark.observe([trade("BTC/USD", now + ahead - late + bad)], now)
    now = NOW + 40 * S
    assert now + ahead - 3 * S <= watermark.at(now) <= now + ahead + MAX_AHEAD_NS


def test_watermark_follows_a_clock_that_is_ahead_though_bars_say_when_they_began():
    watermark, ahead = Watermark(), 30 * S
    for frame in range(CONVINCING_FRAMES + 1):
        now = NOW + frame * S
        began = now + ahead - 60 * S
        bar = Bar("BTC/USD", began, now, 1, 1, 1, 1, 1, 1, 1, "1m", "alpaca", "bars", 1)
        watermark.observe([bar, trade("BTC/USD", now + ahead)], now)
        watermark.observe([bar], now)
    assert watermark.at(now) == now + ahead


def test_watermark_goes_by_our_clock_again_when_the_venues_is_right_again():
    watermark = Watermark()
    for frame in range(CONVINCING_FRAMES):
        watermark.observe([trade("BTC/USD", NOW + frame + 120 * S)], NOW + frame)
    assert watermark.at(NOW) == NO_WATERMARK
    watermark.observe([trade("BTC/USD", NOW)], NOW)
    watermark.observe([trade("BTC/USD", NOW + 120 * S)], NOW)
    assert watermark.at(NOW) == NOW


def test_watermark_ignores_a_time_far_ahead_when_the_venue_is_wrong():
    watermark = Watermark()
    watermark.observe([trade("BTC/USD", NOW + MAX_AHEAD_NS + 1), trade("BTC/USD", NOW - 5)], NOW)
    assert watermark.at(NOW) == NOW - 5


@given(
    st.lists(
        st.lists(st.integers(-(2**62), 2**62) | st.integers(-900 * S, 900 * S), max_size=3),
        min_size=CONVINCING_FRAMES,
        max_size=3 * CONVINCING_FRAMES,
    )
)
def test_watermark_stays_within_the_largest_skew_when_frames_are_garbage(frames):
    watermark, now = Watermark(), NOW
    for offsets in frames:
        now += S
        watermark.observe([trade("BTC/USD", now + offset) for offset in offsets], now)
        assert watermark.at(now) <= now + MAX_SKEW_NS + MAX_AHEAD_NS
        assert watermark.event_time(now) <= now + MAX_SKEW_NS + MAX_AHEAD_NS


@given(st.sampled_from((-1, 1)), st.integers(MAX_SKEW_NS + 1, 2**62))
def test_watermark_is_unmoved_when_nothing_but_times_out_of_bounds_comes(sign, offset):
    watermark = Watermark()
    watermark.observe([trade("BTC/USD", NOW)], NOW)
    for frame in range(3 * CONVINCING_FRAMES):
        watermark.observe([trade("BTC/USD", NOW + sign * (offset + frame))], NOW)
    assert watermark.at(NOW) == NOW


def test_watermark_follows_a_skew_on_when_garbage_comes_in_between():
    watermark, ahead = Watermark(), 120 * S
    for frame in range(3 * CONVINCING_FRAMES):
        now = NOW + frame * S
        watermark.observe([trade("BTC/USD", now + ahead)], now)
        watermark.observe([trade("BTC/USD", 0), trade("BTC/USD", now + 2**60)], now)
    assert watermark.at(now) == now + ahead


def test_watermark_stands_still_when_it_is_held():
    watermark = Watermark()
    watermark.observe([trade("BTC/USD", NOW)], NOW)
    watermark.hold(NOW + S)
    assert watermark.at(NOW + 60 * S) == NOW + S
    watermark.resume(NOW + 60 * S)
    assert watermark.at(NOW + 61 * S) == NOW + S
    assert watermark.at(NOW + 62 * S) == NOW + 2 * S


@given(st.lists(st.tuples(st.integers(-10 * S, 10 * S), st.integers(-2 * S, 5 * S), st.booleans())))
def test_watermark_never_goes_back_when_times_and_clock_do(steps):
    watermark, now, last = Watermark(), NOW, -(2**63)
    for offset, pause, held in steps:
        now += pause
        if held:
            watermark.hold(now)
        else:
            watermark.observe([trade("BTC/USD", NOW + offset)], now)
        assert watermark.at(now) >= last
        last = watermark.at(now)
