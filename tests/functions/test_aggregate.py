"""The aggregate function: the same bars downstream whatever crashes and however batches are cut."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.functions.kinesis import StreamInMemory, sequence
from tests.functions.stores import StateInMemory
from tradelake.adapters.aws.state import MAX_VALUE_BYTES
from tradelake.market.records import Trade
from tradelake.ports import Received, Versioned
from tradelake.stream.aggregation import Rules
from tradelake.stream.envelope import Batch, decode_batches, encode_batch, encode_batches
from tradelake.usecases import aggregate, bundles
from tradelake.usecases.aggregate import ASIDE, aggregate_records

S = 1_000_000_000
DAY = 1_723_075_200 * S
RULES = Rules(("1s", "1m"), 2 * S)


def batch(seq, *at_s, watermark_s=None, bucket=0, epoch=1):
    trades = [
        Trade("BTC/USD", DAY + round(s * S), DAY + seq, round(s * 1000), 100.0 + s, 0.1)
        for s in at_s
    ]
    watermark_ns = DAY + round((seq if watermark_s is None else watermark_s) * S)
    return Batch("live", "us", epoch, bucket, seq, watermark_ns, trades)


def received(batches):
    return [Received(sequence(i), str(b.bucket), encode_batch(b)) for i, b in enumerate(batches)]


def taken(stream):
    """What a reader takes that skips positions at or before its watermark for the source."""
    batches, last = [], {}
    for read in stream.batches():
        if read.position > last.get(read.source_key, (-1, -1)):
            batches.append(read)
            last[read.source_key] = read.position
    return batches


def by_source(batches):
    sources = {}
    for given_ in batches:
        sources.setdefault(given_.source_key, []).append(given_)
    return sources


def undisturbed(batches):
    states, bars = StateInMemory(), StreamInMemory()
    for given_ in batches:
        aggregate_records(received([given_]), states, bars, RULES)
    return by_source(bars.batches())


def test_bars_carry_the_stamp_of_the_batch_that_closed_them():
    states, bars = StateInMemory(), StreamInMemory()
    given_ = [batch(0, 0.5), batch(1, 1.5), batch(2), batch(4), batch(5, watermark_s=90)]
    outcome = aggregate_records(received(given_), states, bars, RULES)
    made = [(made.seq, [bar.timeframe for bar in made.records]) for made in bars.batches()]
    assert made == [(4, ["1s", "1s"]), (5, ["1m"])]
    assert [record.key for record in bars.records] == ["0"]
    assert bars.batches()[0].source_key == "live/us/0"
    assert (outcome.counts.batches, outcome.counts.bars, outcome.failed_from) == (5, 3, None)


def test_a_sources_state_is_saved_once_an_invocation():
    states, bars = StateInMemory(), StreamInMemory()
    given_ = [batch(seq, seq + 0.5, bucket=seq % 2) for seq in range(20)]
    aggregate_records(received(given_), states, bars, RULES)
    assert {key: stored.version for key, stored in states.values.items()} == {
        ("aggregate", "live/us/0"): 1,
        ("aggregate", "live/us/1"): 1,
    }


def test_nothing_is_saved_or_emitted_when_every_batch_is_a_repeat():
    states, bars = StateInMemory(), StreamInMemory()
    given_ = received([batch(0, 0.5), batch(1, watermark_s=90)])
    aggregate_records(given_, states, bars, RULES)
    before = dict(states.values), list(bars.records)
    outcome = aggregate_records(given_, states, bars, RULES)
    assert (states.values, bars.records) == before
    assert outcome.counts.repeats == 2


def test_a_record_that_is_no_batch_is_counted_and_passed_over():
    outcome = aggregate_records(
        [Received("1", "0", b"?"), *received([batch(0, 0.5)])],
        StateInMemory(),
        StreamInMemory(),
        RULES,
    )
    assert (outcome.unreadable, outcome.counts.trades, outcome.failed_from) == (1, 1, None)


def test_another_source_goes_on_when_one_cannot_be_loaded():
    states, bars = StateInMemory(), StreamInMemory()
    states.fail_loads = 1
    given_ = [batch(0, bucket=1), batch(0, bucket=0), batch(1, bucket=1)]
    outcome = aggregate_records(received(given_), states, bars, RULES)
    assert outcome.failed_from == 0
    assert list(states.values) == [("aggregate", "live/us/0")]


def test_nothing_is_committed_when_bars_cannot_be_put():
    states, bars = StateInMemory(), StreamInMemory()
    bars.refuse_next()
    outcome = aggregate_records(received([batch(0, 0.5, watermark_s=90)]), states, bars, RULES)
    assert outcome.failed_from == 0
    assert states.values == {}


def test_a_conflict_is_resolved_by_reloading_when_a_rival_saved_first():
    states, bars = StateInMemory(), StreamInMemory()
    given_ = received([batch(seq, seq + 0.5) for seq in range(10)])
    states.before_save = lambda: aggregate_records(given_[:6], states, bars, RULES)
    outcome = aggregate_records(given_, states, bars, RULES)
    assert (outcome.conflicts, outcome.failed_from) == (1, None)
    assert outcome.counts.repeats == 6
    assert by_source(taken(bars)) == undisturbed([batch(seq, seq + 0.5) for seq in range(10)])


def test_the_source_is_handed_over_again_when_rivals_never_stop():
    states, bars = StateInMemory(), StreamInMemory()
    given_ = received([batch(0, 0.5)])
    rounds = iter(range(100))

    def rival():
        aggregate_records(received([batch(next(rounds), 0.5, epoch=0)]), states, bars, RULES)
        states.before_save = rival_guard

    def rival_guard():
        if states.before_save is None:
            rival()

    states.before_save = rival
    outcome = aggregate_records(given_, states, bars, RULES)
    assert outcome.failed_from == 0
    assert "saved by others" in outcome.failure


@st.composite
def clean_streams(draw):
    batches, seqs = [], [0, 0]
    for clock in range(draw(st.integers(1, 14))):
        bucket = draw(st.integers(0, 1))
        late = draw(st.lists(st.integers(0, 8_000), max_size=4))
        at = [max(0.0, clock * 4 - ms / 1000) for ms in late]
        batches.append(batch(seqs[bucket], *at, watermark_s=clock * 4, bucket=bucket))
        seqs[bucket] += 1
    return batches


@st.composite
def mishaps(draw):
    """One invocation: how far back it begins, how many batches it gets, and what befalls it."""
    return (
        draw(st.integers(0, 5)),
        draw(st.integers(1, 6)),
        draw(st.sampled_from(["none", "put", "save", "load", "rival"])),
        draw(st.integers(0, 3)),
    )


@settings(max_examples=200)
@given(clean_streams(), st.lists(mishaps(), max_size=12))
def test_downstream_reads_the_same_bars_whatever_crashes_and_however_batches_are_cut(
    batches, schedule
):
    states, bars = StateInMemory(), StreamInMemory()
    checkpoint = 0
    for back, length, mishap, part in schedule:
        start = max(0, checkpoint - back)
        given_ = received(batches[start : start + length])
        if mishap == "put":
            bars.refuse_next(after=part)
        elif mishap == "save":
            states.fail_saves = 1
        elif mishap == "load":
            states.fail_loads = 1
        elif mishap == "rival":
            again = received(batches[start : start + part + 1])
            states.before_save = lambda again=again: aggregate_records(again, states, bars, RULES)
        outcome = aggregate_records(given_, states, bars, RULES)
        handled = len(given_) if outcome.failed_from is None else outcome.failed_from
        checkpoint = max(checkpoint, start + handled)
        bars.refusals.clear()
        states.before_save, states.fail_saves, states.fail_loads = None, 0, 0
    outcome = aggregate_records(received(batches[checkpoint:]), states, bars, RULES)
    assert outcome.failed_from is None
    assert by_source(taken(bars)) == undisturbed(batches)


def test_a_state_that_cannot_be_decoded_is_put_aside_and_the_source_begins_afresh():
    states, bars = StateInMemory(), StreamInMemory()
    key = ("aggregate", "live/us/0")
    states.values[key] = Versioned(b"\x00damaged", 7)
    given_ = received([batch(0, 0.5, watermark_s=0.5), batch(1, watermark_s=90)])
    outcome = aggregate_records(given_, states, bars, RULES)
    assert outcome.failed_from is None
    assert outcome.states_lost == 1
    assert "put aside as aggregate-aside live/us/0/7" in outcome.failures[0]
    assert states.values[ASIDE, "live/us/0/7"].value == b"\x00damaged"
    assert states.values[key].version == 8
    assert {bar.status for made in bars.batches() for bar in made.records} == {"partial"}
    again = aggregate_records(given_, states, bars, RULES)
    assert (again.states_lost, again.counts.repeats) == (0, 2)


def test_a_state_that_cannot_be_decoded_is_put_aside_once_when_the_save_fails_after_it():
    states, bars = StateInMemory(), StreamInMemory()
    states.values["aggregate", "live/us/0"] = Versioned(b"?", 1)
    given_ = received([batch(0, 0.5)])
    states.before_save = lambda: setattr(states, "fail_saves", 0)
    aggregate_records(given_, states, bars, RULES)
    states.values["aggregate", "live/us/0"] = Versioned(b"?", 1)
    assert aggregate_records(given_, states, bars, RULES).failed_from is None
    assert [key for consumer, key in states.values if consumer == ASIDE] == ["live/us/0/1"]


def test_a_state_forgets_trades_when_it_would_not_fit_into_an_item(monkeypatch):
    states, bars = StateInMemory(), StreamInMemory()
    numbers = random.Random(1)
    trades = [
        Trade("BTC/USD", DAY + numbers.randrange(S), DAY, numbers.randrange(2**62), 1.0, 1.0)
        for _ in range(2_000)
    ]
    crowded = Batch("live", "us", 1, 0, 0, DAY, trades)
    monkeypatch.setattr(aggregate, "MAX_STATE_BYTES", 12_000)
    outcome = aggregate_records(received([crowded]), states, bars, RULES)
    assert outcome.failed_from is None
    assert outcome.states_shrunk > 0
    assert len(states.values["aggregate", "live/us/0"].value) <= 12_000
    assert "12000 fit" in outcome.failures[0]
    again = aggregate_records(received([crowded]), states, bars, RULES)
    assert again.counts.repeats == 1


def test_a_source_begins_afresh_when_its_state_does_not_fit_whatever_it_forgets(monkeypatch):
    states = StateInMemory()
    monkeypatch.setattr(aggregate, "MAX_STATE_BYTES", 150)
    crowded = [batch(0, *range(60), watermark_s=70)]
    outcome = aggregate_records(received(crowded), states, StreamInMemory(), RULES)
    assert (outcome.failed_from, outcome.states_lost) == (None, 1)


def test_the_largest_state_fits_into_an_item():
    assert aggregate.MAX_STATE_BYTES <= MAX_VALUE_BYTES


def test_a_batch_the_aggregator_cannot_take_in_leaves_its_neighbours_alone():
    states, bars = StateInMemory(), StreamInMemory()
    poison = Batch("live", "us", 1, 0, 1, DAY, [Trade("BTC/USD", DAY, DAY, 1, float("nan"), 1.0)])
    given_ = [batch(0, 0.5, watermark_s=0.5), poison, batch(2, 0.7, watermark_s=90)]
    outcome = aggregate_records(received(given_), states, bars, RULES)
    assert (outcome.refused, outcome.counts.trades, outcome.failed_from) == (1, 2, None)
    assert "(1, 1)" in outcome.failures[0]
    again = aggregate_records(received(given_), states, bars, RULES)
    assert (again.counts.repeats, again.refused) == (3, 0)


def test_bars_leave_out_the_timeframe_that_has_most_when_they_exceed_a_record(monkeypatch):
    monkeypatch.setattr(bundles, "MAX_OUTGOING_BYTES", 700)
    states, bars = StateInMemory(), StreamInMemory()
    crowded = [batch(0, *range(60), watermark_s=200)]
    outcome = aggregate_records(received(crowded), states, bars, RULES)
    assert (outcome.bars_dropped, outcome.failed_from) == (60, None)
    assert [bar.timeframe for bar in bars.batches()[0].records] == ["1m"]


def test_batches_of_the_backfill_lane_are_counted_and_passed_over():
    states, bars = StateInMemory(), StreamInMemory()
    fetched = msgspec.structs.replace(batch(0, 0.5, watermark_s=90), lane="backfill")
    outcome = aggregate_records(received([fetched]), states, bars, RULES)
    assert (outcome.counts.other_lanes, outcome.counts.trades) == (1, 0)
    assert (states.values, bars.records) == ({}, [])


def test_a_poison_batch_leaves_its_neighbours_in_the_bundle_alone():
    states, bars = StateInMemory(), StreamInMemory()
    poison = msgspec.structs.replace(batch(1, 1.5), venue="v" * 5_000)
    given_ = [batch(0, 0.5), poison, batch(1, 0.7, watermark_s=90)]
    data = encode_batches(given_)
    outcome = aggregate_records([Received("1", "0", data)], states, bars, RULES)
    assert (outcome.unreadable, outcome.counts.trades) == (1, 2)
    assert list(states.values) == [("aggregate", "live/us/0")]


def test_bars_of_a_bucket_travel_in_one_record_and_keep_the_stamps_of_their_batches():
    states, bars = StateInMemory(), StreamInMemory()
    aggregate_records(received([batch(seq, seq) for seq in range(20)]), states, bars, RULES)
    (record,) = bars.records
    seqs = [made.seq for made in decode_batches(record.data)]
    assert len(seqs) > 10
    assert seqs == sorted(seqs)
