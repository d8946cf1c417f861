"""Leader and standby on leases in DynamoDB, in one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import boto3
import pytest
from moto import mock_aws

from tradelake.adapters.aws.epochs import DynamoEpochs
from tradelake.adapters.aws.leases import DynamoLeases
from tradelake.adapters.embedded.tasks import ProcessEvictor
from tradelake.errors import Fatal
from tradelake.ports import Fence
from tradelake.topology.stores import LEASES
from tradelake.usecases.lead import Candidate, LeasePolicy

NAME = "ingester/us"
POLICY = LeasePolicy(renew_every_s=0.1, give_up_after_s=3.0, lost_after_s=4.5, look_every_s=0.05)


@pytest.fixture
def table(monkeypatch):
    """The name of a table of leases on a made-up AWS."""
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
        yield LEASES.name


class Standing:
    """A candidate with a connection of its own to the table."""

    def __init__(self, table: str, holder: str) -> None:
        self.fences: list[Fence] = []
        self.leading = asyncio.Event()
        self.stop = asyncio.Event()
        self.candidate = Candidate(
            DynamoLeases(table), NAME, holder, self._work, ProcessEvictor(), time.monotonic, POLICY
        )
        self.running = asyncio.create_task(self.candidate.run(self.stop))

    async def _work(self, fence: Fence, stop: asyncio.Event) -> None:
        self.fences.append(fence)
        self.leading.set()
        await stop.wait()
        self.leading.clear()


@asynccontextmanager
async def pair(table: str) -> AsyncIterator[tuple[Standing, Standing]]:
    """Two candidates of which the first leads."""
    async with asyncio.timeout(30):
        one = Standing(table, "process:1@one")
        await one.leading.wait()
        two = Standing(table, "process:1@two")
        try:
            yield one, two
        finally:
            for standing in (one, two):
                standing.stop.set()
            await asyncio.gather(one.running, two.running, return_exceptions=True)


def test_standby_leads_with_the_next_epoch_when_the_leader_ends_in_order(table):
    async def body() -> None:
        async with pair(table) as (one, two):
            await asyncio.to_thread(DynamoEpochs(table).note_durable, NAME, 1, 7)
            await asyncio.to_thread(DynamoEpochs(table).note_durable, NAME, 1, None)
            one.stop.set()
            await two.leading.wait()
            assert (one.fences, two.fences) == ([Fence(1, None)], [Fence(2, None)])
            assert two.candidate.leadership.evicted == 0

    asyncio.run(body())


def test_standby_evicts_and_learns_how_far_the_leader_came_when_it_dies(table):
    async def body() -> None:
        DynamoLeases(table).take(NAME, "process:1@dead", None)
        DynamoEpochs(table).note_durable(NAME, 1, 7)
        async with asyncio.timeout(30):
            one = Standing(table, "process:1@one")
            await one.leading.wait()
            one.stop.set()
            await one.running
        assert one.fences == [Fence(2, 7)]
        assert one.candidate.leadership.evicted == 1
        assert one.candidate.leadership.waited_s >= POLICY.lost_after_s

    asyncio.run(body())


def test_nobody_leads_and_both_end_with_the_reason_when_the_table_is_gone(table):
    async def body() -> None:
        async with pair(table) as (one, two):
            boto3.client("dynamodb").delete_table(TableName=table)
            ended = await asyncio.gather(one.running, two.running, return_exceptions=True)
            assert not one.leading.is_set()
            for reason in ended:
                assert isinstance(reason, Fatal)
                assert table in str(reason)

    asyncio.run(body())
