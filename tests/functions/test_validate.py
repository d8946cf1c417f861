"""The validate function: nothing lost, nothing held up, order and stamps kept."""

import random
import string
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.functions.kinesis import StreamInMemory, kinesis_event, sequence
from tradelake.adapters.aws.kinesis_events import batch_answer, received_records
from tradelake.errors import InvalidData
from tradelake.market.records import Quote, Trade, Unreadable
from tradelake.ports import Received
from tradelake.stream.envelope import (
    FLAG_ZLIB,
    VERSION,
    Batch,
    Damaged,
    decode_batches,
    decode_record,
    encode_batch,
    encode_batches,
)
from tradelake.usecases.bundles import MAX_OUTGOING_BYTES
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.unreadable import MAX_RAW_BYTES, unreadable_batch
from tradelake.usecases.validate import validate_records

T = 1_723_161_600_000_000_000
GOOD = Trade("BTC/USD", T, T, 1, 61000.0, 0.5)
BAD = Trade("BTC/USD", T, T, 2, -1.0, 0.5)
CROSSED = Quote("BTC/USD", T, T, 11.0, 1.0, 10.0, 1.0)
MUTE = Unreadable("", T, "trades", "no price", b"\x81\xa1p")


def batch(seq, *records, bucket=3):
    return Batch("live", "us", 5, bucket, seq, T + seq, list(records))


def received(*batches):
    return [Received(sequence(i), str(b.bucket), encode_batch(b), T) for i, b in enumerate(batches)]


def run(*batches):
    clean, quarantine = StreamInMemory(), StreamInMemory()
    return validate_records(received(*batches), clean, quarantine), clean, quarantine


def run_data(data):
    clean, quarantine = StreamInMemory(), StreamInMemory()
    return validate_records([Received("7", "3", data, T)], clean, quarantine), clean, quarantine


def test_a_clean_record_passes_byte_for_byte_under_its_bucket_when_it_is_alone():
    bundle = encode_batches([batch(0, GOOD), batch(1)])
    outcome, clean, quarantine = run_data(bundle)
    assert [(r.key, r.data) for r in clean.records] == [("3", bundle)]
    assert quarantine.records == []
    assert (outcome.bundles, outcome.batches, outcome.records, outcome.clean) == (1, 2, 1, 1)
    assert outcome.failed_from is None


