"""Environment variables: every value that a process may ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from infra.environments import Environment
from infra.hot import HotStoreStack
from infra.lake import CATALOG, LakeStack
from tradelake.topology import containers, names, stores, streams

HEALTH_PORT: Final = 8080
FEED_CLIENT: Final = "native"


def values(environment: Environment, lake: LakeStack, hot: HotStoreStack | None) -> dict[str, str]:
    """Return the value of every variable that a process of this environment may name."""
    return {
        names.ENV_ENVIRONMENT: environment.name,
        names.ENV_CATALOG_URI: CATALOG,
        names.ENV_WAREHOUSE: lake.warehouse,
        names.ENV_ARTIFACT_BUCKET: lake.buckets[stores.ARTIFACT_BUCKET.name].bucket_name,
        names.ENV_HOT_STORE: hot.url if hot else "none",
        names.ENV_FEED_URL: environment.feed_url,
        names.ENV_FEED_CLIENT: FEED_CLIENT,
        names.ENV_DATA_URL: "https://data.alpaca.markets",
        names.ENV_TRADING_URL: "https://paper-api.alpaca.markets",
        names.ENV_FILL_MARGIN_S: "2",
        names.ENV_VENUE: environment.venue,
        names.ENV_SYMBOLS: environment.symbols,
        names.ENV_CHANNELS: environment.channels,
        names.ENV_BUCKETS: str(streams.BUCKETS),
        names.ENV_LINGER_MS: str(environment.linger_ms),
        names.ENV_HEALTH_PORT: str(HEALTH_PORT),
        names.ENV_SPOOL: containers.INGESTER.spool_path,
        names.ENV_SPOOL_MAX_BYTES: str(environment.spool_max_bytes),
        names.ENV_QUALITY_RULES: environment.quality_rules,
        names.ENV_TRANSFORMS: environment.transforms,
        names.ENV_ORIGIN: environment.origin,
        names.ENV_BAR_TIMEFRAMES: environment.bar_timeframes,
        names.ENV_QUOTE_BARS_FROM: environment.quote_bars_from,
        names.ENV_LATENESS_S: str(environment.lateness_s),
        names.ENV_REBUILD_GRACE_S: str(environment.rebuild_grace_s),
    }


def chosen(available: Mapping[str, str], wanted: Sequence[str]) -> dict[str, str]:
    """Return the environment's name and the wanted variables.

    Raises
    ------
    KeyError
        The topology asks for a variable that no environment gives a value.
    """
    return {name: available[name] for name in (names.ENV_ENVIRONMENT, *wanted)}
