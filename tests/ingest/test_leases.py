"""Leases in DynamoDB, and who can be evicted."""

from __future__ import annotations

import subprocess
import sys

import boto3
import pytest
from botocore.stub import ANY, Stubber
from moto import mock_aws

from tradelake.adapters.aws.epochs import DynamoEpochs
from tradelake.adapters.aws.leases import DynamoLeases
from tradelake.adapters.aws.tasks import TaskEvictor
from tradelake.adapters.embedded.tasks import ProcessEvictor, _holder, own_process
from tradelake.errors import Conflict
from tradelake.ports import Fence, Lease
from tradelake.topology.stores import LEASES


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("dynamodb").create_table(
            TableName=LEASES.name,
            KeySchema=[{"AttributeName": LEASES.partition_key, "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": LEASES.partition_key, "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield


def test_lease_passes_from_holder_to_holder_with_growing_epochs(aws):
    leases = DynamoLeases(LEASES.name)
    assert leases.read("us") is None
    assert leases.take("us", "one", None) == Fence(1, None)
    assert leases.read("us") == Lease("one", 1, 1)
    leases.release("us", 1)
    assert leases.read("us") is None
    assert leases.take("us", "two", None).epoch == 2


def test_lease_cannot_be_taken_when_the_holder_gave_a_sign_of_life_since(aws):
    leases = DynamoLeases(LEASES.name)
    leases.take("us", "one", None)
    seen = leases.read("us")
    leases.renew("us", 1)
    with pytest.raises(Conflict):
        leases.take("us", "two", seen)
    with pytest.raises(Conflict):
        leases.take("us", "two", None)
    assert leases.take("us", "two", leases.read("us")).epoch == 2


def test_replaced_holder_can_neither_renew_nor_release(aws):
    leases = DynamoLeases(LEASES.name)
    leases.take("us", "one", None)
    leases.take("us", "two", leases.read("us"))
    with pytest.raises(Conflict):
        leases.renew("us", 1)
    leases.release("us", 1)
    assert leases.read("us") == Lease("two", 2, 2)


def test_lease_tells_how_far_the_run_before_came(aws):
    leases, epochs = DynamoLeases(LEASES.name), DynamoEpochs(LEASES.name)
    leases.take("us", "one", None)
    epochs.note_durable("us", 1, 7)
    assert leases.take("us", "two", leases.read("us")) == Fence(2, 7)
    with pytest.raises(Conflict):
        epochs.note_durable("us", 1, 9)


def test_process_is_evicted_even_when_it_is_paused():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.send_signal(19)
    ProcessEvictor().evict(_holder(process.pid))
    assert process.wait(10) == -9


@pytest.mark.parametrize("holder", ["process:1@0", "process:99999999@1", "arn:aws:ecs:x", ""])
def test_nobody_is_evicted_when_the_holder_is_gone_or_is_no_process(holder):
    ProcessEvictor().evict(holder)


def test_own_process_is_named_by_pid_and_start():
    assert own_process() == own_process()
    assert own_process().startswith("process:")


def test_task_is_stopped_in_its_cluster_and_one_that_is_gone_is_no_error(monkeypatch):
    ecs = boto3.client("ecs", "us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    task = "arn:aws:ecs:us-east-1:123456789012:task/services/0123456789abcdef"
    with Stubber(ecs) as stubbed:
        expected = {"cluster": "services", "task": task, "reason": ANY}
        stubbed.add_response("stop_task", {}, expected)
        stubbed.add_client_error("stop_task", "InvalidParameterException", expected_params=expected)
        evictor = TaskEvictor(ecs)
        evictor.evict(task)
        evictor.evict(task)
        evictor.evict("process:1@0")
        stubbed.assert_no_pending_responses()
