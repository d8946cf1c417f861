"""Build bars from clean trades, exactly once: load the state, apply, emit, then commit.

**Which stamp a batch of bars carries, and why no crash or cut can lose or double a bar.** The
aggregator is a fold: what it returns for batch p depends on the batches up to p alone. All bars of
batch p, and only those, go out in one batch of bars with p's own stamp. So "the bars at p" is a
function of the clean stream, whoever computes it, how often, and however an invocation was cut.
Three things follow.

1. *Nothing is lost.* A state at position c is saved only after every batch of bars up to c was put.
   Whoever works from it puts c+1, c+2, ... in order, from the same input. So at any moment the
   positions that were put are all those up to some p, also when two invocations overlap (a
   time-out's zombie beside its successor): each writes upwards from a position up to which
   everything was put. A reader that takes positions only upwards therefore never meets one that it
   should have taken earlier. A writer that fails half-way leaves no holes
   (:class:`tradelake.ports.StreamWriter`).
2. *Nothing is doubled.* What is put again has the stamp and the content of the first time; a reader
   skips positions at or before its watermark. A reader without one still sees equal identities,
   since the revision is the number of trades.
3. *The state is never wrong.* Saving names the version that was loaded. Whoever lost the race gets
   ``Conflict``, loads what the winner saved, finds part or all of its batches to be repeats, and
   goes on with the rest.

If bars of several clean batches were merged into one batch of bars, its content would depend on the
cut: after a crash between emit and commit, a different cut could bring bars under a stamp that a
reader has passed, and they would be lost.

A change of rules takes effect at the next batch; it is the one thing outside the fold, so deploy it
on a drained source if the batches in flight matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tradelake.errors import Conflict, InvalidData, Transient
from tradelake.ports import Outgoing, Received, StateStore, StreamWriter
from tradelake.stream.aggregation import Aggregator, Counts, Rules
from tradelake.stream.aggregation_state import decode_state, encode_state
from tradelake.stream.envelope import Batch, decode_batch, encode_batch
from tradelake.topology.functions import AGGREGATE

CONSUMER: Final = AGGREGATE.name
ROUNDS: Final = 5
"""How often a source is tried when somebody else keeps saving its state."""


class Aggregated(msgspec.Struct, kw_only=True):
    """Counts of one invocation; ``failed_from`` is the first record to be handed over again."""

    counts: Counts = msgspec.field(default_factory=Counts)
    unreadable: int = 0
    conflicts: int = 0
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
    outgoing: list[Outgoing]
    advanced: bool


def aggregate_records(
    received: Sequence[Received], states: StateStore, bars: StreamWriter, rules: Rules
) -> Aggregated:
    """Aggregate records of the clean stream; each source's state is loaded and saved once.

    Parameters
    ----------
    received : sequence of Received
        As read from the stream; records of equal key in order. A record that is no batch is counted
        and passed over: ``validate`` has put everything unreadable into quarantine before it could
        come here.
    states : StateStore
        Holds one state for each source.
    bars : StreamWriter
        Where bars go, under the key ``str(bucket)``.
    rules : Rules
        Timeframes and lateness.
    """
    outcome = Aggregated()
    pending = _by_source(received, outcome)
    for _ in range(ROUNDS):
        applied = [done for work in pending if (done := _apply(work, states, rules, outcome))]
        if not _put(applied, bars, outcome):
            return outcome
        pending = [done.work for done in applied if not _commit(done, states, outcome)]
        if not pending:
            return outcome
        outcome.conflicts += len(pending)
    for work in pending:
        outcome.fail(work.first_index, f"{work.key}: state was saved by others {ROUNDS} times")
    return outcome


def _by_source(received: Sequence[Received], outcome: Aggregated) -> list[_Work]:
    sources: dict[str, _Work] = {}
    for index, record in enumerate(received):
        try:
            batch = decode_batch(record.data)
        except InvalidData:
            outcome.unreadable += 1
            continue
        key = batch.source_key
        sources.setdefault(key, _Work(key, index, [])).batches.append(batch)
    return list(sources.values())


def _apply(work: _Work, states: StateStore, rules: Rules, outcome: Aggregated) -> _Applied | None:
    try:
        stored = states.load(CONSUMER, work.key)
    except Transient as error:
        outcome.fail(work.first_index, str(error))
        return None
    aggregator = Aggregator(rules) if stored is None else decode_state(stored.value, rules)
    before = aggregator.position
    outgoing = []
    for batch in work.batches:
        made = aggregator.apply(batch)
        if made:
            stamped = msgspec.structs.replace(batch, records=list(made))
            outgoing.append(Outgoing(str(batch.bucket), encode_batch(stamped)))
    version = 0 if stored is None else stored.version
    return _Applied(work, aggregator, version, outgoing, aggregator.position != before)


def _put(applied: Sequence[_Applied], bars: StreamWriter, outcome: Aggregated) -> bool:
    outgoing = [record for done in applied for record in done.outgoing]
    try:
        if outgoing:
            bars.put(outgoing)
    except Transient as error:
        for done in applied:
            outcome.fail(done.work.first_index, str(error))
        return False
    return True


def _commit(done: _Applied, states: StateStore, outcome: Aggregated) -> bool:
    """Save a source's state; returns False when somebody else saved it since."""
    if done.advanced:
        try:
            states.save(CONSUMER, done.work.key, encode_state(done.aggregator), done.version)
        except Conflict:
            return False
        except Transient as error:
            outcome.fail(done.work.first_index, str(error))
            return True
    for name in Counts.__struct_fields__:
        made = getattr(done.aggregator.counts, name)
        setattr(outcome.counts, name, getattr(outcome.counts, name) + made)
    return True
