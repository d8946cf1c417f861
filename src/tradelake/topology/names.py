"""Logical names and how an environment's physical names follow from them."""

from __future__ import annotations

from typing import Final

SYSTEM: Final = "tradelake"

# Secrets
ALPACA_SECRET: Final = "alpaca"  # noqa: S105 - the name of a secret, not the secret

# Environment variables: one spelling for settings, infra and local mode.
ENV_ENVIRONMENT: Final = "TRADELAKE_ENVIRONMENT"
ENV_CATALOG_URI: Final = "TRADELAKE_CATALOG_URI"
ENV_WAREHOUSE: Final = "TRADELAKE_WAREHOUSE"
ENV_ARTIFACT_BUCKET: Final = "TRADELAKE_ARTIFACT_BUCKET"
ENV_HOT_STORE: Final = "TRADELAKE_HOT_STORE"
ENV_HOT_TOKEN: Final = "TRADELAKE_HOT_TOKEN"  # noqa: S105 - the name of a variable
ENV_FEED_URL: Final = "TRADELAKE_FEED_URL"
ENV_FEED_CLIENT: Final = "TRADELAKE_FEED_CLIENT"
ENV_DATA_URL: Final = "TRADELAKE_DATA_URL"
ENV_FILL_MARGIN_S: Final = "TRADELAKE_FILL_MARGIN_S"
ENV_TRADING_URL: Final = "TRADELAKE_TRADING_URL"
ENV_VENUE: Final = "TRADELAKE_VENUE"
ENV_SYMBOLS: Final = "TRADELAKE_SYMBOLS"
ENV_CHANNELS: Final = "TRADELAKE_CHANNELS"
ENV_BUCKETS: Final = "TRADELAKE_BUCKETS"
ENV_LINGER_MS: Final = "TRADELAKE_LINGER_MS"
ENV_LEASE_S: Final = "TRADELAKE_LEASE_S"
ENV_ORIGIN: Final = "TRADELAKE_ORIGIN"
ENV_SPOOL: Final = "TRADELAKE_SPOOL"
ENV_SPOOL_MAX_BYTES: Final = "TRADELAKE_SPOOL_MAX_BYTES"
ENV_BAR_TIMEFRAMES: Final = "TRADELAKE_BAR_TIMEFRAMES"
ENV_QUOTE_BARS_FROM: Final = "TRADELAKE_QUOTE_BARS_FROM"
ENV_REBUILD_GRACE_S: Final = "TRADELAKE_REBUILD_GRACE_S"
ENV_LATENESS_S: Final = "TRADELAKE_LATENESS_S"
ENV_SILENCE_S: Final = "TRADELAKE_SILENCE_S"
ENV_CONNECTION_HOLD_S: Final = "TRADELAKE_CONNECTION_HOLD_S"
ENV_HEALTH_PORT: Final = "TRADELAKE_HEALTH_PORT"
ENV_TAP_URL: Final = "TRADELAKE_TAP_URL"
ENV_BOOK_SNAPSHOT_S: Final = "TRADELAKE_BOOK_SNAPSHOT_S"
ENV_BOOK_DEPTH: Final = "TRADELAKE_BOOK_DEPTH"
ENV_UNIVERSE_S: Final = "TRADELAKE_UNIVERSE_S"
ENV_FINAL_WATERMARK: Final = "TRADELAKE_FINAL_WATERMARK"
ENV_QUALITY_RULES: Final = "TRADELAKE_QUALITY_RULES"
ENV_TRANSFORMS: Final = "TRADELAKE_TRANSFORMS"
ENV_BACKTEST_SPEC: Final = "TRADELAKE_BACKTEST_SPEC"
ENV_RESULT_KEY: Final = "TRADELAKE_RESULT_KEY"


def physical(environment: str, logical: str) -> str:
    """Name of a stream, function, table or queue in one environment.

    >>> physical("dev", "ticks")
    'tradelake-dev-ticks'
    """
    return f"{SYSTEM}-{environment}-{logical}"


def iceberg_namespace(environment: str) -> str:
    """Name of the Glue database (the Iceberg namespace) of one environment.

    >>> iceberg_namespace("dev")
    'tradelake_dev'
    """
    return f"{SYSTEM}_{environment}".replace("-", "_")
