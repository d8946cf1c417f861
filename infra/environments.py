"""What differs between environments, typed. Everything else follows from the topology.

Costs are list prices assumed for us-east-1, a month, without traffic: a Kinesis shard 11 USD (a
fan-out consumer of a shard as much again), a NAT gateway 33, an interface endpoint 7 in each
availability zone, Timestream for InfluxDB on ``db.influx.medium`` about 90, the ingester (1 vCPU
arm64, 2 GB) 29, Container Insights a few. ``hot_store="none"`` leaves the database and the function
that feeds it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from tradelake.settings import AggregateSettings, IngesterSettings, RebuildSettings
from tradelake.topology import containers, streams


def _default(kind: type[msgspec.Struct], name: str) -> Any:  # noqa: ANN401 - a field's own type
    return next(item.default for item in msgspec.structs.fields(kind) if item.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Settings of one environment.

    Parameters
    ----------
    name : str
        Stage name and part of every physical name.
    account, region : str or None
        Where it may be deployed; None: wherever the credentials of the command line point.
    keep_data : bool
        Retain stateful resources when their stack is deleted, and refuse to delete the key tables.
    shards : mapping of str to int
        Shards of a stream by logical name, where it is not what the topology says.
    log_retention_days : {7, 14, 30, 90, 365}
        How long every log group keeps its lines.
    nat_gateways : int
        1: cheap. 2: the ingester survives an availability zone. Alpaca is reached over the
        internet, so never 0.
    interface_endpoints : bool
        Reach AWS without the NAT gateways; the gateway endpoints of S3 and DynamoDB are always
        there.
    hot_store : {"influxdb", "none"}
        Timestream for InfluxDB v2 (LiveAnalytics is closed to new customers), or no hot store.
    hot_instance_type, hot_storage_gib : str, int
        Size of the hot store.
    feed_url, venue, symbols, channels : str
        What the ingester subscribes; ``*`` is every symbol, lists are separated by commas.
    ingester_cpu, ingester_memory_mb : int
        A size that Fargate knows.
    ingester_tasks : int
        One leads, a second one stands by. Alpaca admits one connection an account, so never a
        second environment with the same keys.
    spool_max_bytes : int
        What the ingester may keep on EFS while Kinesis refuses; above it stops reading the feed.
    quality_rules : str
        Thresholds of the quality rules as a JSON object; empty: the defaults.
    transforms : str
        Modules of users' transforms, separated by commas; empty: none.
    origin : str
        Which ingester of the venue, where several divide its symbols; empty for the only one.
    linger_ms : float
        How long a micro-batch may wait for more records.
    bar_timeframes : str
        Timeframes that are aggregated, separated by commas.
    quote_bars_from : str
        Shortest timeframe whose bars are made of quotes where there is no trade, or ``none``.
    lateness_s : float
        How long a bar waits for late trades.
    rebuild_grace_s : float
        How much later than the lake's watermark a rebuild reckons with trades.
    backtest_max_vcpus : int
        Ceiling of each of the two compute environments (Spot, then on demand); new accounts have
        small Fargate quotas.
    backtest_concurrency : int
        Backtests of one sweep that run at a time.
    tracing : bool
        X-Ray.
    alarm_email : str or None
        Who is told; the address confirms the subscription once.
    """

    name: str
    account: str | None = None
    region: str | None = None
    keep_data: bool
    shards: Mapping[str, int] = field(default_factory=dict)
    log_retention_days: Literal[7, 14, 30, 90, 365]
    nat_gateways: int
    interface_endpoints: bool
    hot_store: Literal["influxdb", "none"] = "influxdb"
    hot_instance_type: str = "db.influx.medium"
    hot_storage_gib: int = 20
    feed_url: str = "wss://stream.data.alpaca.markets/v1beta3/crypto/us"
    venue: str = _default(IngesterSettings, "venue")
    symbols: str = _default(IngesterSettings, "symbols")
    channels: str = _default(IngesterSettings, "channels")
    ingester_cpu: int = containers.INGESTER.cpu
    ingester_memory_mb: int = containers.INGESTER.memory_mb
    ingester_tasks: Literal[0, 1, 2] = 2
    spool_max_bytes: int = 20 * 1024**3
    quality_rules: str = ""
    transforms: str = ""
    origin: str = ""
    linger_ms: float = _default(IngesterSettings, "linger_ms")
    bar_timeframes: str = _default(AggregateSettings, "bar_timeframes")
    quote_bars_from: str = _default(AggregateSettings, "quote_bars_from")
    lateness_s: float = _default(AggregateSettings, "lateness_s")
    rebuild_grace_s: float = _default(RebuildSettings, "rebuild_grace_s")
    backtest_max_vcpus: int
    backtest_concurrency: int
    tracing: bool = False
    alarm_email: str | None = None

    def __post_init__(self) -> None:
        unknown = set(self.shards) - {stream.name for stream in streams.STREAMS}
        if unknown:
            raise ValueError(f"{self.name}: shards of unknown streams {sorted(unknown)}")
        if self.nat_gateways < 1:
            raise ValueError(f"{self.name}: the ingester needs a NAT gateway to reach its feed")

    def shards_of(self, stream: streams.Stream) -> int:
        """Shards of a stream in this environment."""
        return self.shards.get(stream.name, stream.shards)


DEV: Final = Environment(
    name="dev",
    keep_data=False,
    shards={streams.TICKS.name: 1, streams.CLEAN.name: 1},
    log_retention_days=14,
    nat_gateways=1,
    interface_endpoints=False,
    symbols="BTC/USD,ETH/USD,SOL/USD",
    ingester_cpu=512,
    ingester_memory_mb=1024,
    ingester_tasks=1,
    backtest_max_vcpus=16,
    backtest_concurrency=16,
)

PROD: Final = Environment(
    name="prod",
    keep_data=True,
    log_retention_days=365,
    nat_gateways=2,
    interface_endpoints=True,
    hot_storage_gib=100,
    backtest_max_vcpus=128,
    backtest_concurrency=128,
    tracing=True,
)

ENVIRONMENTS: Final = (DEV, PROD)
