"""What only our server offers: faults on demand, survival of kill -9, long polling, limits."""

import json
import threading
import time
import urllib.request

import botocore.exceptions
import pytest

from tests.contracts.kinesis.processes import ServerProcess, fault, kinesis_client
from tests.contracts.kinesis.reading import (
    drain,
    entries,
    iterator,
    number,
    read_all,
    read_shards,
    shard_ids,
)

pytestmark = pytest.mark.only("tradelake")
THROTTLED = "ProvisionedThroughputExceededException"


def put_in_order(client, stream, records):
    """Put records of one key; what is refused, and everything after it, is sent again."""
    attempts = 0
    while records:
        attempts += 1
        results = client.put_records(StreamName=stream, Records=records[:1])["Records"]
        if "ErrorCode" in results[0]:
            assert results[0]["ErrorCode"] == THROTTLED
            continue
        records = records[1:]
    return attempts


def test_part_of_a_call_is_refused_while_throttled(target, kinesis, new_stream):
    name = new_stream(2)
    fault(target.url, throttle=0.3, seconds=30, stream=name, seed=7)
    answer = kinesis.put_records(StreamName=name, Records=entries(500))
    refused = [r for r in answer["Records"] if r.get("ErrorCode") == THROTTLED]
    assert answer["FailedRecordCount"] == len(refused)
    assert 100 < len(refused) < 200
    written = [at for at, r in enumerate(answer["Records"]) if "SequenceNumber" in r]
    assert sorted(number(record) for record in read_all(kinesis, name)) == written


def test_other_streams_are_spared_when_one_is_throttled(target, kinesis, new_stream):
    throttled, spared = new_stream(), new_stream()
    fault(target.url, throttle=1.0, seconds=30, stream=throttled)
    assert kinesis.put_records(StreamName=spared, Records=entries(9))["FailedRecordCount"] == 0
    with pytest.raises(kinesis.exceptions.ProvisionedThroughputExceededException):
        kinesis.put_record(StreamName=throttled, Data=b"x", PartitionKey="k")


def test_order_preserving_retry_loses_and_doubles_nothing_while_throttled(
    target, kinesis, new_stream
):
    name = new_stream()
    fault(target.url, throttle=0.3, seconds=60, stream=name, seed=3)
    attempts = put_in_order(kinesis, name, entries(60, keys=1))
    assert attempts > 60
    assert [number(record) for record in read_all(kinesis, name)] == list(range(60))


def test_every_call_is_refused_while_away_and_served_again_after(target, kinesis, new_stream):
    name = new_stream()
    fault(target.url, away=True, seconds=60)
    with pytest.raises(botocore.exceptions.ClientError, match="ServiceUnavailable"):
        kinesis.list_shards(StreamName=name)
    fault(target.url, seconds=0)
    assert kinesis.list_shards(StreamName=name)["Shards"]


def test_record_is_kept_when_its_answer_is_lost(target, kinesis, new_stream):
    name = new_stream()
    fault(target.url, lose_answer=1.0, seconds=60, stream=name)
    with pytest.raises(botocore.exceptions.ClientError, match="InternalFailure"):
        kinesis.put_record(StreamName=name, Data=b"0", PartitionKey="k")
    assert [number(record) for record in read_all(kinesis, name)] == [0]
    fault(target.url, seconds=0)


def test_status_tells_the_last_record_of_every_shard(target, kinesis, new_stream):
    name = new_stream()
    result = kinesis.put_record(StreamName=name, Data=b"0", PartitionKey="k")
    with urllib.request.urlopen(f"{target.url}/_streams/status", timeout=10) as answer:
        shard = json.load(answer)["streams"][name][result["ShardId"]]
    assert (shard["records"], shard["last"]) == (1, result["SequenceNumber"])


