"""What a load needs and costs on AWS: points a second -> shards, processes, USD a month.

A model on one page: each line carries its arithmetic, so that it can be checked and argued with.
Sizes and processor times are measured (:data:`MEASURED`, by ``bench/stages.py``), prices are list
prices assumed for us-east-1 (:data:`PRICES`); both can be replaced by one's own.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec

from tradelake.topology import containers, functions, streams

MONTH_S: Final = 730 * 3600
HEADROOM: Final = 0.6
"""A shard, a processor and a function are planned to be used up to this fraction."""
LAMBDA_MB_A_CPU: Final = 1769
"""Memory of a function at which AWS gives it one whole vCPU."""
SHARD_BYTES_S: Final = 1024 * 1024
SHARD_RECORDS_S: Final = 1000
PUT_UNIT_BYTES: Final = 25 * 1024
FAN_OUT_S: Final = 0.2
"""How often a busy shard hands a batch to a function that has no batching window, s."""
FEED_BYTES: Final = 90
"""Of a point in Alpaca's MessagePack."""
STATE_READ_BYTES: Final = 4096
STATE_WRITE_BYTES: Final = 1024
"""What a unit of DynamoDB holds; a strongly consistent read is one unit."""
FILES_A_COMMIT: Final = 8
"""Objects a commit puts: data, manifest, list, metadata, and their like."""
ROUND_TRIP_S: Final = 0.015
"""PutRecords inside a region: a bucket sends its next batch after the last one's answer."""


_Positive = Annotated[float, msgspec.Meta(gt=0)]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a point takes. Bytes as stored or sent, processor time in us of one vCPU.

    Parameters
    ----------
    stream_bytes : float
        Of a point on Kinesis, in the envelope.
    lake_bytes : float
        Of a point in Parquet.
    ingest_us, validate_us, aggregate_us, deliver_us : float
        Processor time a point in the ingester and in each function.
    state_bytes : float
        Of one bucket's aggregation state, for each symbol in it.
    """

    stream_bytes: _Positive
    lake_bytes: _Positive
    ingest_us: _Positive
    validate_us: _Positive
    aggregate_us: _Positive
    deliver_us: _Positive
    state_bytes: _Positive


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """USD, list prices assumed for us-east-1."""

    shard_hour: float = 0.015
    retention_shard_hour: float = 0.020
    fan_out_shard_hour: float = 0.015
    fan_out_gb: float = 0.013
    put_million_units: float = 0.014
    lambda_gb_s: float = 0.0000133334
    lambda_million_calls: float = 0.20
    write_million_units: float = 0.625
    read_million_units: float = 0.125
    fargate_cpu_hour: float = 0.03238
    fargate_gb_hour: float = 0.00356
    s3_gb_month: float = 0.023
    s3_million_puts: float = 5.0
    nat_gb: float = 0.045
    nat_hour: float = 0.045


MEASURED: Final = Measured(
    stream_bytes=85.8,
    lake_bytes=39.8,
    ingest_us=12.5,
    validate_us=6.1,
    aggregate_us=29.7,
    deliver_us=11.1,
    state_bytes=763.8,
)
"""Recorded trades, quotes and book updates at 10,000 points/s, medians of three runs on a machine
of two cores: ``bench/stages.py`` says how, and measures them anew."""
PRICES: Final = Prices()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Parameters
    ----------
    points_s : float
        Trades, quotes, book updates and bars a second, sustained.
    symbols : int
        Pairs they are divided over.
    buckets : int
        Symbol buckets.
    retain_days : int
        How long the lake keeps ticks.
    window_s : float
        Batching window of aggregate: bars come so much later, and state is saved less often.
    """

    points_s: float
    symbols: int = 120
    buckets: int = streams.BUCKETS
    retain_days: int = 365
    window_s: float = 0.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One need: how many of what, why, and what it costs in a month."""

    what: str
    count: float
    arithmetic: str
    usd: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a load needs; ``warnings`` say what no money changes."""

    load: Load
    lines: list[Line]
    warnings: list[str]

    @property
    def usd(self) -> float:
        """All of it, a month."""
        return sum(line.usd for line in self.lines)


