"""Validate, aggregate and deliver end with the same rows, whatever befalls them on the way."""

from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.functions.stores import StateInMemory
from tests.usecases.sharded import Crash, LakeInMemory, Mapping, ShardedStream
from tradelake.errors import Transient
from tradelake.market.records import Quote, Trade
from tradelake.ports import Outgoing
from tradelake.stream.aggregation import Rules
from tradelake.stream.envelope import Batch, encode_batches
from tradelake.usecases.aggregate import aggregate_records
from tradelake.usecases.deliver import deliver_records
from tradelake.usecases.validate import validate_records

S = 1_000_000_000
T = 1_723_075_200 * S
RULES = Rules(("1s", "1m"), 2 * S)
BUCKETS = 3


@dataclass
class Pipeline:
    """The three functions on sharded streams, in one process."""

    ticks: ShardedStream = field(default_factory=ShardedStream)
    clean: ShardedStream = field(default_factory=ShardedStream)
    quarantine: ShardedStream = field(default_factory=ShardedStream)
    bars: ShardedStream = field(default_factory=ShardedStream)
    states: StateInMemory = field(default_factory=StateInMemory)
    lake: LakeInMemory = field(default_factory=LakeInMemory)

    def __post_init__(self):
        self.streams = [self.ticks, self.clean, self.quarantine, self.bars]
        self.mappings = [
            Mapping(self.ticks, self._validate),
            Mapping(self.clean, self._aggregate),
            *(
                Mapping(stream, lambda given, name=name: self._deliver(name, given))
                for name, stream in (
                    ("clean", self.clean),
                    ("quarantine", self.quarantine),
                    ("bars", self.bars),
                )
            ),
        ]

    def _validate(self, received):
        return validate_records(received, self.clean, self.quarantine).failed_from

    def _aggregate(self, received):
        return aggregate_records(received, self.states, self.bars, RULES).failed_from

    def _deliver(self, stream, received):
        return deliver_records(stream, received, self.lake).failed_from

    def befall(self, mishap, which, part):
        """Arrange what the next invocations meet."""
        match mishap:
            case "put refused":
                self.streams[which % 4].refuse_after = part
            case "save refused":
                self.states.fail_saves = 1
            case "killed before save":
                self.states.before_save = crash
            case "killed between tables":
                self.lake.crash_after = part
            case "concurrent aggregate":
                self.states.before_save = self._again(self.mappings[1], which, part)
            case "concurrent deliver":
                self.lake.before_commit = self._again(self.mappings[2], which, part)

    def _again(self, mapping, which, part):
        records = mapping.seen_from_the_start(which, part + 1)

        def rival():
            with suppress(Crash):
                mapping.work(records)

        return rival

    def drain(self):
        """Let everything that is on the streams come to its end, undisturbed."""
        self.states.before_save, self.states.fail_saves = None, 0
        self.lake.before_commit = self.lake.crash_after = None
        for stream in self.streams:
            stream.refuse_after = None
        while sum(mapping.step(0, 100) for mapping in self.mappings):
            pass

    def outcome(self):
        """Rows of every table by identity, whatever the order they were written in."""
        return {name: dict(sorted(rows.items())) for name, rows in self.lake.rows.items()}


def crash():
    raise Crash


