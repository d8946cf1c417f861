"""Append what came over a stream to the lake, exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.ports import Clock, Delivery, LakeWriter, Received
from tradelake.stream.envelope import Batch, Damaged, encode_batch, open_bundle
from tradelake.topology.streams import BARS
from tradelake.usecases.latency import UNMEASURED, Percentiles, Receipts
from tradelake.usecases.unreadable import unreadable_batch


class Delivered(msgspec.Struct, kw_only=True):
    """Counts of one invocation.

    ``failed_from`` is the index of the first record to be handed over again, or None.
    ``latency_ms`` is from our receipt until the commit; of bars, which nobody sent us, there is
    none.
    """

    stream: str
    bundles: int = 0
    batches: int = 0
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    duplicates: dict[str, int] = msgspec.field(default_factory=dict)
    skipped_batches: int = 0
    unreadable: int = 0
    latency_ms: Percentiles = UNMEASURED
    failed_from: int | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A batch, and where it was: the record's index, and its own in the bundle."""

    batch: Batch
    record: int
    index: int


def deliver_records(
    stream: str, received: Sequence[Received], lake: LakeWriter, clock: Clock | None = None
) -> Delivered:
    """Append the records of micro-batches to their tables; returns counts.

    What is no micro-batch, a record or a part of one, and a batch the lake's columns cannot hold go
    to the quarantine table with their raw bytes, so they never hold up the stream or their
    neighbours. Which of many batches it is that does not fit is found by halves, each half one
    delivery. When the lake keeps refusing, everything is handed over again: what was committed is
    recognised, so nothing doubles.

    Parameters
    ----------
    stream : str
        Logical name of the stream the records come from; watermarks are kept by it.
    received : sequence of Received
        In the order of the shard.
    lake : LakeWriter
        Where rows go.
    clock : Clock or None
        Of the time since the receipt; None: it is not measured.
    """
    outcome = Delivered(stream=stream, bundles=len(received))
    damaged: dict[int, list[Damaged]] = {}
    placed = _placed(received, damaged)
    outcome.batches = len(placed)
    try:
        _deliver(outcome, placed, lake, damaged)
        outcome.unreadable = sum(map(len, damaged.values()))
        if damaged:
            bad = [unreadable_batch(received[at], damaged[at]) for at in sorted(damaged)]
            _count(outcome, lake.deliver(stream, bad))
    except Transient as error:
        outcome.failed_from = 0
        outcome.failure = str(error)
    else:
        receipts = Receipts()
        for one in placed if stream != BARS.name else ():
            receipts.add(one.batch)
        outcome.latency_ms = receipts.elapsed(clock)
    return outcome


def _placed(received: Sequence[Received], damaged: dict[int, list[Damaged]]) -> list[_Placed]:
    placed: list[_Placed] = []
    for at, record in enumerate(received):
        try:
            parts = open_bundle(record.data).parts
        except InvalidData as error:
            parts = [Damaged(0, record.data, error)]
        for index, part in enumerate(parts):
            if isinstance(part, Batch):
                placed.append(_Placed(part, at, index))
            else:
                damaged.setdefault(at, []).append(part)
    return placed


def _deliver(
    outcome: Delivered,
    placed: Sequence[_Placed],
    lake: LakeWriter,
    damaged: dict[int, list[Damaged]],
) -> None:
    """Deliver batches in order, by halves where the lake cannot hold one of them."""
    if not placed:
        return
    try:
        deliveries = lake.deliver(outcome.stream, [one.batch for one in placed])
    except InvalidData as error:
        if len(placed) == 1:
            (one,) = placed
            alone = Damaged(one.index, encode_batch(one.batch), error)
            damaged.setdefault(one.record, []).append(alone)
            return
        middle = len(placed) // 2
        _deliver(outcome, placed[:middle], lake, damaged)
        _deliver(outcome, placed[middle:], lake, damaged)
    else:
        _count(outcome, deliveries)


def _count(outcome: Delivered, deliveries: Mapping[str, Delivery]) -> None:
    for table, delivery in deliveries.items():
        outcome.rows[table] = outcome.rows.get(table, 0) + delivery.rows
        if delivery.duplicates:
            known = outcome.duplicates.get(table, 0)
            outcome.duplicates[table] = known + delivery.duplicates
        outcome.skipped_batches += delivery.skipped_batches
