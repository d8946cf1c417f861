"""Containers: the always-on ingester and the batch jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradelake.topology import names, stores, streams, tables


@dataclass(frozen=True, slots=True)
class Service:
    """An ECS Fargate service from ``containers/<folder>/main.py``.

    Its tasks hold one lease: one leads, the others stand by, and whoever takes over ends a holder
    that fell silent. ``spool_path`` is where a file system is mounted that outlives every task.
    """

    name: str
    folder: str
    cpu: int
    memory_mb: int
    writes_streams: tuple[streams.Stream, ...]
    key_tables: tuple[stores.KeyTable, ...]
    secrets: tuple[str, ...]
    environment: tuple[str, ...]
    doc: str
    spool_path: str = ""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """An AWS Batch job definition on Fargate from ``containers/<folder>/main.py``."""

    name: str
    folder: str
    vcpu: float
    memory_mb: int
    timeout_s: int
    attempts: int
    read_tables: tuple[tables.Table, ...]
    read_buckets: tuple[stores.Bucket, ...]
    write_buckets: tuple[stores.Bucket, ...]
    environment: tuple[str, ...]
    doc: str


INGESTER: Final = Service(
    "ingester",
    "ingester",
    1024,
    2048,
    (streams.TICKS,),
    (stores.LEASES, stores.GAPS, stores.CONSUMER_STATE),
    (names.ALPACA_SECRET,),
    (
        names.ENV_FEED_URL,
        names.ENV_FEED_CLIENT,
        names.ENV_TRADING_URL,
        names.ENV_VENUE,
        names.ENV_SYMBOLS,
        names.ENV_CHANNELS,
        names.ENV_BUCKETS,
        names.ENV_LINGER_MS,
        names.ENV_HEALTH_PORT,
        names.ENV_SPOOL,
        names.ENV_SPOOL_MAX_BYTES,
        names.ENV_QUALITY_RULES,
        names.ENV_ORIGIN,
    ),
    "keeps Alpaca's websocket open and pushes micro-batches to Kinesis",
    spool_path="/spool",
)

BACKTEST: Final = BatchJob(
    "backtest",
    "backtest",
    1.0,
    2048,
    3600,
    2,
    (tables.BARS, tables.INSTRUMENTS),
    (stores.LAKE_BUCKET, stores.ARTIFACT_BUCKET),
    (stores.ARTIFACT_BUCKET,),
    (names.ENV_CATALOG_URI, names.ENV_WAREHOUSE, names.ENV_ARTIFACT_BUCKET),
    "runs one backtest and writes one result object",
)

SERVICES: Final = (INGESTER,)
BATCH_JOBS: Final = (BACKTEST,)
JOB_QUEUE: Final = "backtests"
