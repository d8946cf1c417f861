"""Apply the quality rules to micro-batches: pass on to clean, or to quarantine.

Every batch that comes in goes out on clean with the same stamp and order, less what was rejected
(it may be empty then: its watermark still counts). What was rejected goes out on quarantine in a
batch with the same stamp. Lanes pass alike: what was fetched to fill gaps keeps its own stamp.

**One bundle a bucket.** All batches of a bucket of one invocation go out in one record, or in as
few as they fit into, so that a put is one request for each stream. A record that nothing was taken
from goes on byte for byte, alone or joined to others, without being encoded again.

**Quarantine first, then clean.** Neither order can lose or double: what was not answered for is
handed over again, the rules are pure, so the same batches come out again under the same stamps, and
readers skip those they have, however they are bundled the second time. Putting quarantine first
adds an invariant that an audit can use: whoever sees position p on clean can rely on the rejects of
p being durable, so sent = stored + quarantined holds at every position of clean.

**What is no batch at all**, a record or one batch of a bundle, becomes a ``Rejected`` with the raw
bytes, in a source of its own (see :mod:`tradelake.usecases.unreadable`). It never holds up the
stream, nor its neighbours in the bundle.

**What comes out must fit into a record.** The ingester leaves room for a batch of which everything
is rejected (:func:`tradelake.usecases.ingest.estimated_size`). Where another producer did not and
the rejects of a batch exceed a record together, one ``Rejected`` under rule ``oversize`` and the
batch's stamp carries the micro-batch as it came; what passes goes on as ever. A batch whose clean
part alone exceeds a record is treated like one that is no batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeGuard

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.market.records import Record, Rejected, Unreadable, channel_of
from tradelake.ports import Clock, Received, StreamWriter
from tradelake.stream.envelope import (
    Batch,
    Damaged,
    encode_batch,
    encode_record,
    open_bundle,
)
from tradelake.stream.quality import Reject, findings, first_reject, suspects
from tradelake.stream.thresholds import DEFAULT_RULES, QualityRules, SymbolThresholds
from tradelake.usecases.bundles import Bundles
from tradelake.usecases.latency import UNMEASURED, Percentiles, Receipts
from tradelake.usecases.unreadable import unreadable_batch, where_of, whole

_INT64: Final = 2**63


class Validated(msgspec.Struct, kw_only=True):
    """Counts of one invocation; ``failed_from`` is the first record to be handed over again.

    ``latency_ms`` is from our receipt until what passes is on clean.
    """

    bundles: int = 0
    batches: int = 0
    records: int = 0
    clean: int = 0
    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    flagged: dict[str, int] = msgspec.field(default_factory=dict)
    latency_ms: Percentiles = UNMEASURED
    failed_from: int | None = None
    failure: str = ""


class _Divided(msgspec.Struct, frozen=True):
    """A batch as it came, what passes of it, its rejects, and flags by rule."""

    batch: Batch
    passed: Batch
    rejects: Batch
    flagged: Counter[str]


class _Work:
    """What becomes of an invocation's records, and the counts of it."""

    def __init__(self, rules: QualityRules) -> None:
        self._rules = rules
        self._of_venue: dict[str, SymbolThresholds] = {}
        self.clean = Bundles()
        self.quarantine = Bundles()
        self.batches = 0
        self.records = 0
        self.rejected: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()
        self.receipts = Receipts()

    def add(self, received: Received) -> None:
        """Divide one record of the stream."""
        try:
            bundle = open_bundle(received.data)
        except InvalidData as error:
            self._add_unreadable(received, [Damaged(0, received.data, error)])
            return
        parts = [
            part
            if isinstance(part, Damaged)
            else _Divided(part, *divide_batch(part, self._thresholds(part.venue)))
            for part in bundle.parts
        ]
        unchanged = [part for part in parts if _is_unchanged(part)]
        buckets = {part.batch.bucket for part in unchanged}
        if len(unchanged) == len(parts) and len(buckets) == 1:
            self.clean.add(buckets.pop(), bundle.content, encoded=received.data)
            for one in unchanged:
                self._count(one)
            return
        damaged: list[Damaged] = []
        for index, part in enumerate(parts):
            if isinstance(part, Damaged):
                damaged.append(part)
                continue
            try:
                self.clean.add_batch(part.passed)
            except InvalidData as error:
                damaged.append(Damaged(index, encode_batch(part.batch), error))
                continue
            self._count(part)
            self._add_rejects(part, received, index)
        if damaged:
            self._add_unreadable(received, damaged)

    def _thresholds(self, venue: str) -> SymbolThresholds:
        found = self._of_venue.get(venue)
        if found is None:
            found = self._of_venue[venue] = self._rules.of_venue(venue)
        return found

    def _count(self, part: _Divided) -> None:
        self.batches += 1
        self.records += len(part.batch.records)
        self.flagged.update(part.flagged)
        self.receipts.add(part.batch)

    def _add_rejects(self, part: _Divided, received: Received, index: int) -> None:
        if not part.rejects.records:
            return
        rules = Counter(one.rule for one in part.rejects.records if isinstance(one, Rejected))
        self.rejected.update(rules)
        try:
            self.quarantine.add_batch(part.rejects)
        except InvalidData:
            reason = f"{len(part.rejects.records)} rejects of {len(part.batch.records)} records"
            error = InvalidData("oversize", f"{reason}: {dict(rules)}")
            came = Damaged(index, encode_batch(part.batch), error)
            alone = whole(came, where_of(received), received.arrival_ns)
            self.quarantine.add_batch(msgspec.structs.replace(part.rejects, records=[alone]))

    def _add_unreadable(self, received: Received, damaged: Sequence[Damaged]) -> None:
        bad = unreadable_batch(received, damaged)
        self.records += len(bad.records)
        self.rejected.update(one.rule for one in bad.records if isinstance(one, Rejected))
        self.quarantine.add_batch(bad)


