"""Epochs and gaps in DynamoDB."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from tradelake.adapters.aws.epochs import DynamoEpochs
from tradelake.adapters.aws.gaps import DynamoGaps
from tradelake.errors import Conflict, Fatal, Transient
from tradelake.ports import OPEN, Fence, Gap
from tradelake.topology.stores import GAPS, LEASES, KeyTable


@pytest.fixture
def dynamodb(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("dynamodb")
        for table in (LEASES, GAPS):
            _create(client, table)
        yield client


def _create(client, table: KeyTable) -> None:
    keys = [(table.partition_key, "HASH")]
    if table.sort_key is not None:
        keys.append((table.sort_key, "RANGE"))
    client.create_table(
        TableName=table.name,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def test_epochs_grow_by_name_when_handed_out_by_several_stores(dynamodb):
    stores = [DynamoEpochs(LEASES.name, dynamodb) for _ in range(2)]
    assert [stores[i % 2].next_fence("a").epoch for i in range(6)] == [1, 2, 3, 4, 5, 6]
    assert stores[0].next_fence("b") == Fence(1, None)


def test_a_fence_tells_how_far_the_run_before_came_unless_it_ended_in_order(dynamodb):
    store = DynamoEpochs(LEASES.name, dynamodb)
    store.note_durable("a", store.next_fence("a").epoch, 7)
    assert store.next_fence("a") == Fence(2, 7)
    assert store.next_fence("a") == Fence(3, 7)
    store.note_durable("a", 3, None)
    assert store.next_fence("a") == Fence(4, None)


def test_a_replaced_run_cannot_note_how_far_it_came(dynamodb):
    store = DynamoEpochs(LEASES.name, dynamodb)
    stale = store.next_fence("a").epoch
    store.next_fence("a")
    with pytest.raises(Conflict):
        store.note_durable("a", stale, 7)


def test_epoch_is_fatal_when_there_is_no_table(dynamodb):
    with pytest.raises(Fatal, match="absent"):
        DynamoEpochs("absent", dynamodb).next_fence("a")


def test_gaps_come_back_oldest_first_when_written_and_replaced(dynamodb):
    ledger = DynamoGaps(GAPS.name, dynamodb)
    late = Gap("us", 1_710_000_000_000_000_001, OPEN, ("trades", "quotes"), ("*",), "disconnect")
    early = Gap("us-1", 99, 100, ("bars",), ("BTC/USD", "ETH/USD"), "slow client (407)")
    for gap in (late, early):
        ledger.record(gap)
    assert ledger.gaps() == [early, late]
    closed = Gap("us", late.opened_ns, late.opened_ns + 5, late.channels, late.symbols, late.cause)
    ledger.record(closed)
    assert ledger.gaps() == [early, closed]


class ExpiredClient:
    """A client whose credentials are renewed and expired all the same, as botocore says it."""

    def update_item(self, **_: object) -> None:
        raise RuntimeError(
            "Credentials were refreshed, but the refreshed credentials are still expired."
        )


def test_gaps_and_progress_can_be_written_later_when_credentials_stay_expired():
    with pytest.raises(Transient, match="still expired"):
        DynamoGaps(GAPS.name, ExpiredClient()).record(Gap("us", 1, OPEN, (), (), "test"))
    with pytest.raises(Transient, match="still expired"):
        DynamoEpochs(LEASES.name, ExpiredClient()).note_durable("a", 1, 2)
