"""Operations on streams, shards, tags and consumers.

They take effect at once: a stream is ACTIVE when the call returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tradelake.local.stream_server import protocol as p
from tradelake.local.stream_server.commit import GroupCommit
from tradelake.local.stream_server.shards import RangeStep, Shard, scaling_plan
from tradelake.local.stream_server.store import Stream, StreamStore

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_ON_DEMAND_SHARDS: Final = 4
_MAX_SHARDS: Final = 1000
_MIN_RETENTION_HOURS: Final = 24
_MAX_RETENTION_HOURS: Final = 8760
_MAX_TAGS: Final = 50

Answer = dict[str, Any]


class ControlPlane:
    """Streams, shards and tags.

    Parameters
    ----------
    store : StreamStore
        The streams.
    commits : GroupCommit
        Asked to finish what is being written before a stream is deleted.
    now_ms : callable
        Milliseconds since 1970 UTC.
    """

    def __init__(self, store: StreamStore, commits: GroupCommit, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._commits = commits
        self._now_ms = now_ms

    def create_stream(self, request: p.CreateStream) -> None:
        """Create a stream."""
        name = request.name()
        if not _NAME.fullmatch(name):
            raise p.KinesisError(
                "ValidationException", f"expected a name matching {_NAME.pattern}, found {name!r}"
            )
        mode = (request.stream_mode_details or p.StreamMode()).stream_mode
        count = request.shard_count
        if mode == "ON_DEMAND":
            count = _ON_DEMAND_SHARDS
        if count is None or not 1 <= count <= _MAX_SHARDS:
            raise p.KinesisError(
                "ValidationException", f"expected a ShardCount in 1..{_MAX_SHARDS}, found {count}"
            )
        self._store.create(name, count, mode, request.tags)

    async def delete_stream(self, request: p.DeleteStream) -> None:
        """Delete a stream and its records."""
        stream = self._store.get(request.name())
        if stream.record.consumers and not request.enforce_consumer_deletion:
            raise p.in_use(f"stream {stream.record.name} has registered consumers")
        self._store.forget(stream.record.name)
        await self._commits.durable(log for log in stream.logs.values() if not log.is_quiet)
        self._store.remove(stream)

    def list_streams(self, request: p.ListStreams) -> Answer:
        """Return names and summaries, sorted by name, a page at a time."""
        after = request.next_token or request.exclusive_start_stream_name or ""
        names = [name for name in self._store.names() if name > after]
        page = names[: request.limit]
        answer: Answer = {
            "StreamNames": page,
            "HasMoreStreams": len(names) > len(page),
            "StreamSummaries": [self._summary(self._store.get(name)) for name in page],
        }
        if answer["HasMoreStreams"]:
            answer["NextToken"] = page[-1]
        return answer

    def describe_stream(self, request: p.DescribeStream) -> Answer:
        """Return a stream with a page of its shards."""
        stream = self._store.get(request.name())
        after = request.exclusive_start_shard_id or ""
        shards = [shard for shard in stream.record.shards if shard.shard_id > after]
        description = self._summary(stream) | self._common(stream)
        description["Shards"] = [describe_shard(shard) for shard in shards[: request.limit]]
        description["HasMoreShards"] = len(shards) > request.limit
        return {"StreamDescription": description}

    def describe_stream_summary(self, request: p.StreamRequest) -> Answer:
        """Return a stream without its shards."""
        stream = self._store.get(request.name())
        summary = self._summary(stream) | self._common(stream)
        summary["OpenShardCount"] = len(stream.open_shards)
        summary["ConsumerCount"] = len(stream.record.consumers)
        return {"StreamDescriptionSummary": summary}

    def describe_limits(self) -> Answer:
        """Return the account's limits and use."""
        streams = [self._store.get(name) for name in self._store.names()]
        return {
            "ShardLimit": _MAX_SHARDS,
            "OpenShardCount": sum(len(stream.open_shards) for stream in streams),
            "OnDemandStreamCount": sum(s.record.mode == "ON_DEMAND" for s in streams),
            "OnDemandStreamCountLimit": 50,
        }

    def list_shards(self, request: p.ListShards) -> Answer:
        """Return a page of shards, filtered."""
        after = request.exclusive_start_shard_id or ""
        name = ""
        if request.next_token is not None:
            name, _, after = request.next_token.rpartition(":")
            if not name:
                raise p.invalid("NextToken is not valid")
        stream = self._store.get(name or request.name())
        shards = [
            shard
            for shard in self._filtered(stream, request.shard_filter)
            if shard.shard_id > after
        ]
        page = shards[: request.max_results]
        answer: Answer = {"Shards": [describe_shard(shard) for shard in page]}
        if len(shards) > len(page):
            answer["NextToken"] = f"{stream.record.name}:{page[-1].shard_id}"
        return answer

    def split_shard(self, request: p.SplitShard) -> None:
        """Close a shard and open two that halve its range at the given hash key."""
        stream = self._store.get(request.name())
        shard = _open_shard(stream, request.shard_to_split)
        low, high = int(shard.low), int(shard.high)
        text = request.new_starting_hash_key
        if not text.isdecimal() or not low < int(text) <= high:
            raise p.invalid(
                f"expected a hash key in {low + 1}..{high} ({shard.shard_id}), found {text}"
            )
        middle = int(text)
        self._store.reshard(stream, RangeStep(((low, high),), ((low, middle - 1), (middle, high))))

    def merge_shards(self, request: p.MergeShards) -> None:
        """Close two adjacent shards and open one over both ranges.

        The first named is the parent.
        """
        stream = self._store.get(request.name())
        first = _open_shard(stream, request.shard_to_merge)
        second = _open_shard(stream, request.adjacent_shard_to_merge)
        ranges = sorted((int(s.low), int(s.high)) for s in (first, second))
        if ranges[0][1] + 1 != ranges[1][0]:
            raise p.invalid(f"{first.shard_id} and {second.shard_id} are not adjacent")
        closing = ((int(first.low), int(first.high)), (int(second.low), int(second.high)))
        self._store.reshard(stream, RangeStep(closing, ((ranges[0][0], ranges[1][1]),)))

    def update_shard_count(self, request: p.UpdateShardCount) -> Answer:
        """Split and merge until the shards are uniform and as many as asked for."""
        stream = self._store.get(request.name())
        current = len(stream.open_shards)
        target = request.target_shard_count
        if request.scaling_type != "UNIFORM_SCALING":
            raise p.KinesisError(
                "ValidationException", f"unknown scaling type {request.scaling_type!r}"
            )
        if not (current + 1) // 2 <= target <= 2 * current:
            raise p.KinesisError(
                "LimitExceededException",
                f"expected half to twice the {current} open shards, found {target}",
            )
        ranges = [(int(shard.low), int(shard.high)) for shard in stream.open_shards]
        for step in scaling_plan(ranges, target):
            self._store.reshard(stream, step)
        return {
            "StreamName": stream.record.name,
            "CurrentShardCount": current,
            "TargetShardCount": target,
            "StreamARN": self._store.arn(stream.record.name),
        }

    def increase_retention(self, request: p.RetentionPeriod) -> None:
        """Keep records longer."""
        self._set_retention(request, grow=True)

    def decrease_retention(self, request: p.RetentionPeriod) -> None:
        """Keep records less long."""
        self._set_retention(request, grow=False)

    def add_tags(self, request: p.AddTags) -> None:
        """Add or replace tags."""
        record = self._store.get(request.name()).record
        tags = record.tags | request.tags
        if len(tags) > _MAX_TAGS:
            raise p.invalid(f"expected at most {_MAX_TAGS} tags, found {len(tags)}")
        record.tags = tags
        self._store.save()

    def remove_tags(self, request: p.RemoveTags) -> None:
        """Remove tags; unknown keys are nothing to do."""
        record = self._store.get(request.name()).record
        record.tags = {k: v for k, v in record.tags.items() if k not in request.tag_keys}
        self._store.save()

    def list_tags(self, request: p.ListTags) -> Answer:
        """Return a page of tags, sorted by key."""
        tags = self._store.get(request.name()).record.tags
        after = request.exclusive_start_tag_key or ""
        keys = [key for key in sorted(tags) if key > after]
        page = keys[: request.limit]
        return {
            "Tags": [{"Key": key, "Value": tags[key]} for key in page],
            "HasMoreTags": len(keys) > len(page),
        }

    def _set_retention(self, request: p.RetentionPeriod, *, grow: bool) -> None:
        record = self._store.get(request.name()).record
        hours = request.retention_period_hours
        if not _MIN_RETENTION_HOURS <= hours <= _MAX_RETENTION_HOURS:
            raise p.invalid(
                f"expected {_MIN_RETENTION_HOURS}..{_MAX_RETENTION_HOURS} hours, found {hours}"
            )
        if (hours < record.retention_hours) if grow else (hours > record.retention_hours):
            wanted = "longer" if grow else "shorter"
            raise p.invalid(
                f"expected a period {wanted} than {record.retention_hours} h, found {hours} h"
            )
        record.retention_hours = hours
        self._store.save()

    def _summary(self, stream: Stream) -> Answer:
        record = stream.record
        return {
            "StreamName": record.name,
            "StreamARN": self._store.arn(record.name),
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": record.mode},
            "StreamCreationTimestamp": record.created_ms / 1000,
        }

    def _common(self, stream: Stream) -> Answer:
        return {
            "RetentionPeriodHours": stream.record.retention_hours,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
        }

    def _filtered(self, stream: Stream, wanted: p.ShardFilter | None) -> list[Shard]:
        shards = stream.record.shards
        if wanted is None:
            return shards
        trim_ms = stream.trim_ms(self._now_ms())
        at_ms = int((wanted.timestamp or 0) * 1000)
        match wanted.type:
            case "AT_LATEST":
                return [shard for shard in shards if shard.is_open]
            case "FROM_TRIM_HORIZON":
                return [shard for shard in shards if _open_after(shard, trim_ms)]
            case "AT_TRIM_HORIZON":
                oldest = max(trim_ms, stream.record.created_ms)
                return [shard for shard in shards if _open_at(shard, oldest)]
            case "AFTER_SHARD_ID":
                return [shard for shard in shards if shard.shard_id > (wanted.shard_id or "")]
            case "AT_TIMESTAMP":
                return [shard for shard in shards if _open_at(shard, at_ms)]
            case "FROM_TIMESTAMP":
                return [shard for shard in shards if _open_after(shard, at_ms)]
        raise p.KinesisError("ValidationException", f"unknown shard filter {wanted.type!r}")


def describe_shard(shard: Shard) -> Answer:
    """Return a shard as the API describes it."""
    numbers = {"StartingSequenceNumber": shard.sequence_number(0)}
    if shard.end is not None:
        numbers["EndingSequenceNumber"] = shard.sequence_number(shard.end)
    described: Answer = {
        "ShardId": shard.shard_id,
        "HashKeyRange": {"StartingHashKey": shard.low, "EndingHashKey": shard.high},
        "SequenceNumberRange": numbers,
    }
    if shard.parent is not None:
        described["ParentShardId"] = shard.parent
    if shard.adjacent_parent is not None:
        described["AdjacentParentShardId"] = shard.adjacent_parent
    return described


def _open_shard(stream: Stream, shard_id: str) -> Shard:
    shard = stream.shard(shard_id)
    if not shard.is_open:
        raise p.invalid(f"{shard_id} is closed: only open shards can be split or merged")
    return shard


def _open_at(shard: Shard, at_ms: int) -> bool:
    return shard.created_ms <= at_ms and _open_after(shard, at_ms)


def _open_after(shard: Shard, at_ms: int) -> bool:
    return shard.closed_ms is None or shard.closed_ms > at_ms
