"""Apply the quality rules to micro-batches: pass on to clean, or to quarantine.

Every batch that comes in goes out on clean with the same stamp and order, less what was rejected
(it may be empty then: its watermark still counts). What was rejected goes out on quarantine in a
batch with the same stamp.

**Quarantine first, then clean.** Neither order can lose or double: what was not answered for is
handed over again, the rules are pure, so the same two batches come out again under the same stamp,
and readers skip positions at or before their watermark. Putting quarantine first adds an invariant
that an audit can use: whoever sees position p on clean can rely on the rejects of p being durable,
so sent = stored + quarantined holds at every position of clean.

**A record that is no batch at all** becomes one ``Rejected`` with the raw bytes, in a source of its
own (see :func:`unreadable_batch`), and never holds up the stream.

**What comes out must fit into a record.** The ingester leaves room for a batch of which everything
is rejected (:func:`tradelake.usecases.ingest.estimated_size`). Where another producer did not and
the rejects of a batch exceed a record together, one ``Rejected`` under rule ``oversize`` and the
batch's stamp carries the micro-batch as it came; what passes goes on as ever. A batch whose clean
part alone exceeds a record is treated like a record that is no batch.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.market.channels import UNKNOWN
from tradelake.market.records import Record, Rejected, Unreadable, channel_of
from tradelake.ports import Outgoing, Received, StreamWriter
from tradelake.stream.envelope import Batch, decode_batch, encode_batch, encode_record
from tradelake.stream.quality import Reject, findings, first_reject

BATCHES_A_PUT: Final = 100
"""Batches put together; a failure is answered from the first batch of the put that failed."""
MAX_OUTGOING_BYTES: Final = 1024 * 1024 - 256
"""Kinesis takes records of 1 MiB, key included."""
MAX_RAW_BYTES: Final = MAX_OUTGOING_BYTES - 8 * 1024
"""Bytes kept of a record as it came: wrapped, with its reason, it must fit into a record again."""
_MAX_REASON: Final = 500
_INT64: Final = 2**63
_INT32: Final = 2**31


class Validated(msgspec.Struct, kw_only=True):
    """Counts of one invocation; ``failed_from`` is the first record to be handed over again."""

    batches: int = 0
    records: int = 0
    clean: int = 0
    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    flagged: dict[str, int] = msgspec.field(default_factory=dict)
    failed_from: int | None = None
    failure: str = ""


class _Pair(msgspec.Struct, frozen=True):
    clean: Outgoing | None
    quarantine: Outgoing | None
    records: int
    rejected: Counter[str]
    flagged: Counter[str]


def validate_records(
    received: Sequence[Received], clean: StreamWriter, quarantine: StreamWriter
) -> Validated:
    """Validate records of the ticks stream and pass them on; returns counts.

    Parameters
    ----------
    received : sequence of Received
        As read from the stream; records of equal key in order.
    clean, quarantine : StreamWriter
        Where batches go, under the key ``str(bucket)``.
    """
    outcome = Validated(batches=len(received))
    rejected: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    for start in range(0, len(received), BATCHES_A_PUT):
        pairs = [_divide(record) for record in received[start : start + BATCHES_A_PUT]]
        try:
            _put(quarantine, [pair.quarantine for pair in pairs])
            _put(clean, [pair.clean for pair in pairs])
        except Transient as error:
            outcome.failed_from = start
            outcome.failure = str(error)
            break
        for pair in pairs:
            outcome.records += pair.records
            outcome.clean += pair.records - pair.rejected.total()
            rejected.update(pair.rejected)
            flagged.update(pair.flagged)
    outcome.rejected = dict(rejected)
    outcome.flagged = dict(flagged)
    return outcome


def _put(writer: StreamWriter, records: Sequence[Outgoing | None]) -> None:
    there = [record for record in records if record is not None]
    if there:
        writer.put(there)


def _divide(received: Received) -> _Pair:
    try:
        batch = decode_batch(received.data)
        _check_stamp(batch)
    except InvalidData as error:
        return _unreadable(received, error)
    passed, rejects, flagged = divide_batch(batch)
    if not rejects.records:
        return _Pair(
            Outgoing(str(batch.bucket), received.data), None, len(batch.records), Counter(), flagged
        )
    rules = Counter(record.rule for record in rejects.records if isinstance(record, Rejected))
    clean, quarantine = _outgoing(passed), _outgoing(rejects)
    if len(clean.data) > MAX_OUTGOING_BYTES:
        reason = f"{len(clean.data)} bytes are left of the micro-batch"
        return _unreadable(received, InvalidData("oversize", reason))
    if len(quarantine.data) > MAX_OUTGOING_BYTES:
        reason = f"{len(rejects.records)} rejects of {len(batch.records)} records: {dict(rules)}"
        whole = _whole(received, InvalidData("oversize", reason))
        quarantine = _outgoing(msgspec.structs.replace(rejects, records=[whole]))
    return _Pair(clean, quarantine, len(batch.records), rules, flagged)


def _unreadable(received: Received, error: InvalidData) -> _Pair:
    bad = _outgoing(unreadable_batch(received, error))
    return _Pair(None, bad, 1, Counter({error.rule: 1}), Counter())


def _outgoing(batch: Batch) -> Outgoing:
    return Outgoing(str(batch.bucket), encode_batch(batch))


def _whole(received: Received, error: InvalidData) -> Rejected:
    """Return a record of Kinesis as one reject, with its bytes up to ``MAX_RAW_BYTES``."""
    reason = (
        f"{error.reason[:_MAX_REASON]}; Kinesis record {received.sequence_number},"
        f" key {received.key!r}"
    )
    if len(received.data) > MAX_RAW_BYTES:
        reason += f"; first {MAX_RAW_BYTES} of {len(received.data)} bytes kept"
    return Rejected(
        symbol="",
        ts_event=0,
        ts_ingest=received.arrival_ns,
        channel=UNKNOWN,
        rule=error.rule,
        reason=reason,
        raw=received.data[:MAX_RAW_BYTES],
        position=0,
    )


def divide_batch(batch: Batch) -> tuple[Batch, Batch, Counter[str]]:
    """Return what passes, what is rejected, both under the batch's stamp, and flags by rule.

    The second batch holds one ``Rejected`` for each rejected record; ``position`` is the record's
    index in ``batch``.
    """
    passed: list[Record] = []
    rejects: list[Record] = []
    flagged: Counter[str] = Counter()
    for position, record in enumerate(batch.records):
        found = findings(record)
        if not found:
            passed.append(record)
            continue
        reject = first_reject(found)
        if reject is None:
            passed.append(record)
            flagged.update(finding.rule for finding in found)
        else:
            rejects.append(_rejected(record, reject, position))
    return (
        msgspec.structs.replace(batch, records=passed),
        msgspec.structs.replace(batch, records=rejects),
        flagged,
    )


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


def _check_stamp(batch: Batch) -> None:
    fits = (
        0 <= batch.epoch < _INT64
        and 0 <= batch.seq < _INT64
        and 0 <= batch.bucket < _INT32
        and -_INT64 <= batch.watermark_ns < _INT64
    )
    if not fits or not batch.venue or "/" in batch.venue:
        stamp = (batch.lane, batch.venue, batch.epoch, batch.bucket, batch.seq, batch.watermark_ns)
        raise InvalidData("envelope", f"expected a stamp of signed integers >= 0, found {stamp}")


def unreadable_batch(received: Received, error: InvalidData) -> Batch:
    """Return the quarantine batch for a record that is no micro-batch.

    It has no stamp of its own, and a reader of quarantine drops a position that does not grow along
    its source. So source and position are made of what Kinesis says about the record, which
    redelivery repeats: its partition key and its sequence number N of 186 bits.

    - Position: the low 126 bits of N as (epoch, seq), exactly. Sequence numbers grow along a key.
    - Source: lane live, venue ``unknown``, and a negative bucket, apart from every real one, made
      of the key and the high 60 bits of N, which tell the shard's creation and hardly ever change.
      One source per key, because the key is the widest thing along which records are handed over
      in order: keys of a shard are worked on concurrently (parallelisation factor), two shards
      always are. In a common source a later position could overtake an earlier one, which would
      then be taken for a repeat and lost. And not one per record, because readers keep a watermark
      for each source: a flood of unreadable records must not become a flood of watermarks.

    Sources have 31 bits; two among hundreds meet with a chance of 1e-5. The raw bytes are kept up
    to ``MAX_RAW_BYTES``; the reason says so where more came.
    """
    number = int(received.sequence_number)
    source = f"{number >> 126}/{received.key}".encode()
    return Batch(
        lane="live",
        venue=UNKNOWN,
        epoch=(number >> 63) & (_INT64 - 1),
        bucket=-1 - (zlib.crc32(source) & (_INT32 - 1)),
        seq=number & (_INT64 - 1),
        watermark_ns=-_INT64,
        records=[_whole(received, error)],
    )