def plan(load: Load, measured: Measured = MEASURED, prices: Prices = PRICES) -> Plan:
    """Return what ``load`` needs.

    Raises
    ------
    ValueError
        A load that is none: points, symbols, buckets and days must be finite and above zero, the
        window not below.
    """
    asked = (load.points_s, load.symbols, load.buckets, load.retain_days)
    if not all(0 < number < math.inf for number in asked):
        raise ValueError("expected points, symbols, buckets and days above zero")
    if not 0 <= load.window_s < math.inf:
        raise ValueError("expected a batching window of at least 0 s")
    records_s = _records_s(load)
    shards = _shards(load, records_s, measured)
    batches_s = shards / FAN_OUT_S
    aggregated_s = shards / max(FAN_OUT_S, load.window_s)
    lines = [
        _ingesters(load, measured, prices),
        *_streams(load, records_s, shards, measured, prices),
        *(
            _function(function, points_us, load, calls_s, prices)
            for function, points_us, calls_s in (
                (functions.VALIDATE, measured.validate_us, batches_s),
                (functions.AGGREGATE, measured.aggregate_us, aggregated_s),
                (functions.DELIVER, measured.deliver_us, batches_s),
            )
        ),
        _state(load, measured, prices),
        _lake(load, measured, prices),
        _feed(load, prices),
    ]
    return Plan(load=load, lines=lines, warnings=_warnings(load, shards, measured))


def _records_s(load: Load) -> float:
    """Records the ingester puts: a bucket has one in flight, and sends when there is something."""
    return min(load.points_s, load.buckets / ROUND_TRIP_S)


def _shards(load: Load, records_s: float, measured: Measured) -> int:
    by_bytes = load.points_s * measured.stream_bytes / SHARD_BYTES_S
    by_records = records_s / SHARD_RECORDS_S
    return max(1, math.ceil(max(by_bytes, by_records) / HEADROOM))


def _ingesters(load: Load, measured: Measured, prices: Prices) -> Line:
    busy = load.points_s * measured.ingest_us / 1e6
    processes = max(1, math.ceil(busy / HEADROOM))
    size = containers.INGESTER
    hour = size.cpu / 1024 * prices.fargate_cpu_hour
    hour += size.memory_mb / 1024 * prices.fargate_gb_hour
    tasks = 2 * processes
    return Line(
        what="ingester tasks (leaders and standbys)",
        count=tasks,
        arithmetic=f"{load.points_s:,.0f}/s x {measured.ingest_us:g} us = {busy:.2f} vCPU"
        f" / {HEADROOM:g} -> {processes} x 2, {hour:.4f} USD/h each",
        usd=tasks * hour * 730,
    )


def _streams(
    load: Load, records_s: float, shards: int, measured: Measured, prices: Prices
) -> list[Line]:
    bytes_s = load.points_s * measured.stream_bytes
    shard_hour = prices.shard_hour + prices.retention_shard_hour
    units_s = records_s * max(1, math.ceil(bytes_s / records_s / PUT_UNIT_BYTES))
    gb_month = bytes_s * MONTH_S / 1e9
    both = f"{bytes_s / 1e6:.2f} MB/s and {records_s:,.0f} records/s"
    return [
        Line(
            what="shards of ticks and clean",
            count=2 * shards,
            arithmetic=f"{both} / (1 MiB/s, 1,000/s) / {HEADROOM:g} -> {shards} x 2,"
            f" {shard_hour:g} USD/h with 7 days kept",
            usd=2 * shards * shard_hour * 730,
        ),
        Line(
            what="shards of bars, backfill, derived and quarantine",
            count=4,
            arithmetic=f"1 each, {shard_hour:g} USD/h",
            usd=4 * shard_hour * 730,
        ),
        Line(
            what="PUT units, million a month",
            count=2 * units_s * MONTH_S / 1e6,
            arithmetic=f"{units_s:,.0f} units of 25 KiB a second x 2 streams",
            usd=2 * units_s * MONTH_S / 1e6 * prices.put_million_units,
        ),
        Line(
            what="fan-out consumers x shards",
            count=2 * shards,
            arithmetic=f"validate on ticks, aggregate on clean: {shards} each"
            f" + 2 x {gb_month:,.0f} GB",
            usd=2 * shards * prices.fan_out_shard_hour * 730 + 2 * gb_month * prices.fan_out_gb,
        ),
    ]