def test_batches_of_a_bucket_go_out_in_one_record_in_their_order():
    given_ = [batch(n // 2, GOOD, BAD, bucket=n % 2) for n in range(6)]
    _, clean, quarantine = run(*given_)
    for stream in (clean, quarantine):
        assert [record.key for record in stream.records] == ["0", "1"]
        assert [(b.bucket, b.seq) for b in stream.batches()] == [
            (bucket, seq) for bucket in (0, 1) for seq in range(3)
        ]


def test_clean_records_of_a_bucket_are_joined_to_the_bundle_of_all_their_batches():
    _, clean, _ = run(*[batch(seq, GOOD) for seq in range(40)])
    (record,) = clean.records
    assert record.data == encode_batches([batch(seq, GOOD) for seq in range(40)])


def test_a_bundle_is_divided_when_it_would_exceed_a_record():
    parts = [batch(seq, *noisy_trades(4_000, seq)) for seq in range(10)]
    _, clean, _ = run(*parts)
    assert 1 < len(clean.records) < 10
    assert all(len(record.data) <= MAX_OUTGOING_BYTES for record in clean.records)
    assert clean.batches() == parts


@pytest.mark.parametrize("stamp", [{"seq": -1}, {"venue": "a/b"}, {"venue": "v" * 65}])
def test_a_poison_batch_leaves_its_neighbours_in_the_bundle_alone(stamp):
    poison = msgspec.structs.replace(batch(1, GOOD), **stamp)
    _, clean, quarantine = run_data(encode_batches([batch(0, GOOD), poison, batch(2, BAD)]))
    assert clean.batches() == [batch(0, GOOD), batch(2)]
    rejected = {record.rule: record for b in quarantine.batches() for record in b.records}
    assert set(rejected) == {"envelope", "price_not_positive"}
    assert decode_batches(rejected["envelope"].raw) == [poison]
    assert rejected["envelope"].position == 1


def test_a_batch_that_cannot_be_read_leaves_its_neighbours_in_the_bundle_alone():
    broken = msgspec.structs.replace(batch(1, GOOD), lane="elsewhere")
    data = encode_batches([batch(0, GOOD), broken, batch(2, GOOD)])
    outcome, clean, quarantine = run_data(data)
    assert clean.batches() == [batch(0, GOOD), batch(2, GOOD)]
    (record,) = quarantine.batches()[0].records
    assert (record.rule, record.position) == ("envelope", 1)
    assert record.raw == encode_batch(broken)
    assert (outcome.records, outcome.clean) == (3, 2)


def test_a_record_is_kept_whole_when_its_damaged_batches_do_not_fit_one_by_one():
    poison = [msgspec.structs.replace(batch(seq, GOOD), venue="") for seq in range(1_000)]
    data = encode_batches(poison)
    _, clean, quarantine = run_data(data)
    (record,) = quarantine.batches()[0].records
    assert clean.records == []
    assert (record.rule, record.raw) == ("oversize", data)


def test_the_backfill_lane_passes_under_its_own_stamp():
    fetched = msgspec.structs.replace(batch(0, GOOD, BAD), lane="backfill", origin="b")
    _, clean, quarantine = run(fetched)
    for stream in (clean, quarantine):
        assert [b.source_key for b in stream.batches()] == ["backfill/us~b/3"]


def noisy_trades(count, seed):
    numbers = random.Random(seed)
    return [
        Trade("BTC/USD", T - numbers.randrange(10**12), T, n, numbers.random(), numbers.random())
        for n in range(count)
    ]


def test_a_rejected_record_goes_to_quarantine_with_its_bytes_and_index_and_its_neighbours_pass():
    outcome, clean, quarantine = run(batch(7, GOOD, BAD, CROSSED, GOOD, MUTE))
    assert clean.batches() == [batch(7, GOOD, GOOD)]
    (rejects,) = quarantine.batches()
    assert (rejects.position, rejects.source_key, rejects.watermark_ns) == (
        (5, 7),
        "live/us/3",
        T + 7,
    )
    assert [(r.rule, r.position, r.channel) for r in rejects.records] == [
        ("price_not_positive", 1, "trades"),
        ("crossed", 2, "quotes"),
        ("unreadable", 4, "trades"),
    ]
    assert [decode_record(r.raw) for r in rejects.records[:2]] == [BAD, CROSSED]
    assert rejects.records[2].raw == MUTE.raw
    assert outcome.rejected == {"price_not_positive": 1, "crossed": 1, "unreadable": 1}
    assert outcome.clean == 2


def test_a_batch_goes_on_empty_when_every_record_is_rejected():
    _, clean, _ = run(batch(0, BAD))
    assert clean.batches() == [batch(0)]


def test_an_odd_record_is_kept_and_says_which_rules_found_it_odd():
    zero = Trade("BTC/USD", T, T, 1, 5.0, 0.0, flags="spike")
    outcome, clean, quarantine = run(batch(0, GOOD, zero))
    assert outcome.flagged == {"zero_size": 1}
    assert [record.flags for record in clean.batches()[0].records] == ["", "spike,zero_size"]
    assert quarantine.records == []


def test_an_odd_record_passes_byte_for_byte_when_its_flags_are_there_already():
    data = encode_batch(batch(0, Trade("BTC/USD", T, T, 1, 5.0, 0.0, flags="zero_size")))
    outcome, clean, _ = run_data(data)
    assert clean.records[0].data == data
    assert outcome.flagged == {"zero_size": 1}


def test_a_record_that_is_no_batch_goes_to_quarantine_and_the_stream_goes_on():
    rubbish = Received(sequence(0), "3", b"\x07rubbish", T)
    clean, quarantine = StreamInMemory(), StreamInMemory()
    outcome = validate_records([rubbish, *received(batch(0, GOOD))], clean, quarantine)
    assert clean.batches() == [batch(0, GOOD)]
    (rejects,) = quarantine.batches()
    assert rejects.source_key.startswith("live/unknown/-")
    (record,) = rejects.records
    assert (record.raw, record.rule, record.channel, record.symbol) == (
        b"\x07rubbish",
        "envelope",
        "unknown",
        "",
    )
    assert sequence(0) in record.reason
    assert outcome.rejected == {"envelope": 1}
    assert outcome.failed_from is None


@pytest.mark.parametrize(
    "stamp",
    [
        {"seq": -1},
        {"bucket": -2},
        {"epoch": 2**63},
        {"bucket": 2**31},
        {"venue": ""},
        {"origin": "~"},
    ],
)
def test_a_batch_is_quarantined_whole_when_its_stamp_cannot_be_stored(stamp):
    broken = msgspec.structs.replace(batch(0, GOOD), **stamp)
    _, clean, quarantine = run(broken)
    assert clean.records == []
    assert quarantine.batches()[0].records[0].rule == "envelope"


@given(st.binary(max_size=200))
def test_any_bytes_are_passed_on_or_quarantined_and_never_raise(data):
    clean, quarantine = StreamInMemory(), StreamInMemory()
    outcome = validate_records([Received("7", "0", data, T)], clean, quarantine)
    assert outcome.failed_from is None
    assert len(clean.records) + len(quarantine.records) >= 1


def stamp_of(number, key="3"):
    return unreadable_batch(Received(str(number), key, b"", T), [damaged(b"")])


def damaged(data):
    return Damaged(0, data, InvalidData("envelope", "no"))


AWS_NUMBERS = st.integers(0, 2**30).map(lambda i: int(sequence(0)) + i * 2**80)
DENSE_NUMBERS = st.integers(0, 2**30).map(lambda i: 49_0173_1616_0000_0000_0000 * 10**34 + i)
SMALL_NUMBERS = st.integers(0, 2**30)


@given(
    st.sampled_from([AWS_NUMBERS, DENSE_NUMBERS, SMALL_NUMBERS]).flatmap(
        lambda numbers: st.lists(numbers, unique=True, min_size=2, max_size=6)
    )
)
def test_positions_of_unreadable_records_grow_with_any_spacing_of_sequence_numbers(numbers):
    stamps = [stamp_of(number) for number in sorted(numbers)]
    positions = [stamp.position for stamp in stamps]
    assert positions == sorted(set(positions))
    assert len({stamp.source_key for stamp in stamps}) == 1
    assert all(0 <= part < 2**63 for position in positions for part in position)


def test_unreadable_records_of_different_keys_and_shards_have_sources_of_their_own():
    keys = [*map(str, range(64)), "x", "y", "-1", "٣", str(2**40)]
    numbers = [int(sequence(0)) + shard * 2**150 for shard in range(8)]
    sources = {stamp_of(number, key).bucket for key in keys for number in numbers}
    assert len(sources) == len(keys) * len(numbers)
    assert all(-(2**31) <= bucket < 0 for bucket in sources)


def test_an_unreadable_record_is_cut_and_says_so_when_it_would_not_fit():
    data = b"\x09" * (MAX_RAW_BYTES + 1)
    stamped = unreadable_batch(Received("1", "0", data, T), [damaged(data)])
    assert len(stamped.records[0].raw) == MAX_RAW_BYTES
    assert f"first {MAX_RAW_BYTES} of {len(data)} bytes" in stamped.records[0].reason


def test_quarantine_is_durable_before_clean_when_clean_refuses():
    clean, quarantine = StreamInMemory(), StreamInMemory()
    clean.refuse_next()
    outcome = validate_records(received(batch(0, GOOD, BAD)), clean, quarantine)
    assert outcome.failed_from == 0
    assert "refused" in outcome.failure
    assert len(quarantine.records) == 1
    assert outcome.records == 0


def test_everything_is_handed_over_again_when_a_put_is_refused_and_comes_out_the_same():
    clean, quarantine = StreamInMemory(), StreamInMemory()
    given_ = received(*[batch(seq, GOOD, bucket=seq % 5) for seq in range(250)])
    clean.refuse_next(after=2)
    outcome = validate_records(given_, clean, quarantine)
    answer = batch_answer(given_, outcome.failed_from)
    assert answer == {"batchItemFailures": [{"itemIdentifier": sequence(0)}]}
    validate_records(given_[:100], clean, quarantine)
    validate_records(given_[100:], clean, quarantine)
    taken = {(b.bucket, b.seq) for b in first_occurrences(clean)}
    assert taken == {(seq % 5, seq) for seq in range(250)}


def first_occurrences(stream):
    """What a reader takes that skips positions at or before its watermark."""
    taken, last = [], {}
    for read in stream.batches():
        if read.position > last.get(read.source_key, (-1, -1)):
            taken.append(read)
            last[read.source_key] = read.position
    return taken


def test_the_event_of_kinesis_is_decoded_in_order():
    decoded = received_records(kinesis_event([("3", b"a"), ("4", b"b")]))
    assert [(r.key, r.data, r.sequence_number) for r in decoded] == [
        ("3", b"a", sequence(0)),
        ("4", b"b", sequence(1)),
    ]
    assert decoded[0].arrival_ns == 1_723_161_600_123_000_000


@pytest.mark.parametrize(
    "event", [{}, {"Records": [{"s3": {}}]}, {"Records": [{"kinesis": {"data": "%"}}]}]
)
def test_an_event_of_another_service_is_refused(event):
    with pytest.raises(InvalidData, match="expected Records"):
        received_records(event)


def noise(count, seed=1):
    """Letters that no compression makes much of."""
    return "".join(random.Random(seed).choices(string.ascii_letters, k=count))


def bad_records(count):
    numbers = random.Random(2)
    for n in range(count):
        ts = T + numbers.randrange(10**15)
        yield Quote(noise(60, n), ts, ts, -numbers.random(), *(numbers.random() for _ in range(3)))


def test_a_long_venue_in_the_stamp_never_makes_a_record_too_large_for_quarantine():
    stamped = Batch("live", noise(900_000) + "/", 5, 3, 0, T, [])
    data = encode_batch(stamped)
    _, _, quarantine = run_data(data)
    (record,) = quarantine.records
    assert len(record.data) <= MAX_OUTGOING_BYTES
    assert quarantine.batches()[0].records[0].raw == data


def test_the_whole_batch_is_kept_under_its_stamp_when_its_rejects_exceed_a_record():
    crowded = batch(0, GOOD, *bad_records(6_000))
    (record,) = received(crowded)
    assert len(record.data) < MAX_RAW_BYTES
    _, clean, quarantine = run(crowded)
    assert clean.batches() == [batch(0, GOOD)]
    (rejects,) = quarantine.batches()
    (whole,) = rejects.records
    assert (rejects.position, rejects.source_key) == (crowded.position, crowded.source_key)
    assert (whole.rule, whole.raw) == ("oversize", record.data)
    assert "6000 rejects of 6001 records" in whole.reason
    assert len(quarantine.records[0].data) <= MAX_OUTGOING_BYTES


def test_a_batch_is_kept_whole_when_what_passes_would_exceed_a_record():
    trades = [
        Trade("BTC/USD", T + n, T, n, *(random.Random(n).random() for _ in range(2)))
        for n in range(90_000)
    ]
    crowded = batch(0, BAD, *trades)
    body = zlib.compress(encode_batch(crowded, compress_above=2**40)[2:], 9)
    _, clean, quarantine = run_data(bytes((VERSION, FLAG_ZLIB)) + body)
    assert clean.records == []
    assert quarantine.batches()[0].records[0].rule == "oversize"


def test_rejects_fit_into_a_record_one_by_one_when_the_ingester_made_the_batch():
    limits = BatchLimits()
    batcher = Batcher("us", 1, 1, limits)
    batcher.add(list(bad_records(4_000)), T)
    (full,) = batcher.take(T, flush=True)
    assert len(full.records) < limits.max_records
    _, _, quarantine = run(full)
    (rejects,) = quarantine.batches()
    assert len(rejects.records) == len(full.records)
    assert len(encode_batch(rejects, compress_above=2**40)) <= MAX_OUTGOING_BYTES
