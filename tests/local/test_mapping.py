"""The event-source mapping against a real stream server."""

import base64
import queue
import uuid
from contextlib import contextmanager

import pytest

from tests.contracts.kinesis.processes import ServerProcess, kinesis_client
from tradelake.local.mapping import EventSourceMapping, MappingOptions, policy_of
from tradelake.local.mapping_rules import Policy
from tradelake.local.mapping_state import Checkpoints
from tradelake.topology.functions import DELIVER

PATIENCE_S = 20


@pytest.fixture
def checkpoints(tmp_path):
    kept = Checkpoints(tmp_path / "checkpoints.sqlite")
    yield kept
    kept.close()


@pytest.fixture
def new_stream(kinesis):
    def make(shards=1):
        name = f"mapped-{uuid.uuid4().hex[:8]}"
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        return name

    return make


def put(kinesis, stream, numbers, keys=8):
    records = [{"Data": str(n).encode(), "PartitionKey": str(n % keys)} for n in numbers]
    assert kinesis.put_records(StreamName=stream, Records=records)["FailedRecordCount"] == 0


def numbers_of(event):
    return [int(base64.b64decode(r["kinesis"]["data"])) for r in event["Records"]]


class Function:
    """A function that tells what it was handed, and answers as it is told."""

    def __init__(self, answer=lambda event: None):
        self.events = queue.Queue()
        self._answer = answer

    def make_invoke(self):
        return self._invoke

    def _invoke(self, event, request_id):
        answer = self._answer(event)
        self.events.put(event)
        return answer

    def collect(self, count):
        """Events until they hold ``count`` records."""
        events, found = [], 0
        while found < count:
            events.append(self.events.get(timeout=PATIENCE_S))
            found += len(events[-1]["Records"])
        return events


@contextmanager
def mapped(url, stream, function, checkpoints, *, given_up=None, **policy):
    client = kinesis_client(url)
    options = MappingOptions("m", stream, Policy(**({"batch_size": 100} | policy)), poll_wait_ms=50)
    give_up = given_up.put if given_up else pytest.fail
    mapping = EventSourceMapping(options, client, function.make_invoke, checkpoints, give_up)
    mapping.start()
    try:
        yield mapping
    finally:
        mapping.stop()
        mapping.join()
        client.close()


