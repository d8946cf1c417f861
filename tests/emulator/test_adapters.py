"""The S3, Secrets Manager and Step Functions adapters against the emulator."""

from __future__ import annotations

import pytest

from tests.emulator.conftest import eventually
from tradelake.adapters.aws.objects import S3Objects
from tradelake.adapters.aws.secrets import SecretsManager
from tradelake.adapters.aws.workflows import MapCounts, StepFunctions
from tradelake.errors import ConfigError, Conflict, Fatal


def test_objects_come_back_and_are_listed_in_order(aws):
    objects = S3Objects(aws.made.buckets["artifacts"])
    for key in ("order/b", "order/a", "other/c"):
        objects.put(key, key.encode())

    assert objects.get("order/a") == b"order/a"
    assert list(objects.list("order/")) == ["order/a", "order/b"]


def test_reading_an_object_raises_key_error_when_there_is_none(aws):
    with pytest.raises(KeyError, match="absent"):
        S3Objects(aws.made.buckets["artifacts"]).get("absent")


def test_objects_refuse_for_good_when_the_bucket_does_not_exist(aws):
    objects = S3Objects("tradelake-test-absent")

    with pytest.raises(Fatal, match="NoSuchBucket"):
        objects.get("a")
    with pytest.raises(Fatal, match="NoSuchBucket"):
        objects.put("a", b"")
    with pytest.raises(Fatal, match="NoSuchBucket"):
        list(objects.list("a"))


def test_secret_is_a_mapping_of_its_fields(aws):
    assert SecretsManager().get("tradelake-test-alpaca") == {"key": "local", "secret": "local"}


def test_secret_raises_config_error_when_it_does_not_exist(aws):
    with pytest.raises(ConfigError, match="absent does not exist"):
        SecretsManager().get("absent")


@pytest.mark.parametrize("value", ["hunter2", '["hunter2"]', '{"key": {"hunter2": 1}}'])
def test_secret_raises_config_error_without_its_value_when_it_is_malformed(aws, value, request):
    name = f"malformed-{len(value)}"
    aws.client("secretsmanager").create_secret(Name=name, SecretString=value)

    with pytest.raises(ConfigError) as caught:
        SecretsManager().get(name)
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_workflow_raises_config_error_when_it_is_not_deployed(aws):
    with pytest.raises(ConfigError, match="tradelake-nowhere-backtests"):
        StepFunctions("nowhere").start("backtests", "a", {})


def test_failed_workflow_says_what_failed_and_its_name_cannot_be_used_again(aws):
    workflows = StepFunctions("test")
    payload = {"sweep_id": "none", "request_key": "sweeps/none/request.json"}
    execution = workflows.start("backtests", "twice", payload)
    eventually(lambda: workflows.status(execution)[0] != "RUNNING")
    status, output = workflows.status(execution)

    assert (status, output["error"]) == ("FAILED", "ConfigError")
    assert "there is no object sweeps/none/request.json" in output["cause"]
    assert workflows.map_counts(execution) == MapCounts()
    with pytest.raises(Conflict, match="twice"):
        workflows.start("backtests", "twice", {**payload, "sweep_id": "other"})
