"""Environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from reference_pages.markdown import code, table
from tradelake import settings
from tradelake.topology import containers, functions, names

MEANINGS: Final[Mapping[str, str]] = {
    names.ENV_ENVIRONMENT: "name of the environment; part of every physical name",
    names.ENV_CATALOG_URI: "`glue`, or `sqlite:///<file>` on one machine",
    names.ENV_WAREHOUSE: "`s3://bucket/prefix`, or a folder",
    names.ENV_ARTIFACT_BUCKET: "bucket of models, sweep manifests and results",
    names.ENV_HOT_STORE: "`influxdb://host:port/org/bucket?secret=…`, `sqlite:///path` or `none`",
    names.ENV_HOT_TOKEN: "token of the hot store where its address names no secret",
    names.ENV_FEED_URL: "websocket of the venue",
    names.ENV_FEED_CLIENT: "who speaks with it: `native`, our own session; `sdk`, alpaca-py",
    names.ENV_DATA_URL: "base of Alpaca's historical REST, where it is not Alpaca's own",
    names.ENV_FILL_MARGIN_S: "by how much a gap is widened on both sides when it is filled, s: what"
    " our clock and the venue's may differ",
    names.ENV_TRADING_URL: "base of Alpaca's trading API, which lists the pairs; unset: paper",
    names.ENV_VENUE: "venue of every record: `us`, `us-1`, `eu-1`",
    names.ENV_ORIGIN: "which ingester, where several divide a venue's symbols; empty: the only one",
    names.ENV_SYMBOLS: "pairs, comma-separated; `*` is every symbol",
    names.ENV_CHANNELS: "channels, comma-separated",
    names.ENV_BUCKETS: "symbol buckets; changing it needs drained streams",
    names.ENV_LINGER_MS: "how long a record waits for company, ms",
    names.ENV_SPOOL: "folder in which batches wait while the stream refuses; empty: in memory only",
    names.ENV_SPOOL_MAX_BYTES: "bytes that may wait there; above it the feed is not read",
    names.ENV_LEASE_S: "without a sign of life for so long a leader is replaced, its task ended, s",
    names.ENV_BAR_TIMEFRAMES: "timeframes to build, comma-separated: times, and event bars as"
    " tick:100, volume:0.5, dollar:100000; for one symbol volume:BTC/USD=0.5",
    names.ENV_REBUILD_GRACE_S: "how much later than the lake's watermark a rebuild reckons with"
    " trades, s",
    names.ENV_QUOTE_BARS_FROM: "shortest bars made of quotes where there is no trade, or none",
    names.ENV_LATENESS_S: "how long after its end a bar waits for late trades, s",
    names.ENV_SILENCE_S: "without data for so long a socket counts as mute and is replaced, s",
    names.ENV_CONNECTION_HOLD_S: "wait after the venue said that we are connected already (406), s",
    names.ENV_HEALTH_PORT: "port of the ingester's health answer and live tap; 0: none",
    names.ENV_TAP_URL: "base URL of an ingester, for `tradelake tap`",
    names.ENV_BOOK_SNAPSHOT_S: "time between two snapshots of a book, s; 0: no books are kept",
    names.ENV_BOOK_DEPTH: "levels of a snapshot, per side",
    names.ENV_UNIVERSE_S: "time between two looks at the venue's assets, s; 0: none",
    names.ENV_FINAL_WATERMARK: "`true`: the end of the run is the end of time, close every bar",
    names.ENV_QUALITY_RULES: "thresholds of the quality rules: JSON, or `@` and the path of a file",
    names.ENV_TRANSFORMS: "modules of users' transforms, comma-separated; empty: none",
    names.ENV_BACKTEST_SPEC: "key of the specification to run, in the artifact bucket",
    names.ENV_RESULT_KEY: "key the result is written to",
}


def variables_page() -> str:
    """Return every environment variable, its default and who reads it."""
    every = {value for name, value in vars(names).items() if name.startswith("ENV_")}
    if every != set(MEANINGS):
        raise ValueError(f"MEANINGS does not match names: {sorted(every ^ set(MEANINGS))}")
    readers = _variable_readers()
    defaults = _variable_defaults()
    rows = [
        (code(name), meaning, defaults.get(name, "–"), ", ".join(readers.get(name, ())) or "–")
        for name, meaning in MEANINGS.items()
    ]
    known = table(("variable", "meaning", "default", "read by"), rows)
    return (
        "# Environment variables\n\nA process reads its variables once, at the start, into a typed"
        " `Settings` (`src/tradelake/settings.py`); a missing or malformed one stops it with a"
        " message that names it. On AWS, CDK sets them from `infra/environments.py`; on one machine"
        f" `tradelake` sets them itself.\n\n{known}\n"
        "Read by the libraries and the command line:\n\n"
        + table(
            ("variable", "meaning"),
            (
                ("`TRADELAKE_DATA`", "folder of recorded Parquet: `tradelake demo`, and tests"),
                (
                    "`APCA_API_KEY_ID`, `APCA_API_SECRET_KEY`",
                    "Alpaca's credentials for historical REST; bars of crypto need none",
                ),
                ("`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_KINESIS`", "where boto3 finds AWS"),
                ("`SM_*`", "SageMaker's contract with `sagemaker/train.py`"),
            ),
        )
    )


def _settings() -> list[type[msgspec.Struct]]:
    return [
        item
        for item in vars(settings).values()
        if isinstance(item, type)
        and issubclass(item, msgspec.Struct)
        and item is not msgspec.Struct
    ]


def _variable_readers() -> dict[str, list[str]]:
    found = {names.ENV_ENVIRONMENT: ["every function, service and job"]}
    for kind, items in (
        ("function", functions.FUNCTIONS),
        ("service", containers.SERVICES),
        ("job", containers.BATCH_JOBS),
    ):
        for item in items:
            for name in item.environment:
                found.setdefault(name, []).append(f"{kind} `{item.name}`")
    for setting in _settings():
        for field in msgspec.structs.fields(setting):
            if field.encode_name not in found:
                found[field.encode_name] = [f"`{setting.__name__}`"]
    found.setdefault(names.ENV_DATA_URL, []).append("`tradelake demo`")
    return found


def _variable_defaults() -> dict[str, str]:
    return {
        field.encode_name: code(field.default) if field.default != "" else "empty"
        for setting in _settings()
        for field in msgspec.structs.fields(setting)
        if field.default is not msgspec.NODEFAULT
    }
