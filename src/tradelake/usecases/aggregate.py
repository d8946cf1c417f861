"""Build bars from clean trades, exactly once: load the state, apply, emit, then commit.

**Which stamp a batch of bars carries, and why no crash or cut can lose or double a bar.** The
aggregator is a fold in the order of the stream: what it returns for batch p depends on the batches
before p alone, repeats left out. All bars of
batch p, and only those, go out in one batch of bars with p's own stamp. So "the bars at p" is a
function of the clean stream, whoever computes it, how often, and however an invocation was cut.
Three things follow.

1. *Nothing is lost.* A state at position c is saved only after every batch of bars up to c was put.
   Whoever works from it puts c+1, c+2, ... in order, from the same input. So at any moment the
   positions that were put are all those up to some p, also when two invocations overlap (a
   time-out's zombie beside its successor): each writes upwards from a position up to which
   everything was put. A reader that takes positions only upwards therefore never meets one that it
   should have taken earlier. A writer that fails half-way leaves no holes
   (:class:`tradelake.ports.StreamWriter`). Where epochs interleave (a replaced leader still
   writes), "upwards" is said of each epoch by itself: within one, ``seq`` grows along the stream,
   and the aggregator as well as every reader keeps a position for each.
2. *Nothing is doubled.* What is put again has the stamp and the content of the first time; a reader
   skips positions at or before its watermark. A reader without one still sees equal identities,
   since the revision follows from the number of trades.
3. *The state is never wrong.* Saving names the version that was loaded. Whoever lost the race gets
   ``Conflict``, loads what the winner saved, finds part or all of its batches to be repeats, and
   goes on with the rest.

If bars of several clean batches were merged into one batch of bars, its content would depend on the
cut: after a crash between emit and commit, a different cut could bring bars under a stamp that a
reader has passed, and they would be lost. So batches of bars stay apart; all of a bucket and an
invocation travel in one record, which readers take apart again.

**The live lane alone.** Trades that were fetched to fill a gap come in their own lane, long after
the bars of their time: those bars are rebuilt from the lake when it has them. Batches of other
lanes are counted and passed over.

**Nothing blocks a shard for good.** A state that cannot be decoded is put aside under
``ASIDE`` and the source begins afresh: bars that were open become partial, and a rebuild from the
lake puts them right. A batch the aggregator cannot take in counts as one without records. A state
that outgrows ``MAX_STATE_BYTES`` forgets the older half of the trades it knows, as often as
needed; where that is not enough, the source begins afresh too. Bars of one batch that exceed a
record together lose the timeframe that has most of them. Each is counted, and its reason is in
``failures``; the trades themselves are in the lake, whatever happens here.

A change of rules takes effect at the next batch; it is the one thing outside the fold, so deploy it
on a drained source if the batches in flight matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from tradelake.errors import Conflict, InvalidData, Transient
from tradelake.market.records import Bar, Record
from tradelake.ports import Clock, Received, StateStore, StreamWriter, Versioned
from tradelake.stream.aggregation import Aggregator, Counts, Rules
from tradelake.stream.aggregation_state import decode_state, encode_state
from tradelake.stream.envelope import Batch, open_bundle
from tradelake.topology.functions import AGGREGATE
from tradelake.usecases.bundles import Bundles
from tradelake.usecases.latency import UNMEASURED, Percentiles, Receipts

CONSUMER: Final = AGGREGATE.name
ASIDE: Final = f"{AGGREGATE.name}-aside"
"""Consumer under which a state that cannot be decoded is kept, by source and version."""
LANE: Final = "live"
MAX_STATE_BYTES: Final = 380_000
"""An item of DynamoDB holds 400 KB, keys and names included."""
ROUNDS: Final = 5
"""How often a source is tried when somebody else keeps saving its state."""


class Aggregated(msgspec.Struct, kw_only=True):
    """Counts of one invocation; ``failed_from`` is the first record to be handed over again.

    ``latency_ms`` is from our receipt of a trade until the bars it closed are on their stream.
    """

    counts: Counts = msgspec.field(default_factory=Counts)
    unreadable: int = 0
    refused: int = 0
    bars_dropped: int = 0
    states_shrunk: int = 0
    states_lost: int = 0
    conflicts: int = 0
    failures: list[str] = msgspec.field(default_factory=list)
    latency_ms: Percentiles = UNMEASURED
    failed_from: int | None = None
    failure: str = ""

    def fail(self, index: int, why: str) -> None:
        """Note that the record at ``index`` and later ones are to be handed over again."""
        self.failed_from = index if self.failed_from is None else min(index, self.failed_from)
        self.failure = why


class _Work(msgspec.Struct):
    """One source's batches in this invocation, and where the first stands among all records."""

    key: str
    first_index: int
    batches: list[Batch]


