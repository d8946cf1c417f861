"""One typed Settings per entry point, made of a mapping passed in. Nothing is read at import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from tradelake.decoding import convert
from tradelake.errors import ConfigError, InvalidData
from tradelake.market.channels import CHANNELS
from tradelake.market.timeframes import TIMEFRAMES, plan_bars
from tradelake.topology import names, streams


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


class LakeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the lake is: a pyiceberg catalog and its warehouse."""

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    catalog_uri: str = msgspec.field(name=names.ENV_CATALOG_URI)
    warehouse: str = msgspec.field(name=names.ENV_WAREHOUSE)


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A function that reads and writes streams only."""

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)


class ValidateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The validate function; ``quality_rules`` is JSON, or ``@`` and the path of a file."""

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    quality_rules: str = msgspec.field(name=names.ENV_QUALITY_RULES, default="")


class TransformSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The transform function; ``transforms`` names modules, comma-separated."""

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    transforms: str = msgspec.field(name=names.ENV_TRANSFORMS, default="")


class BarSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars are built.

    ``bar_timeframes`` are the comma-separated entries of
    :func:`tradelake.market.timeframes.plan_bars`: timeframes, and ``tick:100``, ``volume:0.5`` or
    ``dollar:100000`` for event bars; ``volume:BTC/USD=0.5`` replaces a threshold for one symbol.
    ``quote_bars_from`` is the shortest timeframe whose bars are made of quotes where there is no
    trade, or ``none``.
    """

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    bar_timeframes: str = msgspec.field(
        name=names.ENV_BAR_TIMEFRAMES, default="1s,1m,5m,15m,1h,4h,1d"
    )
    quote_bars_from: str = msgspec.field(name=names.ENV_QUOTE_BARS_FROM, default="1m")
    lateness_s: float = msgspec.field(name=names.ENV_LATENESS_S, default=2.0)

    def __post_init__(self) -> None:
        try:
            plan_bars(self.timeframes())
        except InvalidData as error:
            raise ValueError(f"{names.ENV_BAR_TIMEFRAMES}: {error}") from error
        if self.quote_bars_from not in (*TIMEFRAMES, "none"):
            raise ValueError(
                f"{names.ENV_QUOTE_BARS_FROM}: expected one of {', '.join(TIMEFRAMES)} or none;"
                f" found {self.quote_bars_from!r}"
            )

    def timeframes(self) -> tuple[str, ...]:
        """Entries of the timeframes to build, in order."""
        return tuple(_list(self.bar_timeframes))

    def quotes_from_ns(self) -> int | None:
        """Length of the shortest bars that are made of quotes, or None."""
        return TIMEFRAMES.get(self.quote_bars_from)


class AggregateSettings(BarSettings, frozen=True, kw_only=True):
    """The aggregate function."""


class RebuildSettings(BarSettings, frozen=True, kw_only=True):
    """The rebuild_bars function: which bars, and where the lake is.

    ``rebuild_grace_s``: how much later than the lake's watermark a trade may still come to it.
    """

    catalog_uri: str = msgspec.field(name=names.ENV_CATALOG_URI)
    warehouse: str = msgspec.field(name=names.ENV_WAREHOUSE)
    venue: str = msgspec.field(name=names.ENV_VENUE, default="us")
    buckets: int = msgspec.field(name=names.ENV_BUCKETS, default=streams.BUCKETS)
    rebuild_grace_s: float = msgspec.field(name=names.ENV_REBUILD_GRACE_S, default=30.0)


class HotSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The hot function.

    ``hot_store`` is ``sqlite:///path``, ``influxdb://host:port/org/bucket?secret=name`` (over TLS;
    ``influxdb+http://`` without) or ``none``. The secret holds ``token``, or ``username`` and
    ``password``; ``hot_token`` serves where there is no secret.
    """

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    hot_store: str = msgspec.field(name=names.ENV_HOT_STORE)
    hot_token: str = msgspec.field(name=names.ENV_HOT_TOKEN, default="")


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Functions and jobs of the backtest fan-out."""

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    artifact_bucket: str = msgspec.field(name=names.ENV_ARTIFACT_BUCKET)


class BacktestSettings(LakeSettings, frozen=True, kw_only=True):
    """The backtest job: where the spec is and where the result goes."""

    artifact_bucket: str = msgspec.field(name=names.ENV_ARTIFACT_BUCKET)
    spec_key: str = msgspec.field(name=names.ENV_BACKTEST_SPEC)
    result_key: str = msgspec.field(name=names.ENV_RESULT_KEY)


class IngesterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The ingester. ``symbols`` and ``channels`` are comma-separated; ``*`` means every symbol.

    ``origin`` names this ingester where several divide a venue's symbols; each has symbols of its
    own then. ``spool_folder`` is where batches wait while the stream refuses, up to
    ``spool_max_bytes``; empty: they wait in memory only. No books are kept with a
    ``book_snapshot_s`` of 0, and the venue's assets are not watched with a ``universe_s`` of 0.
    """

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    feed_url: str = msgspec.field(name=names.ENV_FEED_URL)
    feed_client: Literal["native", "sdk"] = msgspec.field(
        name=names.ENV_FEED_CLIENT, default="native"
    )
    venue: str = msgspec.field(name=names.ENV_VENUE, default="us")
    origin: str = msgspec.field(name=names.ENV_ORIGIN, default="")
    symbols: str = msgspec.field(name=names.ENV_SYMBOLS, default="*")
    channels: str = msgspec.field(name=names.ENV_CHANNELS, default=",".join(CHANNELS))
    buckets: int = msgspec.field(name=names.ENV_BUCKETS, default=streams.BUCKETS)
    linger_ms: float = msgspec.field(name=names.ENV_LINGER_MS, default=5.0)
    spool_folder: str = msgspec.field(name=names.ENV_SPOOL, default="")
    spool_max_bytes: int = msgspec.field(name=names.ENV_SPOOL_MAX_BYTES, default=4 * 1024**3)
    silence_s: float = msgspec.field(name=names.ENV_SILENCE_S, default=300.0)
    connection_hold_s: float = msgspec.field(name=names.ENV_CONNECTION_HOLD_S, default=90.0)
    book_snapshot_s: float = msgspec.field(name=names.ENV_BOOK_SNAPSHOT_S, default=1.0)
    book_depth: int = msgspec.field(name=names.ENV_BOOK_DEPTH, default=10)
    universe_s: float = msgspec.field(name=names.ENV_UNIVERSE_S, default=300.0)
    trading_url: str = msgspec.field(name=names.ENV_TRADING_URL, default="")
    lease_s: float = msgspec.field(name=names.ENV_LEASE_S, default=6.0)
    health_port: int = msgspec.field(name=names.ENV_HEALTH_PORT, default=0)
    final_watermark: bool = msgspec.field(name=names.ENV_FINAL_WATERMARK, default=False)
    quality_rules: str = msgspec.field(name=names.ENV_QUALITY_RULES, default="")

    def __post_init__(self) -> None:
        if self.buckets < 1 or self.linger_ms <= 0 or not 0 <= self.health_port < 65_536:
            raise ValueError(
                "expected at least one bucket, a linger above 0 ms and a port below 65536; found"
                f" {self.buckets}, {self.linger_ms:g} and {self.health_port}"
            )
        if self.lease_s <= 0 or (self.origin and "*" in self.symbol_list()):
            raise ValueError(
                "expected a lease of more than 0 s, and symbols of its own for an ingester with an"
                f" origin; found {self.lease_s:g} s, {self.origin!r} and {self.symbols!r}"
            )
        if not all(one.isalnum() or one in "-_" for one in self.origin):
            raise ValueError(f"expected letters, digits, - and _ in origin; found {self.origin!r}")
        if self.book_snapshot_s < 0 or self.book_depth < 1 or self.universe_s < 0:
            raise ValueError(
                "expected snapshots every 0 s or more, of at least one level, and a universe"
                f" refreshed every 0 s or more; found {self.book_snapshot_s:g}, {self.book_depth}"
                f" and {self.universe_s:g}"
            )

    def symbol_list(self) -> list[str]:
        """Symbols to subscribe."""
        return _list(self.symbols)

    def channel_list(self) -> list[str]:
        """Channels to subscribe."""
        return _list(self.channels)


class BackfillSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The backfill function.

    ``symbols`` are those of gaps of every symbol; ``*`` asks the trading API for them. ``data_url``
    and ``trading_url`` are the bases of a venue other than Alpaca's own.
    """

    environment: str = msgspec.field(name=names.ENV_ENVIRONMENT)
    venue: str = msgspec.field(name=names.ENV_VENUE, default="us")
    symbols: str = msgspec.field(name=names.ENV_SYMBOLS, default="*")
    data_url: str = msgspec.field(name=names.ENV_DATA_URL, default="")
    trading_url: str = msgspec.field(name=names.ENV_TRADING_URL, default="")
    quality_rules: str = msgspec.field(name=names.ENV_QUALITY_RULES, default="")
    fill_margin_s: float = msgspec.field(name=names.ENV_FILL_MARGIN_S, default=2.0)
    buckets: int = msgspec.field(name=names.ENV_BUCKETS, default=streams.BUCKETS)

    def __post_init__(self) -> None:
        if self.buckets < 1 or not 0 <= self.fill_margin_s <= 3600:
            raise ValueError(
                "expected at least one bucket and a margin of 0 to 3600 s; found"
                f" {self.buckets} and {self.fill_margin_s:g}"
            )

    def symbol_list(self) -> list[str]:
        """Symbols of gaps of every symbol."""
        return _list(self.symbols)


SettingsType = TypeVar("SettingsType", bound=msgspec.Struct)


def load_settings(environment: Mapping[str, Any], kind: type[SettingsType]) -> SettingsType:
    """Convert a mapping (usually ``os.environ``) into settings.

    Raises
    ------
    ConfigError
        A variable is missing or has the wrong form; the message names it.
    """
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}
    given = {name: value for name, value in environment.items() if name in fields}
    try:
        return convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"settings of {kind.__name__}: {error}") from error