@st.composite
def raw_bundles(draw):
    """Records of the ticks stream: two ingesters, epochs that overlap, two lanes, bad records."""
    seqs = {}
    clock, trade_id = 0.0, 0
    batches = []
    for _ in range(draw(st.integers(3, 25))):
        bucket = draw(st.integers(0, BUCKETS - 1))
        lane = draw(st.sampled_from(["live", "live", "live", "backfill"]))
        origin = draw(st.sampled_from(["", "", "b"]))
        epoch = draw(st.sampled_from([1, 1, 2, 3]))
        clock += draw(st.sampled_from([0.0, 0.3, 1.0, 30.0]))
        symbol = f"S{bucket}{origin.upper()}/USD"
        records = []
        for _ in range(draw(st.integers(0, 3))):
            trade_id += draw(st.integers(0, 1))
            at = T + trade_id * S // 7
            price = draw(st.sampled_from([1.0, 2.5, -1.0]))
            records.append(
                Trade(symbol, at, at, trade_id, price, 0.5)
                if draw(st.booleans())
                else Quote(symbol, at, at, price, 1.0, 3.0, 1.0, trade_id)
            )
        source = (lane, origin, epoch, bucket)
        seqs[source] = seqs.get(source, -1) + 1
        batches.append(
            Batch(lane, "us", epoch, bucket, seqs[source], T + round(clock * S), records, origin)
        )
    return [Outgoing(str(b.bucket), encode_batches([b])) for b in batches] + [
        Outgoing("0", encode_batches([b for b in batches if b.bucket == 0][-3:] or batches[-1:])),
        Outgoing("1", b"no batch"),
    ]


MISHAPS = (
    "put refused",
    "save refused",
    "killed before save",
    "killed between tables",
    "concurrent aggregate",
    "concurrent deliver",
)
ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 6), st.integers(0, 2)),
    st.tuples(st.just("split"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("merge"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("step"), st.integers(0, 4), st.integers(0, 5)),
    st.tuples(st.just("step"), st.integers(0, 4), st.integers(0, 5)),
    st.tuples(st.just("replay"), st.integers(0, 4), st.integers(0, 5)),
    st.tuples(st.sampled_from(MISHAPS), st.integers(0, 5), st.integers(0, 3)),
)


def straight(raw):
    """What comes of the records when they are worked on in order, undisturbed."""
    pipeline = Pipeline()
    pipeline.ticks.put(raw)
    pipeline.drain()
    return pipeline.outcome()


def disturbed(raw, actions):
    """What comes of them when all this happens meanwhile; what is re-sent follows itself."""
    pipeline = Pipeline()
    sent = 0
    for action, first, second in actions:
        match action:
            case "send":
                again = max(0, sent - second)
                with suppress(Transient):
                    pipeline.ticks.put(raw[again : sent + first])
                    sent = min(len(raw), sent + first)
            case "split":
                pipeline.streams[first].split(second)
            case "merge":
                pipeline.streams[first].merge(second)
            case "step":
                pipeline.mappings[first].step(second, 1 + second)
            case "replay":
                pipeline.mappings[first].replay(second)
            case mishap:
                pipeline.befall(mishap, first, second)
    pipeline.ticks.refuse_after = None
    pipeline.ticks.put(raw[sent:])
    pipeline.drain()
    return pipeline.outcome()


def without_receipt(outcome):
    """Rows without what tells which Kinesis record an unreadable one came in: a re-sent is new."""
    rows = {name: dict(found) for name, found in outcome.items()}
    kept = rows.pop("quarantine", {})
    rejected = {
        (row["venue"], row["rule"], row["raw"], row["epoch"] if row["bucket"] >= 0 else 0)
        for row in kept.values()
    }
    return rows, rejected


@settings(max_examples=25, deadline=None)
@given(raw_bundles(), st.lists(ACTIONS, max_size=30))
def test_rows_and_bars_are_the_same_whatever_befalls_streams_and_functions(raw, actions):
    assert without_receipt(disturbed(raw, actions)) == without_receipt(straight(raw))


@settings(max_examples=10, deadline=None)
@given(raw_bundles())
def test_bars_are_of_the_live_lane_and_what_is_bad_is_in_quarantine(raw):
    pipeline = Pipeline()
    pipeline.ticks.put(raw)
    pipeline.drain()
    rows = pipeline.outcome()
    assert all(bar["lane"] == "live" for bar in rows.get("bars", {}).values())
    assert all(row["price"] > 0 for row in rows.get("trades", {}).values())
    assert any(row["raw"] == b"no batch" for row in rows["quarantine"].values())
