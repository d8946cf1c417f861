"""Replay of quarantine: what a mended decoder or threshold lets pass comes to the lake, once."""

import msgspec
import pytest

from tests.functions.kinesis import StreamInMemory, sequence
from tradelake.errors import ConfigError, Transient
from tradelake.lake.audit import LakeAuditor
from tradelake.lake.quarantine import LakeQuarantine
from tradelake.lake.reader import LakeReader
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Bar, Quote, Rejected, Trade, Unreadable
from tradelake.ports import Fence, Received
from tradelake.stream.envelope import Batch, decode_batches, encode_batch, encode_record
from tradelake.stream.thresholds import DEFAULT_RULES, load_rules
from tradelake.usecases.reconcile import reconcile
from tradelake.usecases.replay_quarantine import Quarantined, Replay, Selection, revive
from tradelake.usecases.validate import validate_records

T = 1_723_161_600_000_000_000
STRICT = load_rules('{"defaults": {"largest": 1000}}')


class Epochs:
    def __init__(self):
        self.handed = []

    def next_fence(self, name):
        self.handed.append(name)
        return Fence(len(self.handed), None)

    def note_durable(self, name, epoch, durable_ns):
        raise AssertionError


class World:
    """A lake, and what lies before it: validate and deliver, with the rules that hold now."""

    def __init__(self, catalog):
        self.writer = IcebergWriter(catalog)
        self.reader = LakeReader(catalog)
        self.lake = LakeQuarantine(self.reader)
        self.rules = STRICT
        self.backfill = StreamInMemory()
        self.epochs = Epochs()
        self.count = 0

    def receive(self, *batches):
        self.validate([encode_batch(batch) for batch in batches])

    def validate(self, payloads):
        clean, quarantine = StreamInMemory(), StreamInMemory()
        received = []
        for data in payloads:
            self.count += 1
            received.append(Received(sequence(self.count), "3", data, T))
        validate_records(received, clean, quarantine, self.rules)
        for name, stream in (("quarantine", quarantine), ("clean", clean)):
            self.writer.deliver(
                name, [b for one in stream.records for b in decode_batches(one.data)]
            )

    def replay(self, dry_run=False, **selection):
        self.backfill.records.clear()
        replay = Replay(self.lake, self.backfill, self.epochs, self.rules)
        outcome = replay.run(Selection(**selection), dry_run=dry_run)
        self.validate([record.data for record in self.backfill.records])
        return outcome

    def trades(self):
        rows = self.reader.sql("SELECT trade_id, ts_ingest_ns, lane FROM trades ORDER BY trade_id")
        return [tuple(row.values()) for row in rows.to_pylist()]

    def account(self, sent):
        lines = reconcile(sent, LakeAuditor(self.reader), {})
        return {(line.channel, line.symbol): line for line in lines}


@pytest.fixture
def world(catalog):
    return World(catalog)


def batch(seq, *records, lane="live"):
    return Batch(lane, "us", 5, 3, seq, T, list(records))


def trade(n, price=100.0):
    return Trade("BTC/USD", T + n, T + n + 7, n, price, 1.0)


def test_a_record_comes_to_the_lake_when_the_threshold_that_rejected_it_was_raised(world):
    world.receive(batch(0, trade(1), trade(2, 5_000.0), trade(3, -1.0)))
    assert world.replay().failing == {"too_large": 1, "price_not_positive": 1}
    assert world.epochs.handed == []
    world.rules = DEFAULT_RULES
    assert world.replay(dry_run=True).sent == {"too_large": 1}
    assert [one for one, *_ in world.trades()] == [1]
    outcome = world.replay()
    assert (outcome.rows, outcome.sent, outcome.stored) == (2, {"too_large": 1}, 0)
    assert outcome.failing == {"price_not_positive": 1}
    assert world.epochs.handed == ["replay/us"]
    assert world.trades() == [(1, T + 8, "live"), (2, T + 9, "backfill")]
    again = world.replay()
    assert (again.sent, again.stored, again.batches) == ({}, 1, 0)
    assert len(world.trades()) == 2


def test_a_point_is_accounted_for_once_before_and_after_its_replay(world):
    key = ("trades", "BTC/USD")
    world.receive(batch(0, trade(1), trade(2, 5_000.0), trade(3, -1.0)))
    before = world.account({key: 3})[key]
    assert (before.stored, before.quarantined, before.balanced) == (1, 2, True)
    world.rules = DEFAULT_RULES
    world.replay()
    after = world.account({key: 3})[key]
    assert (after.stored, after.quarantined, after.doubled) == (2, 1, 0)
    assert after.balanced


def test_a_point_rejected_in_two_lanes_or_sent_twice_is_accounted_for_as_often_as_it_was_sent(
    world,
):
    key = ("trades", "BTC/USD")
    bad = trade(2, 5_000.0)
    world.receive(batch(0, bad, bad), batch(0, bad, trade(4, 6_000.0), lane="backfill"))
    assert world.account({key: 3})[key].quarantined == 3
    world.rules = DEFAULT_RULES
    world.replay()
    after = world.account({key: 3})[key]
    assert (after.stored, after.quarantined, after.balanced) == (2, 1, True)


