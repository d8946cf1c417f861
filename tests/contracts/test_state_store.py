"""What every StateStore keeps to, in memory and on DynamoDB."""

import boto3
import moto
import pytest

from tests.functions.stores import StateInMemory
from tradelake.adapters.aws.state import MAX_VALUE_BYTES, DynamoStateStore
from tradelake.errors import Conflict, Fatal
from tradelake.ports import Versioned
from tradelake.topology import names
from tradelake.topology.stores import CONSUMER_STATE

TABLE = names.physical("test", CONSUMER_STATE.name)
KEYS = (CONSUMER_STATE.partition_key, CONSUMER_STATE.sort_key)


@pytest.fixture
def dynamodb(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with moto.mock_aws():
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(KEYS, ("HASH", "RANGE"), strict=True)
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in KEYS],
            BillingMode="PAY_PER_REQUEST",
        )
        yield DynamoStateStore(TABLE)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request):
    if request.param == "memory":
        return StateInMemory()
    return request.getfixturevalue("dynamodb")


def test_nothing_is_loaded_when_nothing_was_saved(store):
    assert store.load("aggregate", "live/us/0") is None


def test_a_saved_value_is_loaded_with_version_one(store):
    store.save("aggregate", "live/us/0", b"\x00one", 0)
    assert store.load("aggregate", "live/us/0") == Versioned(b"\x00one", 1)


def test_a_value_is_replaced_and_its_version_grows_when_the_writer_names_the_version(store):
    store.save("aggregate", "live/us/0", b"one", 0)
    store.save("aggregate", "live/us/0", b"two", 1)
    assert store.load("aggregate", "live/us/0") == Versioned(b"two", 2)


@pytest.mark.parametrize("expected", [0, 2, 7])
def test_a_save_conflicts_and_changes_nothing_when_the_version_is_another(store, expected):
    store.save("aggregate", "live/us/0", b"one", 0)
    with pytest.raises(Conflict):
        store.save("aggregate", "live/us/0", b"two", expected)
    assert store.load("aggregate", "live/us/0") == Versioned(b"one", 1)


def test_a_save_conflicts_when_there_is_nothing_to_replace(store):
    with pytest.raises(Conflict):
        store.save("aggregate", "live/us/0", b"one", 3)


def test_consumers_and_keys_are_apart(store):
    store.save("aggregate", "a", b"1", 0)
    store.save("aggregate", "b", b"2", 0)
    store.save("other", "a", b"3", 0)
    found = [
        store.load(*key).value for key in (("aggregate", "a"), ("aggregate", "b"), ("other", "a"))
    ]
    assert found == [b"1", b"2", b"3"]


def test_dynamodb_refuses_a_value_that_does_not_fit_an_item(dynamodb):
    dynamodb.save("aggregate", "a", b"x" * MAX_VALUE_BYTES, 0)
    with pytest.raises(Fatal, match="at most"):
        dynamodb.save("aggregate", "a", b"x" * (MAX_VALUE_BYTES + 1), 1)


def test_dynamodb_errors_are_ours_when_the_table_is_absent(dynamodb):
    with pytest.raises(Fatal, match="ResourceNotFound"):
        DynamoStateStore("absent").load("aggregate", "a")
