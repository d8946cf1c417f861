"""Streams, functions, schedules, containers, workflows and stores."""

from __future__ import annotations

from collections.abc import Iterator

from reference_pages.markdown import code, table
from tradelake.topology import containers, functions, names, stores, streams, workflows
from tradelake.topology.schedules import SCHEDULES


def topology_page() -> str:
    """Return streams, stores, functions, schedules, containers and workflows."""
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
        "Schedules.\n",
        table(
            ("schedule", "function", "rate", "what for"),
            (
                (code(item.name), code(item.function.name), item.expression, item.doc)
                for item in SCHEDULES
            ),
        ),
        *_containers_and_stores(),
    ]
    return "\n".join(parts)


def _destinations(item: functions.Function) -> list[str]:
    written = [stream.name for stream in item.writes_streams]
    if stores.LAKE_BUCKET in item.write_buckets:
        written += [table.name for table in item.lake_tables]
    return written


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
