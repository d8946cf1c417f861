"""Step Functions state machines: ONE definition each, run by AWS and by the embedded AWS.

JSONPath throughout (emulators stub JSONata), no ``ItemBatcher`` and no integer
``ToleratedFailurePercentage`` (emulators reject them). A Distributed Map can report success with no
job run, so the collector counts results against the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tradelake.topology import containers, functions, names, stores


@dataclass(frozen=True, slots=True)
class Workflow:
    """A state machine: what it calls, runs and reads. Its definition is a function beside it."""

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
    "prepare a manifest, run each backtest of it as a batch job, collect the trial ledger",
)

WORKFLOWS: Final = (BACKTESTS,)

RETRIED_ERRORS: Final = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Transient",
    "Throttled",
)
"""What is worth another call of a function; the last two are classes of ``tradelake.errors``."""


def backtests_definition(
    *,
    prepare_arn: str,
    collect_arn: str,
    job_queue_arn: str,
    job_definition_arn: str,
    max_concurrency: int,
) -> dict[str, Any]:
    """ASL of the backtest fan-out.

    Input: ``{"sweep_id": str, "request_key": str}`` (the sweep request in the artifact bucket).
    ``prepare`` answers ``{"sweep_id", "bucket", "manifest_key", "count"}``; the manifest is a JSON
    array of ``{"run_id", "spec_key", "result_key"}``. A job that breaks does not stop the
    others: the collector finds its result missing and records a failed trial. (Catching it says so
    to every interpreter; emulators ignore the map's tolerated failures.)
    """
    return {
        "Comment": BACKTESTS.doc,
        "StartAt": "Prepare",
        "States": {
            "Prepare": _invoke(
                prepare_arn,
                ("sweep_id", "bucket", "manifest_key", "count"),
                {"Next": "RunBacktests"},
            ),
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
                        "RunBacktest": _submit(job_queue_arn, job_definition_arn),
                        "Ended": {"Type": "Pass", "OutputPath": None, "End": True},
                    },
                },
                "ResultPath": None,
                "Next": "Collect",
            },
            "Collect": _invoke(
                collect_arn,
                ("sweep_id", "expected", "succeeded", "failed", "appended"),
                {"End": True},
            ),
        },
    }


def _invoke(function_arn: str, answer: tuple[str, ...], then: dict[str, Any]) -> dict[str, Any]:
    """Return a state that calls a function and keeps the named fields of its answer."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function_arn, "Payload.$": "$"},
        "ResultSelector": {f"{field}.$": f"$.Payload.{field}" for field in answer},
        "Retry": [
            {
                "ErrorEquals": list(RETRIED_ERRORS),
                "IntervalSeconds": 2,
                "BackoffRate": 2.0,
                "MaxAttempts": 3,
            }
        ],
        **then,
    }


def _submit(job_queue_arn: str, job_definition_arn: str) -> dict[str, Any]:
    """Return the state that runs one backtest and waits for its end.

    An item's output is empty: all of them together must stay below 256 KiB.
    """
    return {
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
        "Retry": [
            {
                # SubmitJob throttles at 50 a second; a job that failed is not submitted again here.
                "ErrorEquals": ["Batch.AWSBatchException", "Batch.TooManyRequestsException"],
                "IntervalSeconds": 1,
                "BackoffRate": 2.0,
                "MaxAttempts": 8,
                "JitterStrategy": "FULL",
            }
        ],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Ended"}],
        "Next": "Ended",
    }
