"""SubscribeToShard, read by botocore's own event-stream parser."""

import pytest

from tests.contracts.kinesis.reading import entries, number, shard_ids

pytestmark = pytest.mark.only("tradelake")


@pytest.fixture
def subscribe(kinesis, new_stream):
    """Make a stream with a consumer; returns (stream, shard, a function that subscribes)."""
    name = new_stream()
    (shard_id,) = shard_ids(kinesis, name)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]
    opened = []

    def begin(**position):
        answer = kinesis.subscribe_to_shard(
            ConsumerARN=consumer["ConsumerARN"], ShardId=shard_id, StartingPosition=position
        )
        opened.append(answer["EventStream"])
        return (event["SubscribeToShardEvent"] for event in answer["EventStream"])

    yield name, shard_id, begin
    for stream in opened:
        stream.close()


def test_records_are_pushed_as_they_arrive(kinesis, subscribe):
    name, _, begin = subscribe
    kinesis.put_records(StreamName=name, Records=entries(3))
    events = begin(Type="TRIM_HORIZON")
    assert [number(record) for record in next(events)["Records"]] == [0, 1, 2]
    kinesis.put_records(StreamName=name, Records=entries(2, start=3))
    pushed = next(event for event in events if event["Records"])
    assert [number(record) for record in pushed["Records"]] == [3, 4]


def test_subscription_goes_on_after_the_continuation_of_the_last(kinesis, subscribe):
    name, _, begin = subscribe
    kinesis.put_records(StreamName=name, Records=entries(3))
    last = next(begin(Type="TRIM_HORIZON"))["ContinuationSequenceNumber"]
    kinesis.put_records(StreamName=name, Records=entries(2, start=3))
    events = begin(Type="AFTER_SEQUENCE_NUMBER", SequenceNumber=last)
    assert [number(record) for record in next(events)["Records"]] == [3, 4]


def test_subscription_ends_with_the_children_when_the_shard_is_closed(kinesis, subscribe):
    name, shard_id, begin = subscribe
    kinesis.put_records(StreamName=name, Records=entries(3))
    kinesis.split_shard(StreamName=name, ShardToSplit=shard_id, NewStartingHashKey=str(2**127))
    events = list(begin(Type="TRIM_HORIZON"))
    assert [number(record) for event in events for record in event["Records"]] == [0, 1, 2]
    assert len(events[-1]["ChildShards"]) == 2


def test_subscription_is_refused_when_the_consumer_is_not_registered(kinesis, new_stream):
    name = new_stream()
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        kinesis.subscribe_to_shard(
            ConsumerARN=f"{arn}/consumer/absent:1",
            ShardId="shardId-000000000000",
            StartingPosition={"Type": "LATEST"},
        )