def test_waiting_reader_is_answered_when_a_record_arrives(target, kinesis, new_stream):
    name = new_stream()
    (shard_id,) = shard_ids(kinesis, name)
    waiting = target.client()
    waiting.meta.events.register(
        "before-call.kinesis.GetRecords",
        lambda params, **_: params["headers"].update({"x-tradelake-wait-ms": "1000"}),
    )
    at = iterator(kinesis, name, shard_id)
    answers = []

    def read():
        answer = {"Records": [], "NextShardIterator": at}
        while not answer["Records"]:
            answer = waiting.get_records(ShardIterator=answer["NextShardIterator"])
        answers.append(answer)

    reader = threading.Thread(target=read)
    reader.start()
    kinesis.put_record(StreamName=name, Data=b"0", PartitionKey="k")
    reader.join(timeout=10)
    assert [number(record) for record in answers[0]["Records"]] == [0]
    waiting.close()


class TestOwnProcess:
    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path / "streams"

    def test_acknowledged_records_are_there_once_and_in_order_when_killed_while_writing(
        self, folder
    ):
        server = ServerProcess(folder, "--segment-bytes", "200000").start()
        client = kinesis_client(server.url)
        client.create_stream(StreamName="s", ShardCount=2)
        client.close()
        acknowledged = {}
        for round_ in range(3):
            self._write_until_killed(server, acknowledged, round_)
            server = server.start()
        client = kinesis_client(server.url)
        found = {}
        for shard_id, records in read_shards(client, "s").items():
            sequence = [int(record["SequenceNumber"]) for record in records]
            assert sequence == sorted(set(sequence))
            found |= {(shard_id, r["SequenceNumber"]): bytes(r["Data"]) for r in records}
        assert acknowledged
        assert {place: found.get(place) for place in acknowledged} == acknowledged
        datas = list(found.values())
        assert len(datas) == len(set(datas))
        client.close()
        assert server.stop() == 0

    @staticmethod
    def _write_until_killed(server, acknowledged, round_):
        enough = threading.Event()
        lock = threading.Lock()

        def write(writer):
            client = kinesis_client(server.url, validate=False)
            for call in range(10_000):
                records = [
                    {"Data": f"{round_}/{writer}/{call}/{at}".encode(), "PartitionKey": str(at)}
                    for at in range(40)
                ]
                try:
                    results = client.put_records(StreamName="s", Records=records)["Records"]
                except botocore.exceptions.BotoCoreError:
                    break
                with lock:
                    for record, result in zip(records, results, strict=True):
                        place = (result["ShardId"], result["SequenceNumber"])
                        acknowledged[place] = record["Data"]
                    if call == 15:
                        enough.set()
            client.close()

        writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for writer in writers:
            writer.start()
        assert enough.wait(30)
        server.kill()
        for writer in writers:
            writer.join(30)

    def test_sequence_numbers_grow_and_iterators_hold_across_a_restart(self, folder):
        server = ServerProcess(folder).start()
        client = kinesis_client(server.url)
        client.create_stream(StreamName="s", ShardCount=1)
        first = client.put_record(StreamName="s", Data=b"0", PartitionKey="k")
        (shard_id,) = shard_ids(client, "s")
        latest = iterator(client, "s", shard_id, "LATEST")
        client.close()
        server.kill()
        server.start()
        client = kinesis_client(server.url)
        second = client.put_record(StreamName="s", Data=b"1", PartitionKey="k")
        assert int(second["SequenceNumber"]) > int(first["SequenceNumber"])
        assert [number(record) for record in drain(client, latest)[0]] == [1]
        client.close()
        server.stop()

    def test_iterator_expires_when_it_is_older_than_its_life(self, folder):
        server = ServerProcess(folder, "--iterator-ttl-s", "0.05").start()
        client = kinesis_client(server.url)
        client.create_stream(StreamName="s", ShardCount=1)
        old = iterator(client, "s", "shardId-000000000000")
        time.sleep(0.1)
        with pytest.raises(client.exceptions.ExpiredIteratorException):
            client.get_records(ShardIterator=old)
        client.close()
        server.stop()

    def test_shard_refuses_more_than_its_share_when_limits_are_on(self, folder):
        server = ServerProcess(folder, "--shard-limits").start()
        client = kinesis_client(server.url)
        client.create_stream(StreamName="s", ShardCount=1)
        refused = sum(
            client.put_records(StreamName="s", Records=entries(500))["FailedRecordCount"]
            for _ in range(6)
        )
        assert 0 < refused <= 2000
        client.close()
        server.stop()
