"""Append what came over a stream to the lake, exactly once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.ports import LakeWriter, Received
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

    A record that is no micro-batch goes to the quarantine table with its raw bytes. When the lake
    keeps refusing, everything is handed over again: what was committed is recognised by its
    watermark, so nothing doubles.

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
        deliveries = lake.deliver(stream, batches)
    except Transient as error:
        outcome.failed_from = 0
        outcome.failure = str(error)
        return outcome
    for table, delivery in deliveries.items():
        outcome.rows[table] = delivery.rows
        if delivery.duplicates:
            outcome.duplicates[table] = delivery.duplicates
        outcome.skipped_batches += delivery.skipped_batches
    return outcome