class _Applied(msgspec.Struct):
    work: _Work
    aggregator: Aggregator
    version: int
    made: list[Batch]


def aggregate_records(
    received: Sequence[Received],
    states: StateStore,
    bars: StreamWriter,
    rules: Rules,
    clock: Clock | None = None,
) -> Aggregated:
    """Aggregate records of the clean stream; each source's state is loaded and saved once.

    Parameters
    ----------
    received : sequence of Received
        As read from the stream; records of equal key in order. What is no batch, a record or a part
        of one, is counted and passed over: ``validate`` has put everything unreadable into
        quarantine before it could come here.
    states : StateStore
        Holds one state for each source.
    bars : StreamWriter
        Where bars go, under the key ``str(bucket)``.
    rules : Rules
        Timeframes and lateness.
    clock : Clock or None
        Of the time since the receipt; None: it is not measured.
    """
    outcome, receipts = Aggregated(), Receipts()
    for work in _aggregate(_by_source(received, outcome), states, bars, rules, outcome):
        for batch in work.batches:
            receipts.add(batch)
    outcome.latency_ms = receipts.elapsed(clock)
    return outcome


def _aggregate(
    pending: list[_Work],
    states: StateStore,
    bars: StreamWriter,
    rules: Rules,
    outcome: Aggregated,
) -> list[_Work]:
    """Return the sources whose bars were put and whose state was saved."""
    finished: list[_Work] = []
    for _ in range(ROUNDS):
        applied = [done for work in pending if (done := _apply(work, states, rules, outcome))]
        if not _put(applied, bars, outcome):
            return finished
        pending = []
        for done in applied:
            saved = _commit(done, states, outcome)
            (finished if saved else pending).append(done.work)
        if not pending:
            return finished
        outcome.conflicts += len(pending)
    for work in pending:
        outcome.fail(work.first_index, f"{work.key}: state was saved by others {ROUNDS} times")
    return finished


def _by_source(received: Sequence[Received], outcome: Aggregated) -> list[_Work]:
    sources: dict[str, _Work] = {}
    for index, record in enumerate(received):
        try:
            parts = open_bundle(record.data).parts
        except InvalidData:
            outcome.unreadable += 1
            continue
        for part in parts:
            if not isinstance(part, Batch):
                outcome.unreadable += 1
            elif part.lane != LANE:
                outcome.counts.batches += 1
                outcome.counts.other_lanes += 1
            else:
                key = part.source_key
                sources.setdefault(key, _Work(key, index, [])).batches.append(part)
    return list(sources.values())


def _apply(work: _Work, states: StateStore, rules: Rules, outcome: Aggregated) -> _Applied | None:
    try:
        stored = states.load(CONSUMER, work.key)
    except Transient as error:
        outcome.fail(work.first_index, str(error))
        return None
    try:
        aggregator, made = _fold(work, stored, rules, states, outcome)
    except Transient as error:
        outcome.fail(work.first_index, str(error))
        return None
    return _Applied(work, aggregator, 0 if stored is None else stored.version, made)