def test_a_message_comes_to_the_lake_when_the_decoder_was_mended(world):
    time = "2024-08-09T00:00:00Z"
    message = {"T": "t", "S": "BTC/USD", "i": 7, "p": 1.0, "s": 2.0, "t": time, "tks": "B"}
    texts = [
        msgspec.json.encode(message),
        msgspec.msgpack.encode(message | {"i": 8}),
        msgspec.json.encode([message | {"i": 9}]),
        msgspec.msgpack.encode([message | {"i": 10}]),
        b"\xc1nothing",
        b"",
        b'{"T":"success","msg":"connected"}',
    ]
    world.receive(batch(0, *[Unreadable("", T, "trades", "no", text) for text in texts]))
    outcome = world.replay()
    assert outcome.sent == {"unreadable": 4}
    assert outcome.failing == {"unreadable": 3}
    assert [one for one, *_ in world.trades()] == [7, 8, 9, 10]


def test_a_whole_micro_batch_comes_to_the_lake_when_it_can_be_opened(world):
    inner = encode_batch(batch(9, trade(1), trade(2)))
    broken = Rejected("", 0, T, "unknown", "envelope", "no", inner, 0)
    world.receive(batch(0, broken))
    assert world.replay().sent == {"envelope": 2}
    assert len(world.trades()) == 2
    assert world.account({("trades", "BTC/USD"): 2})[("trades", "BTC/USD")].balanced


def test_records_of_transforms_are_left_alone_and_are_no_missing_points(world):
    world.receive(batch(0, trade(1)))
    exploded = Rejected(
        "BTC/USD", T, T, "derived", "transform:mine", "no", encode_record(trade(1)), -1
    )
    world.writer.deliver("quarantine", [Batch("live", "us", 5, 3, 0, T, [exploded], "transform")])
    outcome = world.replay()
    assert (outcome.rows, outcome.skipped, outcome.sent, outcome.failing) == (1, 1, {}, {})
    account = world.account({("trades", "BTC/USD"): 1})
    assert all(line.balanced for line in account.values())


def test_a_selection_narrows_by_rule_symbol_receipt_and_number(world):
    other = msgspec.structs.replace(trade(5, 5_000.0), symbol="ETH'/USD")
    world.receive(batch(0, trade(1, 5_000.0), trade(2, -1.0), other))
    assert [row.rule for row in world.lake.rows(Selection(rule="too_large"))] == ["too_large"]
    assert [row.symbol for row in world.lake.rows(Selection(symbol="ETH'/USD"))] == ["ETH'/USD"]
    assert len(list(world.lake.rows(Selection(since_ns=T + 9)))) == 2
    assert len(list(world.lake.rows(Selection(limit=1)))) == 1
    assert list(world.lake.rows(Selection(rule="'; SELECT 1"))) == []


def test_nothing_is_found_when_quarantine_is_empty(world):
    assert world.replay().rows == 0
    assert LakeAuditor(world.reader).quarantined() == {}


def test_a_replay_that_was_cut_short_is_finished_by_the_next(world):
    world.receive(batch(0, trade(1, 5_000.0), trade(2, 6_000.0)))
    world.rules = DEFAULT_RULES
    world.backfill.refuse_next()
    with pytest.raises(Transient):
        world.replay()
    assert world.replay().sent == {"too_large": 2}
    assert [
        batch.epoch for one in world.backfill.records for batch in decode_batches(one.data)
    ] == [2]
    assert len(world.trades()) == 2


def test_the_batches_of_a_replay_are_a_source_of_their_own(world):
    world.receive(batch(0, trade(1, 5_000.0)))
    world.rules = DEFAULT_RULES
    world.replay()
    ((sent,),) = [decode_batches(one.data) for one in world.backfill.records]
    assert sent.source_key.startswith("backfill/us~replay/")
    assert sent.records == [trade(1, 5_000.0)]


@pytest.mark.parametrize(
    "record",
    [
        Quote("BTC/USD", T, T, 2_000.0, 1.0, 2_001.0, 1.0),
        Bar("BTC/USD", T, T, 2e3, 2e3, 2e3, 2e3, 1, 2e3, 1, "1m", "alpaca", "bars", 5),
    ],
)
def test_other_kinds_are_replayed_and_accounted_for_too(world, record):
    world.receive(batch(0, record))
    world.rules = DEFAULT_RULES
    assert world.replay().sent == {"too_large": 1}
    assert world.replay().stored == 1
    channel = "quotes" if isinstance(record, Quote) else "bars"
    assert world.account({(channel, "BTC/USD"): 1})[(channel, "BTC/USD")].balanced


def test_a_row_is_named_by_where_it_was():
    row = Quarantined("us", "A", "trades", T, T, "r", "why", b"", "live", 1, 2, 3, 4)
    assert row.key == "us/live/1/2/3/4"
    with pytest.raises(Exception, match="record"):
        revive(row)


def test_since_is_refused_when_it_is_no_time():
    from tradelake.commands.quarantine import _ns

    assert _ns("2024-08-09T00:00:00Z") == 1_723_161_600 * 10**9 == _ns("2024-08-09")
    with pytest.raises(ConfigError, match="--since"):
        _ns("yesterday")
