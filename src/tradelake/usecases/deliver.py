"""Append what came over a stream to the lake, exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.ports import Delivery, LakeWriter, Received
from tradelake.stream.envelope import Batch, decode_batch
from tradelake.usecases.validate import unreadable_batch


class Delivered(msgspec.Struct, kw_only=True):
    """Counts of one invocation.

    ``failed_from`` is the index of the first record to be handed over again, or None.
    """

    stream: str
    batches: int = 0
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    duplicates: dict[str, int] = msgspec.field(default_factory=dict)
    skipped_batches: int = 0
    unreadable: int = 0
    failed_from: int | None = None
    failure: str = ""


def deliver_records(stream: str, received: Sequence[Received], lake: LakeWriter) -> Delivered:
    """Append the records of micro-batches to their tables; returns counts.

    A record that is no micro-batch, or one the lake's columns cannot hold, goes to the quarantine
    table with its raw bytes, so it never holds up the stream. When the lake keeps refusing,
    everything is handed over again: what was committed is recognised by its watermark, so nothing
    doubles.

    Parameters
    ----------
    stream : str
        Logical name of the stream the records come from; watermarks are kept by it.
    received : sequence of Received
        In the order of the shard.
    lake : LakeWriter
        Where rows go.
    """
    outcome = Delivered(stream=stream, batches=len(received))
    batches: list[Batch] = []
    for record in received:
        try:
            batches.append(decode_batch(record.data))
        except InvalidData as error:
            outcome.unreadable += 1
            batches.append(unreadable_batch(record, error))
    try:
        try:
            _count(outcome, lake.deliver(stream, batches))
        except InvalidData:
            for deliveries in _one_by_one(outcome, received, batches, lake):
                _count(outcome, deliveries)
    except Transient as error:
        outcome.failed_from = 0
        outcome.failure = str(error)
    return outcome


def _one_by_one(
    outcome: Delivered, received: Sequence[Received], batches: Sequence[Batch], lake: LakeWriter
) -> Iterator[Mapping[str, Delivery]]:
    """Deliver batches of which the lake cannot hold one; whichever it is goes to quarantine."""
    for record, batch in zip(received, batches, strict=True):
        try:
            yield lake.deliver(outcome.stream, [batch])
        except InvalidData as error:
            outcome.unreadable += 1
            yield lake.deliver(outcome.stream, [unreadable_batch(record, error)])


def _count(outcome: Delivered, deliveries: Mapping[str, Delivery]) -> None:
    for table, delivery in deliveries.items():
        outcome.rows[table] = outcome.rows.get(table, 0) + delivery.rows
        if delivery.duplicates:
            known = outcome.duplicates.get(table, 0)
            outcome.duplicates[table] = known + delivery.duplicates
        outcome.skipped_batches += delivery.skipped_batches
