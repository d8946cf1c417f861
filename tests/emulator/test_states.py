"""Overrides of moto's Step Functions: integrations reach their services."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count

from tests.emulator.conftest import Account, eventually
from tests.emulator.test_batch import script
from tests.emulator.test_lambdas import create
from tradelake.topology import containers

_numbers = count()
ROLE = "arn:aws:iam::123456789012:role/none"


def run(account: Account, states: dict, start: str, given: object = None):
    """Run a state machine to its end; returns its description."""
    client = account.client("stepfunctions")
    definition = json.dumps({"StartAt": start, "States": states})
    machine = client.create_state_machine(
        name=f"probe-{next(_numbers)}", definition=definition, roleArn=ROLE
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine, input=json.dumps(given or {}))
    arn = execution["executionArn"]
    eventually(lambda: client.describe_execution(executionArn=arn)["status"] != "RUNNING")
    return client.describe_execution(executionArn=arn)


def submit_state(account: Account, *arguments: str) -> dict:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::batch:submitJob.sync",
        "Parameters": {
            "JobName": "probe",
            "JobQueue": account.made.job_queue,
            "JobDefinition": account.made.job_definitions[containers.BACKTEST.name],
            "ContainerOverrides": {
                "Command": script(account, *arguments),
                "Environment": [{"Name": "COLOUR", "Value.$": "$.colour"}],
            },
        },
    }


def test_sync_task_waits_for_the_job_and_answers_in_the_language_casing(account):
    state = {**submit_state(account, "tell"), "End": True}
    done = run(account, {"Run": state}, "Run", {"colour": "green"})
    output = json.loads(done["output"])

    assert (done["status"], output["Status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert output["Container"]["ExitCode"] == 0
    logs = account.client("logs").get_log_events(
        logGroupName="/aws/batch/job", logStreamName=output["Container"]["LogStreamName"]
    )
    assert "colour green" in [event["message"] for event in logs["events"]]


def test_sync_task_is_caught_when_the_job_fails(account):
    state = {
        **submit_state(account, "exit", "5"),
        "Catch": [{"ErrorEquals": ["States.TaskFailed"], "Next": "Caught"}],
        "End": True,
    }
    done = run(
        account, {"Run": state, "Caught": {"Type": "Pass", "End": True}}, "Run", {"colour": "x"}
    )
    caught = json.loads(done["output"])

    assert caught["Error"] == "States.TaskFailed"
    assert json.loads(caught["Cause"])["Container"]["ExitCode"] == 5


def test_invoke_task_is_caught_by_the_class_of_the_handlers_exception(account):
    name = create(account, "thrower", "functions/probe/handler.handler")
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": name, "Payload": {"raise": "on purpose"}},
        "Catch": [{"ErrorEquals": ["ValueError"], "Next": "Caught"}],
        "End": True,
    }
    done = run(account, {"Run": state, "Caught": {"Type": "Pass", "End": True}}, "Run")

    assert json.loads(json.loads(done["output"])["Cause"])["errorMessage"] == "on purpose"


def test_message_task_reaches_the_queue_when_its_parameters_are_in_the_language_casing(account):
    sqs = account.client("sqs")
    queue = sqs.create_queue(QueueName="probe")["QueueUrl"]
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Parameters": {"QueueUrl": queue, "MessageBody": {"a": 1}},
        "End": True,
    }
    done = run(account, {"Run": state}, "Run")

    assert done["status"] == "SUCCEEDED"
    assert json.loads(sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"]) == {"a": 1}


def test_tasks_share_one_client_a_service():
    code = """
import os
os.environ["MOTO_PORT"] = "1"
from tradelake.local.emulator.overrides import states
states.apply()
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_batch,
)
first = state_task_service_batch.boto_client_for("us-east-1", "batch")
assert first is state_task_service_batch.boto_client_for(region="us-east-1", service="batch")
assert first is not lambda_eval_utils.boto_client_for("us-east-1", "lambda")
assert first.meta.endpoint_url == "http://localhost:1"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
