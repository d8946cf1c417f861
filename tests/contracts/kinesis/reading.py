"""What every reader of a stream does."""

from __future__ import annotations


def iterator(client, stream, shard_id, kind="TRIM_HORIZON", **start):
    answer = client.get_shard_iterator(
        StreamName=stream, ShardId=shard_id, ShardIteratorType=kind, **start
    )
    return answer["ShardIterator"]


def drain(client, shard_iterator):
    """Records from an iterator to the tip or to the shard's end, and the last answer."""
    records = []
    while True:
        answer = client.get_records(ShardIterator=shard_iterator)
        records += answer["Records"]
        shard_iterator = answer.get("NextShardIterator")
        if shard_iterator is None or (not answer["Records"] and not answer["MillisBehindLatest"]):
            return records, answer


def shard_ids(client, stream):
    return [shard["ShardId"] for shard in client.list_shards(StreamName=stream)["Shards"]]


def read_shards(client, stream):
    """Every record of every shard."""
    return {
        shard_id: drain(client, iterator(client, stream, shard_id))[0]
        for shard_id in shard_ids(client, stream)
    }


def read_all(client, stream):
    return [record for records in read_shards(client, stream).values() for record in records]


def entries(count, *, size=20, keys=16, start=0):
    return [
        {"Data": f"{start + at}".encode().ljust(size, b"."), "PartitionKey": str(at % keys)}
        for at in range(count)
    ]


def number(record):
    return int(record["Data"].rstrip(b"."))
