"""The aggregate function: the same bars downstream whatever crashes and however batches are cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.functions.kinesis import StreamInMemory, sequence
from tests.functions.stores import StateInMemory
from tradelake.market.records import Trade
from tradelake.ports import Received
from tradelake.stream.aggregation import Rules
from tradelake.stream.envelope import Batch, encode_batch
from tradelake.usecases.aggregate import aggregate_records

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
