"""Key-value tables, buckets and secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class KeyTable:
    """A DynamoDB table with string keys; every write is conditional on a version."""

    name: str
    partition_key: str
    sort_key: str | None
    doc: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """An S3 bucket; ``tiering`` names its lifecycle."""

    name: str
    tiering: Literal["intelligent", "expire_30d", "none"]
    doc: str


VALUE_ATTRIBUTE: Final = "value"
VERSION_ATTRIBUTE: Final = "version"
"""Attributes of an item beside its keys: the stored bytes, and the number a writer must name."""

CONSUMER_STATE: Final = KeyTable(
    "consumer-state", "consumer", "key", "aggregation state and (epoch, seq) by lane and bucket"
)
LEASES: Final = KeyTable("leases", "name", None, "who ingests, with the epoch that fences it")
GAPS: Final = KeyTable("gaps", "stream", "opened", "intervals in which data may be missing")
KEY_TABLES: Final = (CONSUMER_STATE, LEASES, GAPS)

LAKE_BUCKET: Final = Bucket("lake", "intelligent", "Iceberg data and metadata")
ARTIFACT_BUCKET: Final = Bucket(
    "artifacts", "none", "models, backtest manifests, results and reports"
)
FAILURE_BUCKET: Final = Bucket("failures", "expire_30d", "what an event-source mapping gave up on")
BUCKETS: Final = (LAKE_BUCKET, ARTIFACT_BUCKET, FAILURE_BUCKET)
