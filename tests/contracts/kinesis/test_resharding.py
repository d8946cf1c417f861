"""Parents and children."""

import itertools

import pytest

from tests.contracts.kinesis.reading import drain, entries, iterator, number, read_all, shard_ids

MIDDLE = str(2**127)


def test_shard_lineage_and_ranges_are_described_after_a_split(kinesis, new_stream):
    name = new_stream()
    (parent,) = shard_ids(kinesis, name)
    kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=MIDDLE)
    old, left, right = kinesis.list_shards(StreamName=name)["Shards"]
    assert "EndingSequenceNumber" in old["SequenceNumberRange"]
    assert left["ParentShardId"] == right["ParentShardId"] == parent
    assert int(left["HashKeyRange"]["EndingHashKey"]) == 2**127 - 1
    assert int(right["HashKeyRange"]["StartingHashKey"]) == 2**127


@pytest.mark.breaks("moto", "keeps writing to the parent after a split")
def test_writes_go_to_the_children_alone_after_a_split(kinesis, new_stream):
    name = new_stream()
    (parent,) = shard_ids(kinesis, name)
    kinesis.put_records(StreamName=name, Records=entries(50))
    kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=MIDDLE)
    after = kinesis.put_records(StreamName=name, Records=entries(50, start=50))["Records"]
    assert parent not in {result["ShardId"] for result in after}
    assert len({result["ShardId"] for result in after}) == 2
    assert sorted(number(record) for record in read_all(kinesis, name)) == list(range(100))


@pytest.mark.breaks("moto", "never ends a closed shard and names no children")
def test_closed_parent_is_read_to_its_end_and_names_its_children(kinesis, new_stream):
    name = new_stream()
    (parent,) = shard_ids(kinesis, name)
    kinesis.put_records(StreamName=name, Records=entries(5))
    before = iterator(kinesis, name, parent)
    kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=MIDDLE)
    records, answer = drain(kinesis, before)
    assert [number(record) for record in records] == list(range(5))
    assert "NextShardIterator" not in answer
    assert [child["ParentShards"] for child in answer["ChildShards"]] == [[parent], [parent]]
    assert sorted(child["ShardId"] for child in answer["ChildShards"]) == sorted(
        set(shard_ids(kinesis, name)) - {parent}
    )


def test_merged_shard_names_both_parents(kinesis, new_stream):
    name = new_stream(2)
    first, second = shard_ids(kinesis, name)
    kinesis.merge_shards(StreamName=name, ShardToMerge=first, AdjacentShardToMerge=second)
    child = kinesis.list_shards(StreamName=name)["Shards"][-1]
    assert {child["ParentShardId"], child["AdjacentParentShardId"]} == {first, second}
    assert child["HashKeyRange"] == {
        "StartingHashKey": "0",
        "EndingHashKey": str(2**128 - 1),
    }


@pytest.mark.breaks("moto", "lists every shard whatever the filter")
def test_closed_shards_are_left_out_when_the_latest_are_asked_for(kinesis, new_stream):
    name = new_stream()
    (parent,) = shard_ids(kinesis, name)
    kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=MIDDLE)
    latest = kinesis.list_shards(StreamName=name, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    assert parent not in {shard["ShardId"] for shard in latest}
    assert len(latest) == 2


def test_shards_that_are_not_adjacent_are_not_merged(kinesis, new_stream):
    name = new_stream(3)
    first, _, third = shard_ids(kinesis, name)
    with pytest.raises(kinesis.exceptions.InvalidArgumentException):
        kinesis.merge_shards(StreamName=name, ShardToMerge=first, AdjacentShardToMerge=third)


@pytest.mark.parametrize(
    "target_count",
    [
        pytest.param(2, marks=pytest.mark.breaks("moto", "doubles the records of merged shards")),
        3,
        5,
        6,
    ],
)
def test_open_shards_cover_the_hash_space_uniformly_after_an_update(
    kinesis, new_stream, target_count
):
    name = new_stream(3)
    kinesis.put_records(StreamName=name, Records=entries(100))
    kinesis.update_shard_count(
        StreamName=name, TargetShardCount=target_count, ScalingType="UNIFORM_SCALING"
    )
    ranges = sorted(
        (int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
        for s in kinesis.list_shards(StreamName=name)["Shards"]
        if "EndingSequenceNumber" not in s["SequenceNumberRange"]
    )
    assert len(ranges) == target_count
    assert (ranges[0][0], ranges[-1][1]) == (0, 2**128 - 1)
    assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(ranges))
    assert len(read_all(kinesis, name)) == 100


def test_order_per_key_holds_across_a_split_when_parents_are_read_first(kinesis, new_stream):
    name = new_stream()
    (parent,) = shard_ids(kinesis, name)
    for start in range(0, 200, 20):
        if start == 100:
            kinesis.split_shard(StreamName=name, ShardToSplit=parent, NewStartingHashKey=MIDDLE)
        kinesis.put_records(StreamName=name, Records=entries(20, start=start))
    by_key = {}
    for record in read_all(kinesis, name):  # shards are listed parents first
        by_key.setdefault(record["PartitionKey"], []).append(number(record))
    assert len(shard_ids(kinesis, name)) == 3
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