def _fold(
    work: _Work, stored: Versioned | None, rules: Rules, states: StateStore, outcome: Aggregated
) -> tuple[Aggregator, list[Batch]]:
    """Return the aggregator after the source's batches, and the batches of bars it made.

    A batch it cannot take in may have changed it by half, so the work begins again without that
    batch's records.
    """
    refused: set[int] = set()
    readable = _readable(work.key, stored, rules, states, outcome)
    while True:
        aggregator = Aggregator(rules) if readable is None else decode_state(readable, rules)
        made: list[Batch] = []
        for index, batch in enumerate(work.batches):
            given = msgspec.structs.replace(batch, records=[]) if index in refused else batch
            try:
                bars = aggregator.apply(given)
            except (InvalidData, ArithmeticError, ValueError) as error:
                if index in refused:
                    raise
                refused.add(index)
                outcome.refused += 1
                outcome.failures.append(f"{work.key} {batch.position}: {error}")
                break
            if bars:
                made.append(msgspec.structs.replace(batch, records=list(bars)))
        else:
            return aggregator, made


def _readable(
    key: str, stored: Versioned | None, rules: Rules, states: StateStore, outcome: Aggregated
) -> bytes | None:
    """Return the stored state; None where there is none, or none that can be decoded."""
    if stored is None:
        return None
    try:
        decode_state(stored.value, rules)
    except InvalidData as error:
        with suppress(Conflict):
            states.save(ASIDE, f"{key}/{stored.version}", stored.value, 0)
        outcome.states_lost += 1
        outcome.failures.append(f"{key}: {error}; put aside as {ASIDE} {key}/{stored.version}")
        return None
    return stored.value


def _put(applied: Sequence[_Applied], bars: StreamWriter, outcome: Aggregated) -> bool:
    bundles = Bundles()
    for done in applied:
        for batch in done.made:
            _add_bars(bundles, batch, outcome)
    outgoing = bundles.outgoing()
    try:
        if outgoing:
            bars.put(outgoing)
    except Transient as error:
        for done in applied:
            outcome.fail(done.work.first_index, str(error))
        return False
    return True


def _add_bars(bundles: Bundles, batch: Batch, outcome: Aggregated) -> None:
    """Add a batch of bars; where it exceeds a record, without the timeframe that has most."""
    try:
        bundles.add_batch(batch)
    except InvalidData as error:
        bars = [bar for bar in batch.records if isinstance(bar, Bar)]
        ((crowd, count),) = Counter(bar.timeframe for bar in bars).most_common(1)
        outcome.bars_dropped += count
        outcome.failures.append(f"{error}; left out {count} bars of {crowd}")
        rest: list[Record] = [bar for bar in bars if bar.timeframe != crowd]
        _add_bars(bundles, msgspec.structs.replace(batch, records=rest), outcome)


def _commit(done: _Applied, states: StateStore, outcome: Aggregated) -> bool:
    """Save a source's state; returns False when somebody else saved it since."""
    counts = done.aggregator.counts
    if done.aggregator.applied:
        value = _fitting(done, outcome)
        try:
            states.save(CONSUMER, done.work.key, value, done.version)
        except Conflict:
            return False
        except Transient as error:
            outcome.fail(done.work.first_index, str(error))
            return True
    for name in Counts.__struct_fields__:
        made = getattr(counts, name)
        setattr(outcome.counts, name, getattr(outcome.counts, name) + made)
    return True


def _fitting(done: _Applied, outcome: Aggregated) -> bytes:
    """Return the state's bytes; beyond ``MAX_STATE_BYTES`` it forgets trades, then everything."""
    aggregator = done.aggregator
    value = encode_state(aggregator)
    if len(value) <= MAX_STATE_BYTES:
        return value
    outcome.failures.append(
        f"{done.work.key}: {len(value)} bytes of state, at most {MAX_STATE_BYTES} fit"
    )
    while len(value) > MAX_STATE_BYTES and (known := aggregator.recent.kept()):
        times = sorted(ts_ns for _, ts_ns, _ in known)
        aggregator.recent.raise_horizon(times[len(times) // 2] + 1)
        value = encode_state(aggregator)
        outcome.states_shrunk += 1
    if len(value) > MAX_STATE_BYTES:
        value = encode_state(Aggregator(aggregator.rules))
        outcome.states_lost += 1
    return value
