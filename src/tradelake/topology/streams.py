"""Kinesis streams. A record is a micro-batch of one symbol bucket, which is the partition key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Stream:
    """A Kinesis stream.

    Parameters
    ----------
    name : str
        Logical name.
    shards : int
        Shards a new environment starts with; an environment's settings may say otherwise.
    retention_hours : int
        How long a record can be read again.
    doc : str
        What it carries.
    """

    name: str
    shards: int
    retention_hours: int
    doc: str


TICKS: Final = Stream("ticks", 2, 168, "what the venue said, as the ingester received it")
CLEAN: Final = Stream("clean", 2, 168, "records that passed every quality rule")
QUARANTINE: Final = Stream(
    "quarantine", 1, 168, "records that broke a rule, with rule, reason and raw bytes"
)
BARS: Final = Stream("bars", 1, 168, "bars aggregated from clean trades")

BACKFILL: Final = Stream(
    "backfill", 1, 168, "what was fetched over REST to fill gaps; apart, so live latency is kept"
)
DERIVED: Final = Stream("derived", 1, 168, "what users' transforms made of clean records")

STREAMS: Final = (TICKS, CLEAN, QUARANTINE, BARS, BACKFILL, DERIVED)

BUCKETS: Final = 16
"""Symbol buckets: the unit of order, of consumer state and of exactly-once.

Changing it needs a drained stream.
"""
