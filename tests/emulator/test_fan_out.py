"""A sweep through state machine, real handlers, real job processes and a real lake."""

from __future__ import annotations

import os

import msgspec
import pytest

from tests.emulator.conftest import eventually
from tradelake.adapters.aws.objects import S3Objects
from tradelake.adapters.aws.workflows import StepFunctions
from tradelake.bootstrap import wire_lake_reader
from tradelake.topology import names
from tradelake.usecases.collect_backtests import MISSING
from tradelake.usecases.sweeps import (
    SweepProgress,
    SweepRequest,
    progress,
    read_manifest,
    request_key,
)

pytestmark = pytest.mark.timeout(300)


def test_sweep_records_every_run_once_when_some_jobs_break(aws):
    request = SweepRequest(
        sweep_id="fan-out",
        strategy="stub",
        symbols=("BTC/USD", "ETH/USD"),
        timeframe="1h",
        start_ns=0,
        end_ns=1,
        grid={"n": tuple(range(12))},
    )
    artifacts = S3Objects(aws.made.buckets["artifacts"])
    artifacts.put(request_key("fan-out"), msgspec.json.encode(request))
    workflows = StepFunctions("test")
    payload = {"sweep_id": "fan-out", "request_key": request_key("fan-out")}
    execution = workflows.start("backtests", "fan-out", payload)
    eventually(lambda: workflows.status(execution)[0] != "RUNNING", timeout_s=240)

    assert workflows.status(execution) == (
        "SUCCEEDED",
        {"sweep_id": "fan-out", "expected": 24, "succeeded": 22, "failed": 2, "appended": 24},
    )
    assert progress(artifacts, "fan-out") == SweepProgress(expected=24, finished=22)
    assert workflows.map_counts(execution).total == 24
    named = {f"backtest-{entry.run_id}" for entry in read_manifest(artifacts, "fan-out")}
    assert jobs_by_status(aws, named) == {"SUCCEEDED": 22, "FAILED": 2}
    again = aws.client("lambda").invoke(
        FunctionName=aws.made.functions["collect_backtests"],
        Payload=msgspec.json.encode({"sweep_id": "fan-out"}),
    )
    assert msgspec.json.decode(again["Payload"].read())["appended"] == 0
    assert failures(aws) == [("BTC/USD", '{"n":7}', MISSING), ("ETH/USD", '{"n":7}', MISSING)]


def jobs_by_status(aws, named: set[str]) -> dict[str, int]:
    """Count the jobs of some names."""
    batch = aws.client("batch")
    return {
        status: sum(
            1
            for page in batch.get_paginator("list_jobs").paginate(
                jobQueue=aws.made.job_queue, jobStatus=status
            )
            for job in page["jobSummaryList"]
            if job["jobName"] in named
        )
        for status in ("SUCCEEDED", "FAILED")
    }


def failures(aws) -> list[tuple[str, ...]]:
    environment = {**os.environ, **aws.plan.variables, names.ENV_ENVIRONMENT: "test"}
    rows = wire_lake_reader(environment).sql(
        "SELECT symbol, params, error FROM trials"
        " WHERE status = 'failed' AND sweep_id = 'fan-out' ORDER BY symbol"
    )
    return [tuple(row.values()) for row in rows.to_pylist()]
