"""Lambda functions and what triggers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tradelake.topology import names, stores, streams, tables


@dataclass(frozen=True, slots=True)
class StreamTrigger:
    """An event-source mapping from a Kinesis stream.

    Good data is never evicted by a retry limit: records are retried until they expire, bad ones are
    quarantined in code.

    Parameters
    ----------
    stream : streams.Stream
        Where the records come from.
    batch_size : int
        Records handed over at most; a record is a micro-batch.
    window_s : float
        How long to wait for a full batch. 0 on the decision path.
    parallelization : int
        Concurrent batches a shard; order holds per partition key.
    enhanced_fan_out : bool
        A consumer of its own, pushed within about 70 ms.
    bisect : bool
        Split a failing batch to corner the failing record.
    retries : int
        -1: until the record expires.
    """

    stream: streams.Stream
    batch_size: int = 100
    window_s: float = 0.0
    parallelization: int = 1
    enhanced_fan_out: bool = False
    bisect: bool = True
    retries: int = -1


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function: ``functions/<folder>/handler.py``, entry ``handler``.

    ``package`` is ``light`` (core and aws extras, zip), ``lake`` (pyarrow and pyiceberg too,
    container image) or ``feed`` (the ingester's requirements, container image). ``environment``
    lists the variables it needs beside ``names.ENV_ENVIRONMENT``.
    """

    name: str
    folder: str
    package: Literal["light", "lake", "feed"]
    memory_mb: int
    timeout_s: int
    triggers: tuple[StreamTrigger, ...]
    doc: str
    writes_streams: tuple[streams.Stream, ...] = ()
    key_tables: tuple[stores.KeyTable, ...] = ()
    lake_tables: tuple[tables.Table, ...] = ()
    read_buckets: tuple[stores.Bucket, ...] = ()
    write_buckets: tuple[stores.Bucket, ...] = ()
    environment: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


VALIDATE: Final = Function(
    "validate",
    "validate",
    "light",
    512,
    60,
    (
        StreamTrigger(streams.TICKS, batch_size=200, parallelization=4, enhanced_fan_out=True),
        StreamTrigger(streams.BACKFILL, batch_size=100),
    ),
    "apply the quality rules; pass on to clean or to quarantine",
    writes_streams=(streams.CLEAN, streams.QUARANTINE),
    environment=(names.ENV_QUALITY_RULES,),
)
AGGREGATE: Final = Function(
    "aggregate",
    "aggregate",
    "light",
    512,
    60,
    (StreamTrigger(streams.CLEAN, batch_size=200, parallelization=1, enhanced_fan_out=True),),
    "build bars from clean trades, exactly once",
    writes_streams=(streams.BARS,),
    key_tables=(stores.CONSUMER_STATE,),
    environment=(names.ENV_BAR_TIMEFRAMES, names.ENV_QUOTE_BARS_FROM, names.ENV_LATENESS_S),
)
DELIVER: Final = Function(
    "deliver",
    "deliver",
    "lake",
    2048,
    300,
    (
        StreamTrigger(streams.CLEAN, batch_size=2000, window_s=60.0),
        StreamTrigger(streams.BARS, batch_size=1000, window_s=60.0),
        StreamTrigger(streams.QUARANTINE, batch_size=1000, window_s=60.0),
        StreamTrigger(streams.DERIVED, batch_size=1000, window_s=60.0),
    ),
    "append to the Iceberg lake, exactly once",
    lake_tables=(
        tables.TRADES,
        tables.QUOTES,
        tables.BOOKS,
        tables.BARS,
        tables.BOOK_SNAPSHOTS,
        tables.INSTRUMENTS,
        tables.DERIVED,
        tables.QUARANTINE,
    ),
    read_buckets=(stores.LAKE_BUCKET,),
    write_buckets=(stores.LAKE_BUCKET,),
    environment=(names.ENV_CATALOG_URI, names.ENV_WAREHOUSE),
)
TRANSFORM: Final = Function(
    "transform",
    "transform",
    "light",
    512,
    60,
    (StreamTrigger(streams.CLEAN, batch_size=200),),
    "run users' transforms over clean records",
    writes_streams=(streams.DERIVED, streams.QUARANTINE),
    environment=(names.ENV_TRANSFORMS,),
)
HOT: Final = Function(
    "hot",
    "hot",
    "light",
    256,
    30,
    (StreamTrigger(streams.BARS, batch_size=500, enhanced_fan_out=True),),
    "upsert bars into the hot store",
    environment=(names.ENV_HOT_STORE,),
)
PREPARE: Final = Function(
    "prepare_backtests",
    "prepare_backtests",
    "light",
    256,
    60,
    (),
    "expand a sweep request into one manifest entry a backtest",
    read_buckets=(stores.ARTIFACT_BUCKET,),
    write_buckets=(stores.ARTIFACT_BUCKET,),
    environment=(names.ENV_ARTIFACT_BUCKET,),
)
COLLECT: Final = Function(
    "collect_backtests",
    "collect_backtests",
    "lake",
    1024,
    300,
    (),
    "append every result object of a sweep to the trials table: the one writer",
    lake_tables=(tables.TRIALS,),
    read_buckets=(stores.ARTIFACT_BUCKET, stores.LAKE_BUCKET),
    write_buckets=(stores.ARTIFACT_BUCKET, stores.LAKE_BUCKET),
    environment=(names.ENV_ARTIFACT_BUCKET, names.ENV_CATALOG_URI, names.ENV_WAREHOUSE),
)
BACKFILL: Final = Function(
    "backfill",
    "backfill",
    "feed",
    1024,
    300,
    (),
    "fetch over REST what gaps lost; put it on the backfill stream",
    writes_streams=(streams.BACKFILL,),
    key_tables=(stores.GAPS, stores.LEASES),
    environment=(
        names.ENV_VENUE,
        names.ENV_SYMBOLS,
        names.ENV_DATA_URL,
        names.ENV_TRADING_URL,
        names.ENV_FILL_MARGIN_S,
        names.ENV_QUALITY_RULES,
        names.ENV_BUCKETS,
    ),
    secrets=(names.ALPACA_SECRET,),
)
REBUILD: Final = Function(
    "rebuild_bars",
    "rebuild_bars",
    "lake",
    2048,
    600,
    (),
    "rebuild the bars of filled gaps from the lake; compare minutes with the venue's",
    writes_streams=(streams.BARS,),
    key_tables=(stores.CONSUMER_STATE, stores.GAPS),
    lake_tables=(tables.TRADES, tables.QUOTES, tables.BARS),
    read_buckets=(stores.LAKE_BUCKET,),
    environment=(
        names.ENV_CATALOG_URI,
        names.ENV_WAREHOUSE,
        names.ENV_BAR_TIMEFRAMES,
        names.ENV_QUOTE_BARS_FROM,
        names.ENV_LATENESS_S,
        names.ENV_VENUE,
        names.ENV_BUCKETS,
        names.ENV_REBUILD_GRACE_S,
    ),
)

FUNCTIONS: Final = (
    VALIDATE,
    AGGREGATE,
    TRANSFORM,
    DELIVER,
    HOT,
    PREPARE,
    COLLECT,
    BACKFILL,
    REBUILD,
)
