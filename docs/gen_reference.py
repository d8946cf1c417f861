"""Writes the reference pages from the code they describe.

``python docs/gen_reference.py`` writes them, ``python docs/gen_reference.py --check`` only says
which are not current and then exits 1. A test runs the check, so a page can never go stale.
"""
# ruff: noqa: INP001 - a script, run by its path

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from tradelake import settings
from tradelake.cli import cli
from tradelake.exchange import admin, assets, faults, rest, schemas
from tradelake.exchange.subscriptions import ERRORS
from tradelake.features.registry import FEATURE_SETS
from tradelake.models.training import Hyperparameters
from tradelake.strategies.library import STRATEGIES
from tradelake.stream.quality_rules import RULES
from tradelake.stream.thresholds import DEFAULTS, Thresholds
from tradelake.topology import containers, functions, names, stores, streams, tables, workflows

FOLDER: Final = Path(__file__).resolve().parent / "reference"
MADE: Final = "<!-- Made by docs/gen_reference.py from the code. Do not edit. -->\n\n"
PREFIX: Final = "/v1beta3/crypto/{location}"

MEANINGS: Final[Mapping[str, str]] = {
    names.ENV_ENVIRONMENT: "name of the environment; part of every physical name",
    names.ENV_CATALOG_URI: "`glue`, or `sqlite:///<file>` on one machine",
    names.ENV_WAREHOUSE: "`s3://bucket/prefix`, or a folder",
    names.ENV_ARTIFACT_BUCKET: "bucket of models, sweep manifests and results",
    names.ENV_HOT_STORE: "`influxdb://host:port/org/bucket?secret=…`, `sqlite:///path` or `none`",
    names.ENV_HOT_TOKEN: "token of the hot store where its address names no secret",
    names.ENV_FEED_URL: "websocket of the venue",
    names.ENV_DATA_URL: "base of Alpaca's historical REST, where it is not Alpaca's own",
    names.ENV_FILL_MARGIN_S: "by how much a gap is widened on both sides when it is filled, s: what"
    " our clock and the venue's may differ",
    names.ENV_TRADING_URL: "base of Alpaca's trading API, which lists the pairs; unset: paper",
    names.ENV_VENUE: "venue of every record: `us`, `us-1`, `eu-1`",
    names.ENV_SYMBOLS: "pairs, comma-separated; `*` is every symbol",
    names.ENV_CHANNELS: "channels, comma-separated",
    names.ENV_BUCKETS: "symbol buckets; changing it needs drained streams",
    names.ENV_LINGER_MS: "how long a record waits for company, ms",
    names.ENV_BAR_TIMEFRAMES: "timeframes to build, comma-separated: times, and event bars as"
    " tick:100, volume:0.5, dollar:100000; for one symbol volume:BTC/USD=0.5",
    names.ENV_REBUILD_GRACE_S: "how much later than the lake's watermark a rebuild reckons with"
    " trades, s",
    names.ENV_QUOTE_BARS_FROM: "shortest bars made of quotes where there is no trade, or none",
    names.ENV_LATENESS_S: "how long after its end a bar waits for late trades, s",
    names.ENV_SILENCE_S: "without data for so long a socket counts as mute and is replaced, s",
    names.ENV_CONNECTION_HOLD_S: "wait after the venue said that we are connected already (406), s",
    names.ENV_HEALTH_PORT: "port of the ingester's health answer; 0: none",
    names.ENV_BOOK_SNAPSHOT_S: "time between two snapshots of a book, s; 0: no books are kept",
    names.ENV_BOOK_DEPTH: "levels of a snapshot, per side",
    names.ENV_UNIVERSE_S: "time between two looks at the venue's assets, s; 0: none",
    names.ENV_FINAL_WATERMARK: "`true`: the end of the run is the end of time, close every bar",
    names.ENV_QUALITY_RULES: "thresholds of the quality rules: JSON, or `@` and the path of a file",
    names.ENV_TRANSFORMS: "modules of users' transforms, comma-separated; empty: none",
    names.ENV_BACKTEST_SPEC: "key of the specification to run, in the artifact bucket",
    names.ENV_RESULT_KEY: "key the result is written to",
}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = (" ".join(str(cell).split()).replace("|", "\\|") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def code(*items: object) -> str:
    """Return items as inline code, comma-separated; a dash where there are none."""
    return ", ".join(f"`{item}`" for item in items) or "–"


def summary(thing: object) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n")[0].replace("``", "`")


def cli_page() -> str:
    """Return every verb with its options."""
    parts = [
        (
            "# Command line\n\nExit codes: 0 done; 1 the work says no; 2 wrong arguments, settings"
            " or data; 130 interrupted. Whatever goes wrong is one line on standard error.\n"
        )
    ]
    commands: list[tuple[str, click.Command]] = [("tradelake", cli)]
    commands += [(f"tradelake {name}", command) for name, command in sorted(cli.commands.items())]
    for name, command in commands:
        context = click.Context(
            command, info_name=name, max_content_width=100, terminal_width=100, color=False
        )
        parts.append(f"## `{name}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


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


def tables_page() -> str:
    """Return every lake table with its columns."""
    parts = [
        (
            "# Lake tables\n\nIceberg tables (format 2, Parquet with zstd) in the namespace"
            f" `{names.iceberg_namespace('<environment>')}`. `timestamptz` is UTC in microseconds;"
            " `levels` is `list<struct<price: double, size: double>>`. Two rows with equal identity"
            " are the same datum, and the writer never stores the second.\n"
        )
    ]
    for item in tables.TABLES:
        partition = ", ".join(
            f"`{column}`" if transform == "identity" else f"`{transform}({column})`"
            for column, transform in item.partition
        )
        rows = [
            (code(column.name), column.type, "no" if column.required else "yes", column.doc)
            for column in item.columns
        ]
        parts.append(
            f"## `{item.name}`\n\nA row is {item.doc}.\n\nIdentity: {code(*item.identity)}."
            f" Partition: {partition}.\n\n" + table(("column", "type", "null", "meaning"), rows)
        )
    return "\n".join(parts)


def topology_page() -> str:
    """Return streams, stores, functions, containers and workflows."""
    parts = [
        (
            "# Streams, functions, containers, workflows\n\nA physical name is"
            f" `{names.physical('<environment>', '<name>')}`.\n"
        ),
        (
            "## Streams\n\nA record is a micro-batch of one symbol bucket, which is the partition"
            f" key; there are {streams.BUCKETS} buckets.\n"
        ),
        table(
            ("stream", "shards", "retention", "carries"),
            (
                (code(item.name), item.shards, f"{item.retention_hours} h", item.doc)
                for item in streams.STREAMS
            ),
        ),
        "## Functions\n",
        table(
            ("function", "package", "memory", "time-out", "writes", "what it does"),
            (
                (
                    code(item.name),
                    item.package,
                    f"{item.memory_mb} MB",
                    f"{item.timeout_s} s",
                    code(*_destinations(item)),
                    item.doc,
                )
                for item in functions.FUNCTIONS
            ),
        ),
        "Triggers. Retries are until the record expires.\n",
        table(
            ("function", "stream", "batches at most", "window", "parallel", "enhanced fan-out"),
            (
                (
                    code(item.name),
                    code(trigger.stream.name),
                    trigger.batch_size,
                    f"{trigger.window_s:g} s",
                    trigger.parallelization,
                    "yes" if trigger.enhanced_fan_out else "no",
                )
                for item in functions.FUNCTIONS
                for trigger in item.triggers
            ),
        ),
        *_containers_and_stores(),
    ]
    return "\n".join(parts)


def _destinations(item: functions.Function) -> list[str]:
    written = [stream.name for stream in item.writes_streams]
    return written + [table.name for table in item.lake_tables]


def _containers_and_stores() -> Iterator[str]:
    yield "## Containers\n"
    yield table(
        ("container", "runs as", "size", "what it does"),
        (
            *(
                (
                    code(item.name),
                    "ECS service",
                    f"{item.cpu} CPU units, {item.memory_mb} MB",
                    item.doc,
                )
                for item in containers.SERVICES
            ),
            *(
                (code(item.name), "Batch job", f"{item.vcpu:g} vCPU, {item.memory_mb} MB", item.doc)
                for item in containers.BATCH_JOBS
            ),
        ),
    )
    yield "## Workflows\n"
    definition = workflows.backtests_definition(
        prepare_arn="", collect_arn="", job_queue_arn="", job_definition_arn="", max_concurrency=1
    )
    states = {workflows.BACKTESTS.name: " → ".join(f"`{name}`" for name in definition["States"])}
    yield table(
        ("state machine", "states", "what it does"),
        ((code(item.name), states[item.name], item.doc) for item in workflows.WORKFLOWS),
    )
    yield "## Key tables\n"
    yield table(
        ("DynamoDB table", "keys", "holds"),
        (
            (code(item.name), code(*filter(None, (item.partition_key, item.sort_key))), item.doc)
            for item in stores.KEY_TABLES
        ),
    )
    yield "## Buckets\n"
    yield table(
        ("S3 bucket", "tiering", "holds"),
        ((code(item.name), item.tiering, item.doc) for item in stores.BUCKETS),
    )


def exchange_page() -> str:
    """Return routes, error codes, faults and file schemas of the exchange simulator."""
    data: Any = None  # routes are only described, never called
    served = [
        *rest.RestEndpoints(data, data).routes(PREFIX),
        *assets.AssetEndpoints(data, data).routes("/v2", "/_exchange"),
        *admin.AdminEndpoints(data, data, data, data, data).routes("/_exchange"),
    ]
    rows = [("GET", code(PREFIX), "The market-data websocket.")]
    rows += [(item.method, code(item.path), summary(item.handler)) for item in served]
    routes = table(("method", "path", "answers"), rows)
    kinds = table(
        ("`kind`", "effect"), ((code(kind), summary(act)) for kind, act in faults.KINDS.items())
    )
    errors = table(("code", "message"), ERRORS.items())
    files = "\n".join(
        f"### `{kind}_*.parquet`\n\n"
        + table(("column", "Arrow type"), ((code(n), code(t)) for n, t in columns.items()))
        for kind, columns in schemas.SCHEMAS.items()
    )
    return (
        "# Exchange simulator\n\n`tradelake exchange` speaks Alpaca's crypto market-data protocol."
        " Clients authenticate with `--key` and `--secret`.\n\n"
        f"## Routes\n\n{routes}\n"
        f"## Faults\n\n`POST /_exchange/fault` with a JSON object; other fields are the"
        f" parameters named in the effect.\n\n{kinds}\n"
        f"## Stream error codes\n\n{errors}\n"
        f"## Recorded files\n\nMore columns may be present; a column that is entirely null may have"
        f" the type `null`.\n\n{files}"
    )


def quality_page() -> str:
    """Return the quality rules and their thresholds, from the one list of each."""
    rules = [
        (
            code(rule.name),
            rule.action,
            rule.step,
            ", ".join(rule.channels),
            rule.meaning,
            ", ".join(code(name) for name in rule.thresholds),
        )
        for rule in RULES
    ]
    meanings = dict(_PARAMETER.findall(inspect.getdoc(Thresholds) or ""))
    thresholds = [
        (code(name), f"{getattr(DEFAULTS, name):g}", " ".join(meanings[name].split()))
        for name in Thresholds.__struct_fields__
    ]
    return (
        "# Quality rules\n\n*Reject* sends the record to the `quarantine` table with rule, reason"
        " and bytes; *flag* keeps it, and the rule's name travels with it in its field `flags`."
        " *validate* looks at a record alone, *neighbours* at a record among those of its channel"
        " and symbol, *transform* at what a user's transform did.\n\n"
        + table(("rule", "action", "step", "channels", "meaning", "thresholds"), rules)
        + f"\n## Thresholds\n\n`{names.ENV_QUALITY_RULES}` holds what differs from the defaults;"
        " see [Set quality thresholds](../how-to/quality.md).\n\n"
        + table(("threshold", "default", "meaning"), thresholds)
    )


_PARAMETER: Final = re.compile(r"^(\w+) : .*\n((?: {4}.*\n?)+)", re.MULTILINE)


def strategies_page() -> str:
    """Return strategies, features and hyper-parameters."""
    parts = ["# Strategies, features, hyper-parameters\n\n## Strategies\n"]
    for entry in STRATEGIES.values():
        order = " < ".join(f"`{name}`" for name in entry.ascending)
        parts.append(
            f"### `{entry.name}`\n\n{entry.doc[0].upper()}{entry.doc[1:]}."
            + (f" Must hold: {order}." if order else "")
            + "\n\n"
            + table(
                ("parameter", "type", "default", "range", "meaning"),
                (
                    (
                        code(parameter.name),
                        parameter.type.__name__,
                        parameter.default,
                        f"{parameter.low} to {parameter.high}",
                        parameter.doc,
                    )
                    for parameter in entry.parameters
                ),
            )
        )
    parts.append("## Feature sets\n\nA set is never changed once a model was trained on it.\n")
    for name, chosen in FEATURE_SETS.items():
        rows = ((code(item.name), item.warmup, item.doc) for item in chosen.features)
        parts.append(f"### `{name}`\n\n" + table(("feature", "warm-up bars", "meaning"), rows))
    defaults = msgspec.structs.asdict(Hyperparameters())
    parts.append(
        "## Hyper-parameters of training\n\n"
        + table(("name", "default"), ((code(n), code(v)) for n, v in defaults.items()))
    )
    return "\n".join(parts)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": cli_page,
    "variables.md": variables_page,
    "tables.md": tables_page,
    "topology.md": topology_page,
    "exchange.md": exchange_page,
    "quality.md": quality_page,
    "strategies.md": strategies_page,
}


def stale() -> list[str]:
    """Return the names of the pages that are not what the code says now."""
    found = []
    for name, page in PAGES.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != MADE + page():
            found.append(name)
    return found


def main() -> int:
    """Write or check the pages; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args().check:
        wrong = stale()
        if wrong:
            sys.stderr.write(f"not current: {', '.join(wrong)}; run docs/gen_reference.py\n")
        return 1 if wrong else 0
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(MADE + page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
