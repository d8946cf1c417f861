"""Step Functions state machines: ONE Amazon States Language definition, run by AWS and by the embedded AWS.

JSONPath throughout (emulators stub JSONata), no ``ItemBatcher`` and no integer ``ToleratedFailurePercentage`` (emulators
reject them). A Distributed Map can report success with no job run, so the collector counts results against the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tradelake.topology import containers, functions, names, stores


@dataclass(frozen=True, slots=True)
class Workflow:
    """A state machine: its functions, its job, and its definition with ``${...}`` placeholders filled by an interpreter."""

    name: str
    functions: tuple[functions.Function, ...]
    jobs: tuple[containers.BatchJob, ...]
    buckets: tuple[stores.Bucket, ...]
    doc: str


BACKTESTS: Final = Workflow(
    "backtests",
    (functions.PREPARE, functions.COLLECT),
    (containers.BACKTEST,),
    (stores.ARTIFACT_BUCKET,),
    "prepare a manifest, run every backtest of it as a batch job, collect the results into the trial ledger",
)

WORKFLOWS: Final = (BACKTESTS,)


def backtests_definition(
    *,
    prepare_arn: str,
    collect_arn: str,
    job_queue_arn: str,
    job_definition_arn: str,
    max_concurrency: int,
) -> dict[str, Any]:
    """ASL of the backtest fan-out.

    Input: ``{"sweep_id": str, "request_key": str}`` (the sweep request in the artifact bucket). ``prepare`` answers
    ``{"sweep_id", "bucket", "manifest_key", "count"}``; the manifest is a JSON array of ``{"run_id", "spec_key",
    "result_key"}``. A failed job does not stop the others: the collector finds its result missing and records a failed
    trial.
    """
    retry_service = {
        "ErrorEquals": ["States.TaskFailed"],
        "IntervalSeconds": 2,
        "BackoffRate": 2.0,
        "MaxAttempts": 2,
    }
    run_one = {
        "Type": "Task",
        "Resource": "arn:aws:states:::batch:submitJob.sync",
        "Parameters": {
            "JobName.$": "States.Format('backtest-{}', $.run_id)",
            "JobQueue": job_queue_arn,
            "JobDefinition": job_definition_arn,
            "ContainerOverrides": {
                "Environment": [
                    {"Name": names.ENV_BACKTEST_SPEC, "Value.$": "$.spec_key"},
                    {"Name": names.ENV_RESULT_KEY, "Value.$": "$.result_key"},
                ]
            },
        },
        "ResultPath": None,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Failed"}],
        "Next": "Done",
    }
    return {
        "Comment": BACKTESTS.doc,
        "StartAt": "Prepare",
        "States": {
            "Prepare": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": prepare_arn, "Payload.$": "$"},
                "ResultSelector": {
                    "sweep_id.$": "$.Payload.sweep_id",
                    "bucket.$": "$.Payload.bucket",
                    "manifest_key.$": "$.Payload.manifest_key",
                    "count.$": "$.Payload.count",
                },
                "Retry": [retry_service],
                "Next": "RunBacktests",
            },
            "RunBacktests": {
                "Type": "Map",
                "MaxConcurrency": max_concurrency,
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "JSON"},
                    "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.manifest_key"},
                },
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "RunBacktest",
                    "States": {
                        "RunBacktest": run_one,
                        "Failed": {"Type": "Pass", "End": True},
                        "Done": {"Type": "Succeed"},
                    },
                },
                "ResultPath": None,
                "Next": "Collect",
            },
            "Collect": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": collect_arn, "Payload.$": "$"},
                "ResultSelector": {
                    "sweep_id.$": "$.Payload.sweep_id",
                    "expected.$": "$.Payload.expected",
                    "succeeded.$": "$.Payload.succeeded",
                    "failed.$": "$.Payload.failed",
                    "appended.$": "$.Payload.appended",
                },
                "Retry": [retry_service],
                "End": True,
            },
        },
    }