def _function(
    function: functions.Function, point_us: float, load: Load, batches_s: float, prices: Prices
) -> Line:
    windows = [trigger.window_s for trigger in function.triggers]
    calls_s = batches_s if min(windows) == 0.0 else len(windows) / max(windows)
    cpu = function.memory_mb / LAMBDA_MB_A_CPU
    busy = load.points_s * point_us / 1e6 / cpu
    gb_s = busy * function.memory_mb / 1024
    return Line(
        what=f"{function.name}: functions busy at a time",
        count=busy,
        arithmetic=f"{load.points_s:,.0f}/s x {point_us:g} us / {cpu:.2f} vCPU of"
        f" {function.memory_mb} MB = {gb_s:.2f} GB-s/s, {calls_s:.1f} calls/s",
        usd=gb_s * MONTH_S * prices.lambda_gb_s
        + calls_s * MONTH_S / 1e6 * prices.lambda_million_calls,
    )


def _state(load: Load, measured: Measured, prices: Prices) -> Line:
    """Price the state: every bucket's is read and saved by each invocation that has some of it."""
    size = math.ceil(load.symbols / load.buckets) * measured.state_bytes
    busy = min(load.buckets, load.symbols)
    every_s = max(FAN_OUT_S, load.window_s)
    saves_s = min(load.points_s, busy / every_s)
    writes = saves_s * math.ceil(size / STATE_WRITE_BYTES)
    reads = saves_s * math.ceil(size / STATE_READ_BYTES)
    return Line(
        what="aggregation state, million writes a month",
        count=saves_s * MONTH_S / 1e6,
        arithmetic=f"{busy} buckets every {every_s:g} s, {size / 1024:.1f} KiB each"
        f" = {writes:,.0f} write and {reads:,.0f} read units/s",
        usd=MONTH_S
        / 1e6
        * (writes * prices.write_million_units + reads * prices.read_million_units),
    )


def _lake(load: Load, measured: Measured, prices: Prices) -> Line:
    gb_day = load.points_s * measured.lake_bytes * 86_400 / 1e9
    kept = gb_day * load.retain_days
    window_s = max(trigger.window_s for trigger in functions.DELIVER.triggers)
    puts = FILES_A_COMMIT * len(functions.DELIVER.lake_tables) / window_s * MONTH_S
    return Line(
        what="lake, GB kept",
        count=kept,
        arithmetic=f"{gb_day:,.1f} GB a day x {load.retain_days} days;"
        f" {puts / 1e6:.2f} M PUTs a month",
        usd=kept * prices.s3_gb_month + puts / 1e6 * prices.s3_million_puts,
    )


def _feed(load: Load, prices: Prices) -> Line:
    gb = load.points_s * FEED_BYTES * MONTH_S / 1e9
    return Line(
        what="feed through the NAT gateway, GB a month",
        count=gb,
        arithmetic=f"{load.points_s:,.0f}/s x {FEED_BYTES} B of MessagePack",
        usd=gb * prices.nat_gb + 730 * prices.nat_hour,
    )


def _warnings(load: Load, shards: int, measured: Measured) -> list[str]:
    warnings = []
    processes = math.ceil(load.points_s * measured.ingest_us / 1e6 / HEADROOM)
    if processes > 1:
        warnings.append(
            f"{processes} ingesters need {processes} connections: Alpaca admits one an account"
            " and venue, so divide the symbols over accounts or venues"
        )
    if shards > load.buckets:
        warnings.append(
            f"{load.buckets} buckets cannot use {shards} shards: a bucket lives on one shard;"
            f" use at least {2 ** math.ceil(math.log2(2 * shards))} buckets on a drained stream"
        )
    for function, point_us in (
        (functions.VALIDATE, measured.validate_us),
        (functions.AGGREGATE, measured.aggregate_us),
    ):
        cpu = function.memory_mb / LAMBDA_MB_A_CPU
        share = load.points_s * point_us / 1e6 / cpu / min(load.buckets, load.symbols)
        if share > HEADROOM:
            warnings.append(
                f"{function.name}: a bucket keeps a function busy {share:.0%} of the time, and its"
                " order allows one at a time: use more buckets, or more memory"
            )
    if load.symbols < load.buckets:
        warnings.append(f"{load.symbols} symbols fill at most {load.symbols} buckets")
    return warnings
