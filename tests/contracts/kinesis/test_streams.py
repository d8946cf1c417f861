"""Streams, tags, consumers, retention."""

import itertools

import pytest


def test_stream_is_described_with_uniform_shards_when_created(kinesis, new_stream):
    name = new_stream(3)
    description = kinesis.describe_stream(StreamName=name)["StreamDescription"]
    ranges = [
        (int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
        for s in description["Shards"]
    ]
    assert description["StreamStatus"] == "ACTIVE"
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 2**128 - 1
    assert all(high + 1 == low for (_, high), (low, _) in itertools.pairwise(ranges))
    assert max(high - low for low, high in ranges) - min(high - low for low, high in ranges) <= 2


def test_summary_counts_open_shards(kinesis, new_stream):
    name = new_stream(2)
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 2
    assert summary["RetentionPeriodHours"] == 24


def test_create_is_refused_when_the_stream_exists(kinesis, new_stream):
    name = new_stream()
    with pytest.raises(kinesis.exceptions.ResourceInUseException):
        kinesis.create_stream(StreamName=name, ShardCount=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.describe_stream(StreamName="absent"),
        lambda c: c.describe_stream_summary(StreamName="absent"),
        lambda c: c.list_shards(StreamName="absent"),
        lambda c: c.delete_stream(StreamName="absent"),
        lambda c: c.put_record(StreamName="absent", Data=b"x", PartitionKey="k"),
        lambda c: c.put_records(StreamName="absent", Records=[{"Data": b"x", "PartitionKey": "k"}]),
        lambda c: c.get_shard_iterator(
            StreamName="absent", ShardId="shardId-000000000000", ShardIteratorType="LATEST"
        ),
    ],
    ids=["describe", "summary", "shards", "delete", "put", "puts", "iterator"],
)
def test_call_is_refused_when_the_stream_does_not_exist(kinesis, call):
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        call(kinesis)


@pytest.mark.breaks("moto", "loses a page")
def test_streams_are_listed_in_pages(kinesis, new_stream):
    names = {new_stream() for _ in range(3)}
    pages = kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2})
    assert names <= {name for page in pages for name in page["StreamNames"]}


def test_shards_are_listed_in_pages(kinesis, new_stream):
    name = new_stream(5)
    pages = kinesis.get_paginator("list_shards").paginate(
        StreamName=name, PaginationConfig={"PageSize": 2}
    )
    assert [len(page["Shards"]) for page in pages] == [2, 2, 1]


def test_stream_is_found_by_its_arn(kinesis, new_stream):
    name = new_stream()
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    assert kinesis.list_shards(StreamARN=arn)["Shards"]
    assert kinesis.put_record(StreamARN=arn, Data=b"x", PartitionKey="k")["SequenceNumber"]


def test_tags_are_kept_and_removed(kinesis, new_stream):
    name = new_stream()
    kinesis.add_tags_to_stream(StreamName=name, Tags={"owner": "research", "tier": "hot"})
    kinesis.remove_tags_from_stream(StreamName=name, TagKeys=["tier"])
    answer = kinesis.list_tags_for_stream(StreamName=name)
    assert answer["Tags"] == [{"Key": "owner", "Value": "research"}]


def test_retention_grows_and_shrinks_within_its_bounds(kinesis, new_stream):
    name = new_stream()
    kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=168)
    kinesis.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert summary["RetentionPeriodHours"] == 48
    with pytest.raises(kinesis.exceptions.InvalidArgumentException):
        kinesis.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=23)


@pytest.mark.breaks("moto", "deregisters by ARN alone")
def test_consumer_is_registered_listed_and_deregistered(kinesis, new_stream):
    name = new_stream()
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="fan-out")["Consumer"]
    described = kinesis.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
    assert described["ConsumerDescription"]["StreamARN"] == arn
    listed = kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]
    assert [item["ConsumerName"] for item in listed] == ["fan-out"]
    kinesis.deregister_stream_consumer(StreamARN=arn, ConsumerName="fan-out")
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        kinesis.describe_stream_consumer(StreamARN=arn, ConsumerName="fan-out")
