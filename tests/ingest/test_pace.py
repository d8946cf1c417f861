"""The pace falls when the stream throttles and recovers when it accepts; order holds meanwhile."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.fakes import Ledger, SystemTime, no_wait
from tests.ingest.test_publish import ScriptedFeed, expected_ids, trades
from tradelake.adapters.aws.async_streams import AsyncKinesisWriter
from tradelake.stream.envelope import decode_batch
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.intake import Intake
from tradelake.usecases.pace import Pace
from tradelake.usecases.publish import Publisher
from tradelake.usecases.run_ingester import run_ingester

MS = 1_000_000
STREAM = "tradelake-test-ticks"


def test_requests_are_fewer_and_further_apart_when_records_are_refused():
    pace = Pace(lanes=4)
    pace.refused(0, 1 * MS)
    assert (pace.window, pace.spacing_ns) == (2.0, 10 * MS)
    assert not pace.may_start(10 * MS, 0)
    assert pace.may_start(11 * MS, 1)
    assert not pace.may_start(11 * MS, 2)


def test_a_request_from_before_the_pace_fell_does_not_slow_it_again():
    pace = Pace(lanes=4)
    pace.refused(0, 5 * MS)
    pace.refused(4 * MS, 6 * MS)
    assert pace.window == 2.0
    pace.refused(5 * MS, 7 * MS)
    assert pace.window == 1.0


def test_nothing_starts_before_the_wait_is_over_when_a_request_failed_whole():
    pace = Pace(lanes=1)
    pace.failed(0, 0.5)
    assert pace.failures == 1
    assert not pace.may_start(499 * MS, 0)
    assert pace.may_start(500 * MS, 0)


@given(st.lists(st.sampled_from(["accepted", "refused", "failed"]), max_size=200))
def test_the_pace_stays_in_its_bounds_and_recovers_wholly(outcomes):
    pace, now = Pace(lanes=3), 0
    for outcome in outcomes:
        now += 100 * MS
        if outcome == "accepted":
            pace.accepted()
        elif outcome == "refused":
            pace.refused(now, now)
        else:
            pace.failed(now, 0.01)
        assert 1.0 <= pace.window <= 3.0
        assert 0 <= pace.spacing_ns <= 100 * MS
    for _ in range(100):
        pace.accepted()
    assert (pace.window, pace.spacing_ns) == (3.0, 0)


@pytest.fixture
def stream_url(tmp_path, monkeypatch):
    command = [sys.executable, "-m", "tradelake.local.stream_server", "--fsync", "never"]
    server = subprocess.Popen(
        [*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    yield url
    server.terminate()
    server.wait(timeout=20)
    server.stdout.close()


def test_everything_arrives_in_order_when_a_third_is_throttled(stream_url):
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    fault = json.dumps({"seconds": 1.5, "throttle": 0.3}).encode()
    urllib.request.urlopen(f"{stream_url}/_streams/fault", fault, timeout=10).close()
    clock = SystemTime()
    batcher = Batcher("us", 3, 4, BatchLimits(linger_ns=MS))
    publisher = Publisher(batcher, AsyncKinesisWriter(STREAM, clock), clock, no_wait, buckets=4)
    intake = Intake("us", 3, batcher, publisher, Ledger(), clock, no_wait)

    class Paced(ScriptedFeed):
        async def run(self, intake: Intake, stop: asyncio.Event) -> None:
            for first in range(0, 2_000, 10):
                intake.add(trades(first, 10), clock.now_ns())
                await asyncio.sleep(0.005)

    asyncio.run(run_ingester(Paced([]), intake, publisher, asyncio.Event()))
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(
        StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator, Limit=10_000)["Records"]
    kinesis.close()
    ids: dict[str, list[int]] = {}
    seen: dict[int, int] = {}
    for batch in (decode_batch(record["Data"]) for record in records):
        assert batch.seq == seen.get(batch.bucket, -1) + 1
        seen[batch.bucket] = batch.seq
        for record in batch.records:
            ids.setdefault(record.symbol, []).append(record.trade_id)
    assert ids == expected_ids(2_000)
    assert intake.status().throttled > 0
