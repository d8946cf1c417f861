"""What every ``StreamWriter`` promises, on a fake Kinesis that misbehaves and on a real one."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from tradelake.adapters.aws.streams import (
    ATTEMPTS,
    MAX_RECORD_BYTES,
    MAX_REQUEST_BYTES,
    MAX_REQUEST_RECORDS,
    KinesisWriter,
)
from tradelake.errors import Fatal, Throttled, Transient
from tradelake.ports import Outgoing

STREAM = "tradelake-test-ticks"


class FakeKinesis:
    """Accepts, refuses, or loses answers as ``fates`` say; refuses what Kinesis would refuse."""

    def __init__(self, fates: Iterator[str]) -> None:
        self.accepted: list[tuple[str, bytes]] = []
        self.requests = 0
        self._fates = fates

    def put_records(self, StreamName: str, Records: list[dict]) -> dict:  # noqa: N803
        assert StreamName == STREAM
        assert 1 <= len(Records) <= MAX_REQUEST_RECORDS
        size = sum(len(r["Data"]) + len(r["PartitionKey"].encode()) for r in Records)
        assert size <= MAX_REQUEST_BYTES
        self.requests += 1
        whole = next(self._fates)
        if whole == "refuse":
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutRecords")
        if whole == "deny":
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutRecords")
        results = []
        for record in Records:
            fate = next(self._fates)
            if fate == "accept":
                self.accepted.append((record["PartitionKey"], record["Data"]))
                results.append({"SequenceNumber": "1", "ShardId": "s"})
            else:
                results.append({"ErrorCode": fate, "ErrorMessage": "no"})
        if whole == "lose":
            raise ReadTimeoutError(endpoint_url="http://kinesis")
        return {"Records": results, "FailedRecordCount": 0}


def always(*fates: str) -> Iterator[str]:
    while True:
        yield from fates


def new_writer(client: object, **options: int) -> KinesisWriter:
    return KinesisWriter(
        STREAM, client, rng=random.Random(0), sleep=lambda _seconds: None, **options
    )


def numbered(keys: list[str]) -> list[Outgoing]:
    return [Outgoing(key, f"{i}".encode()) for i, key in enumerate(keys)]


def test_records_of_a_key_are_in_order_when_put():
    client = FakeKinesis(always("accept"))
    records = numbered(["a", "b", "a", "c", "a", "b"])
    new_writer(client).put(records)
    for key in "abc":
        assert [d for k, d in client.accepted if k == key] == [
            r.data for r in records if r.key == key
        ]


def test_nothing_is_requested_when_there_is_nothing_to_put():
    client = FakeKinesis(always("accept"))
    new_writer(client).put([])
    assert client.requests == 0


FATES = st.sampled_from(
    ["accept", "ok", "ProvisionedThroughputExceededException", "InternalFailure", "lose", "refuse"]
)


@given(
    st.lists(st.sampled_from("abcd"), max_size=30),
    st.lists(FATES, max_size=80),
)
def test_no_key_has_a_hole_or_a_disorder_when_anything_fails(keys, fates):
    def run() -> Iterator[str]:
        yield from fates
        yield from always("accept")

    client = FakeKinesis(run())
    records = numbered(keys)
    new_writer(client, attempts=1_000).put(records)
    for key in set(keys):
        stored = [int(data) for k, data in client.accepted if k == key]
        wanted = [int(record.data) for record in records if record.key == key]
        repeats_dropped = [n for i, n in enumerate(stored) if i == 0 or stored[i - 1] != n]
        assert repeats_dropped == wanted


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=12), st.lists(FATES, max_size=40))
def test_what_was_accepted_is_a_prefix_when_the_writer_gives_up(keys, fates):
    def run() -> Iterator[str]:
        yield from fates
        yield from always("refuse")

    client = FakeKinesis(run())
    records = numbered(keys)
    with contextlib.suppress(Transient):
        new_writer(client, attempts=2).put(records)
    for key in set(keys):
        stored = list(dict.fromkeys(int(data) for k, data in client.accepted if k == key))
        wanted = [int(record.data) for record in records if record.key == key]
        assert stored == wanted[: len(stored)]


def test_put_gives_up_as_throttled_when_nothing_is_accepted_any_more():
    client = FakeKinesis(always("ok", "ProvisionedThroughputExceededException"))
    with pytest.raises(Throttled, match="1 of 1 records failed"):
        new_writer(client).put(numbered(["a"]))
    assert client.requests == ATTEMPTS


def test_put_is_not_repeated_when_it_is_denied():
    client = FakeKinesis(always("deny"))
    with pytest.raises(Fatal, match="AccessDenied"):
        new_writer(client).put(numbered(["a"]))
    assert client.requests == 1


def test_put_refuses_a_record_when_no_request_could_carry_it():
    client = FakeKinesis(always("accept"))
    with pytest.raises(Fatal, match="1048577"):
        new_writer(client).put([Outgoing("k", b"x" * MAX_RECORD_BYTES)])
    assert client.requests == 0


def test_requests_respect_the_limits_when_there_are_many_or_large_records():
    many = FakeKinesis(always("accept"))
    new_writer(many).put(numbered([f"k{i}" for i in range(1_201)]))
    assert many.requests == 3
    large = FakeKinesis(always("accept"))
    new_writer(large).put([Outgoing(f"k{i}", b"x" * 1_000_000) for i in range(21)])
    assert large.requests == 3


@pytest.fixture
def kinesis(tmp_path):
    command = [sys.executable, "-m", "tradelake.local.stream_server", "--fsync", "never"]
    server = subprocess.Popen(
        [*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]
    client = boto3.client(
        "kinesis",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
    )
    client.create_stream(StreamName=STREAM, ShardCount=3)
    deadline = time.monotonic() + 20
    while (
        client.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"][
            "StreamStatus"
        ]
        != "ACTIVE"
    ):
        assert time.monotonic() < deadline
    yield client
    client.close()
    server.terminate()
    server.wait(timeout=20)
    server.stdout.close()


def read_all(client) -> list[tuple[str, bytes]]:
    found = []
    for shard in client.list_shards(StreamName=STREAM)["Shards"]:
        iterator = client.get_shard_iterator(
            StreamName=STREAM, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            answer = client.get_records(ShardIterator=iterator, Limit=1_000)
            found += [(r["PartitionKey"], r["Data"]) for r in answer["Records"]]
            iterator = answer["NextShardIterator"]
            if not answer["Records"] and answer["MillisBehindLatest"] == 0:
                break
    return found


def test_order_per_key_holds_when_put_on_the_local_stream_server_by_threads(kinesis):
    writer = KinesisWriter(STREAM, kinesis)
    lanes = [numbered([f"{lane}-{i % 5}" for i in range(60)]) for lane in range(3)]
    threads = [threading.Thread(target=writer.put, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_all(kinesis)
    assert len(found) == 180
    for lane in lanes:
        for key in {record.key for record in lane}:
            assert [d for k, d in found if k == key] == [r.data for r in lane if r.key == key]


def test_check_is_fatal_when_there_is_no_such_stream(kinesis):
    KinesisWriter(STREAM, kinesis).check()
    with pytest.raises(Fatal, match="ListShards on absent"):
        KinesisWriter("absent", kinesis).check()