def validate_records(
    received: Sequence[Received],
    clean: StreamWriter,
    quarantine: StreamWriter,
    rules: QualityRules = DEFAULT_RULES,
    clock: Clock | None = None,
) -> Validated:
    """Validate records of a stream of raw batches and pass them on; returns counts.

    Parameters
    ----------
    received : sequence of Received
        As read from the stream; records of equal key in order.
    clean, quarantine : StreamWriter
        Where bundles go, under the key ``str(bucket)``; one put each.
    rules : QualityRules
        Thresholds by venue and symbol.
    clock : Clock or None
        Of the time since the receipt; None: it is not measured.
    """
    work = _Work(rules)
    for record in received:
        work.add(record)
    try:
        for writer, bundles in ((quarantine, work.quarantine), (clean, work.clean)):
            if outgoing := bundles.outgoing():
                writer.put(outgoing)
    except Transient as error:
        return Validated(bundles=len(received), failed_from=0, failure=str(error))
    return Validated(
        bundles=len(received),
        batches=work.batches,
        records=work.records,
        clean=work.records - work.rejected.total(),
        rejected=dict(work.rejected),
        flagged=dict(work.flagged),
        latency_ms=work.receipts.elapsed(clock),
    )


def divide_batch(
    batch: Batch, thresholds: SymbolThresholds | None = None
) -> tuple[Batch, Batch, Counter[str]]:
    """Return what passes, what is rejected, both under the batch's stamp, and flags by rule.

    What passes carries the rules that found it odd in ``flags``; it is ``batch`` itself when
    nothing was rejected and no flag is new. The second batch holds one ``Rejected`` for each
    rejected record; ``position`` is the record's index in ``batch``. ``thresholds`` are the venue's
    by symbol; the defaults where none are given.
    """
    if thresholds is None:
        thresholds = DEFAULT_RULES.of_venue(batch.venue)
    rejects: dict[int, Record] = {}
    changed: dict[int, Record] = {}
    flagged: Counter[str] = Counter()
    for position in suspects(batch.records, thresholds):
        record = batch.records[position]
        found = findings(record, thresholds[record.symbol])
        reject = first_reject(found)
        if reject is not None:
            rejects[position] = _rejected(record, reject, position)
        elif found:
            rules = {finding.rule for finding in found}
            kept = _flagged(record, rules)
            if kept is not record:
                changed[position] = kept
            flagged.update(rules)
    rest = batch
    if rejects or changed:
        passed = [
            changed.get(position, record)
            for position, record in enumerate(batch.records)
            if position not in rejects
        ]
        rest = msgspec.structs.replace(batch, records=passed)
    return rest, msgspec.structs.replace(batch, records=list(rejects.values())), flagged


def _flagged(record: Record, rules: AbstractSet[str]) -> Record:
    """Return the record with ``rules`` among its flags; itself where they are there already."""
    assert not isinstance(record, Unreadable | Rejected)
    known = set(record.flags.split(",")) if record.flags else set()
    if rules <= known:
        return record
    return msgspec.structs.replace(record, flags=",".join(sorted(known | rules)))


def _is_unchanged(part: _Divided | Damaged) -> TypeGuard[_Divided]:
    return isinstance(part, _Divided) and part.passed is part.batch


def _rejected(record: Record, reject: Reject, position: int) -> Rejected:
    if isinstance(record, Rejected):
        return msgspec.structs.replace(record, position=position)
    raw = record.raw if isinstance(record, Unreadable) else encode_record(record)
    return Rejected(
        symbol=record.symbol,
        ts_event=0 if isinstance(record, Unreadable) else _storable(record.ts_event),
        ts_ingest=_storable(record.ts_ingest),
        channel=channel_of(record),
        rule=reject.rule,
        reason=reject.reason,
        raw=raw,
        position=position,
    )


def _storable(ts_ns: int) -> int:
    return ts_ns if -_INT64 <= ts_ns < _INT64 else 0