def test_function_gets_every_record_in_order_of_its_key(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream(2)
    function = Function()
    put(kinesis, stream, range(300))
    with mapped(stream_server, stream, function, checkpoints):
        put(kinesis, stream, range(300, 500))
        events = function.collect(500)
    by_key = {}
    for event in events:
        assert len(event["Records"]) <= 100
        assert len({r["eventID"].partition(":")[0] for r in event["Records"]}) == 1
        for number in numbers_of(event):
            by_key.setdefault(number % 8, []).append(number)
    assert by_key == {key: list(range(key, 500, 8)) for key in range(8)}


def test_records_wait_for_a_full_batch_when_there_is_a_window(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream()
    function = Function()
    with mapped(stream_server, stream, function, checkpoints, batch_size=30, window_s=3600.0):
        for start in range(0, 60, 10):
            put(kinesis, stream, range(start, start + 10))
        assert [numbers_of(e) for e in function.collect(60)] == [
            list(range(30)),
            list(range(30, 60)),
        ]


def test_records_come_again_from_the_lowest_reported_failure_on(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream()
    failed = []

    def fail_once(event):
        if failed or len(event["Records"]) < 10:
            return None
        failed.append(event["Records"][4]["kinesis"]["sequenceNumber"])
        return {"batchItemFailures": [{"itemIdentifier": failed[0]}]}

    function = Function(fail_once)
    put(kinesis, stream, range(10))
    with mapped(stream_server, stream, function, checkpoints) as mapping:
        events = function.collect(16)
        status = mapping.status()
    assert [numbers_of(event) for event in events] == [list(range(10)), list(range(4, 10))]
    assert status.errors == 1


def test_record_that_always_raises_is_cornered_and_described_and_the_rest_handled(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream()

    def refuse_seven(event):
        if 7 in numbers_of(event):
            raise ValueError("seven")

    function = Function(refuse_seven)
    given_up = queue.Queue()
    put(kinesis, stream, range(20))
    with mapped(stream_server, stream, function, checkpoints, given_up=given_up, retries=1):
        events = function.collect(19)
        description = given_up.get(timeout=PATIENCE_S)
    assert [n for e in events for n in numbers_of(e)] == [n for n in range(20) if n != 7]
    assert numbers_of(description["payload"]) == [7]
    assert description["requestContext"]["condition"] == "RetryAttemptsExhausted"


def test_parents_are_read_before_their_children_when_the_stream_was_resharded(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream()
    put(kinesis, stream, range(100))
    kinesis.update_shard_count(StreamName=stream, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    put(kinesis, stream, range(100, 200))
    function = Function()
    with mapped(stream_server, stream, function, checkpoints, batch_size=10):
        events = function.collect(200)
    shards = [event["Records"][0]["eventID"].partition(":")[0] for event in events]
    assert set(shards[:10]) == {"shardId-000000000000"}
    assert set(shards[10:]) == {"shardId-000000000001", "shardId-000000000002"}


def test_new_mapping_goes_on_after_the_last_success(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream()
    first, second = Function(), Function()
    put(kinesis, stream, range(10))
    with mapped(stream_server, stream, first, checkpoints):
        first.collect(10)
    put(kinesis, stream, range(10, 20))
    with mapped(stream_server, stream, second, checkpoints):
        events = second.collect(10)
    assert [n for event in events for n in numbers_of(event)] == list(range(10, 20))


def test_batch_is_handed_over_again_when_it_failed_before_the_mapping_stopped(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream()
    asked = queue.Queue()

    def refuse(event):
        asked.put(numbers_of(event))
        raise ConnectionError("the lake is away")

    put(kinesis, stream, range(10))
    with mapped(stream_server, stream, Function(refuse), checkpoints, bisect=False):
        assert asked.get(timeout=PATIENCE_S) == list(range(10))
    function = Function()
    with mapped(stream_server, stream, function, checkpoints):
        assert numbers_of(function.collect(10)[0]) == list(range(10))


def test_old_checkpoints_are_not_used_when_a_stream_was_made_anew(
    stream_server, kinesis, new_stream, checkpoints
):
    stream = new_stream()
    for round_ in range(2):
        function = Function()
        put(kinesis, stream, range(round_, round_ + 5))
        with mapped(stream_server, stream, function, checkpoints):
            assert numbers_of(function.collect(5)[0])[0] == round_
        kinesis.delete_stream(StreamName=stream)
        kinesis.create_stream(StreamName=stream, ShardCount=1)


def test_mapping_goes_on_when_the_server_was_killed_and_came_back(tmp_path, checkpoints):
    server = ServerProcess(tmp_path / "streams").start()
    client = kinesis_client(server.url)
    client.create_stream(StreamName="s", ShardCount=1)
    function = Function()
    with mapped(server.url, "s", function, checkpoints):
        put(client, "s", range(10))
        function.collect(10)
        server.kill()
        client.close()
        again = ServerProcess(tmp_path / "streams", "--port", server.url.rpartition(":")[2]).start()
        client = kinesis_client(again.url)
        put(client, "s", range(10, 20))
        events = function.collect(10)
    assert [n for event in events for n in numbers_of(event)] == list(range(10, 20))
    client.close()
    again.stop()


def test_window_of_a_trigger_is_capped_and_the_rest_kept():
    policy = policy_of(DELIVER.triggers[0], 1.0)
    assert (policy.window_s, policy.batch_size, policy.retries) == (1.0, 2000, -1)
    assert policy.max_age_s == 7 * 86_400
