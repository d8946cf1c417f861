"""What is no micro-batch, made into rejects that no repeat can double and no neighbour can hide."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from tradelake.errors import InvalidData
from tradelake.market.channels import UNKNOWN
from tradelake.market.records import Rejected
from tradelake.ports import Received
from tradelake.stream.envelope import Batch, Damaged
from tradelake.usecases.bundles import MAX_OUTGOING_BYTES

MAX_RAW_BYTES: Final = MAX_OUTGOING_BYTES - 8 * 1024
"""Bytes kept of a record as it came: wrapped, with its reason, it must fit into a record again."""
_MAX_REASON: Final = 500
_REJECT_BYTES: Final = 4 * _MAX_REASON + 1024
"""What a reject adds to the bytes it holds, its reason in UTF-8 included."""
_INT64: Final = 2**63
_INT32: Final = 2**31


def unreadable_batch(received: Received, damaged: Sequence[Damaged]) -> Batch:
    """Return the quarantine batch for what a record of Kinesis holds that is no micro-batch.

    It has no stamp of its own, so one is made of what Kinesis says about the record, which
    redelivery repeats: its partition key and its sequence number N of 186 bits.

    - ``epoch`` and ``seq``: the low 126 bits of N, exactly.
    - Source: lane live, venue ``unknown``, and a negative bucket, apart from every real one, made
      of the key and the high 60 bits of N, which tell the shard's creation.

    With the reject's ``position``, the index in the bundle, that is the identity of a row in
    quarantine, and identity alone keeps a repeat from doubling it: these sources have no watermark,
    because nothing says in which order records of different keys and shards are handed over, and a
    flood of unreadable records must not become a flood of watermarks. Two of them have one identity
    with a chance of 2**-157.

    Where the batches of a bundle do not fit into a record one by one, one reject holds the record
    as it came, under rule ``oversize``. Bytes are kept up to ``MAX_RAW_BYTES``; the reason says so
    where more came.
    """
    number = int(received.sequence_number)
    source = f"{number >> 126}/{received.key}".encode()
    where = where_of(received)
    if len(damaged) > 1 and sum(len(one.data) + _REJECT_BYTES for one in damaged) > MAX_RAW_BYTES:
        first = f"{len(damaged)} damaged micro-batches, the first: {damaged[0].error.reason}"
        damaged = [Damaged(0, received.data, InvalidData("oversize", first))]
    return Batch(
        lane="live",
        venue=UNKNOWN,
        epoch=(number >> 63) & (_INT64 - 1),
        bucket=-1 - (zlib.crc32(source) & (_INT32 - 1)),
        seq=number & (_INT64 - 1),
        watermark_ns=-_INT64,
        records=[whole(one, where, received.arrival_ns) for one in damaged],
    )


def where_of(received: Received) -> str:
    """Name a record of Kinesis for a reason."""
    return f"Kinesis record {received.sequence_number}, key {received.key[:80]!r}"


def whole(damaged: Damaged, where: str, ts_ingest: int) -> Rejected:
    """Return bytes of Kinesis as one reject; ``position`` is their index in the bundle."""
    reason = f"{damaged.error.reason[:_MAX_REASON]}; batch {damaged.index} of {where}"
    if len(damaged.data) > MAX_RAW_BYTES:
        reason += f"; first {MAX_RAW_BYTES} of {len(damaged.data)} bytes kept"
    return Rejected(
        symbol="",
        ts_event=0,
        ts_ingest=ts_ingest,
        channel=UNKNOWN,
        rule=damaged.error.rule,
        reason=reason,
        raw=damaged.data[:MAX_RAW_BYTES],
        position=damaged.index,
    )


def has_own_stamp(batch: Batch) -> bool:
    """Whether the batch came with a stamp, rather than being made by :func:`unreadable_batch`."""
    return batch.bucket >= 0
