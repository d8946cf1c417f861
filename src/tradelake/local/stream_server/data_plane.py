"""PutRecord, PutRecords, GetShardIterator and GetRecords."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tradelake.local.stream_server import iterators
from tradelake.local.stream_server import protocol as p
from tradelake.local.stream_server.commit import GroupCommit
from tradelake.local.stream_server.faults import Faults, ShardLimit
from tradelake.local.stream_server.log import ShardLog
from tradelake.local.stream_server.options import ServerOptions
from tradelake.local.stream_server.segment import Stored
from tradelake.local.stream_server.shards import HASH_SPACE, Shard, hash_key
from tradelake.local.stream_server.store import Stream, StreamStore

THROTTLED: Final = "ProvisionedThroughputExceededException"
_MAX_WAIT_MS: Final = 1000


class DataPlane:
    """Writes and reads.

    Parameters
    ----------
    store : StreamStore
        The streams.
    commits : GroupCommit
        Makes staged records durable.
    faults : Faults
        Faults on demand.
    options : ServerOptions
        Iterator life and shard limits.
    now_ms, monotonic_s : callable
        Wall clock in milliseconds since 1970 UTC, and a clock that never goes back in seconds.
    """

    def __init__(
        self,
        store: StreamStore,
        commits: GroupCommit,
        faults: Faults,
        options: ServerOptions,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._commits = commits
        self._faults = faults
        self._options = options
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._limits: dict[tuple[str, str], ShardLimit] = {}
        self._ttl_ms = int(options.iterator_ttl_s * 1000)

    async def put_records(self, request: p.PutRecords) -> p.PutRecordsAnswer:
        """Write records; those refused are named one by one. Returns when the others are durable.

        Raises
        ------
        KinesisError
            ``InvalidArgumentException``, ``ValidationException``: nothing was written.
        """
        stream = self._store.get(request.name())
        _check_call(request.records)
        keys = [_hash_of(entry) for entry in request.records]
        now_ms = self._now_ms()
        logs: set[ShardLog] = set()
        results: list[p.PutResult] = []
        failed = 0
        for entry, key in zip(request.records, keys, strict=True):
            result, log = self._put_one(stream, entry, key, now_ms)
            results.append(result)
            if log is None:
                failed += 1
            else:
                logs.add(log)
        await self._commits.durable(logs)
        self._lose_answer(stream)
        return p.PutRecordsAnswer(failed, results)

    async def put_record(self, request: p.PutRecord) -> p.PutResult:
        """Write one record.

        Raises
        ------
        KinesisError
            Also ``ProvisionedThroughputExceededException``.
        """
        stream = self._store.get(request.name())
        entry = p.PutEntry(request.data, request.partition_key, request.explicit_hash_key)
        _check_call([entry])
        result, log = self._put_one(stream, entry, _hash_of(entry), self._now_ms())
        if log is None:
            raise p.KinesisError(THROTTLED, result.error_message or "")
        await self._commits.durable((log,))
        self._lose_answer(stream)
        return result

    def get_shard_iterator(self, request: p.GetShardIterator) -> str:
        """Return an iterator at the place asked for."""
        stream = self._store.get(request.name())
        shard = stream.shard(request.shard_id)
        position = p.StartingPosition(
            type=request.shard_iterator_type,
            sequence_number=request.starting_sequence_number,
            timestamp=request.timestamp,
        )
        return self._token(stream, shard, self.start_ordinal(stream, shard, position))

    def start_ordinal(self, stream: Stream, shard: Shard, position: p.StartingPosition) -> int:
        """Return the first ordinal to read for a starting position."""
        log = stream.logs[shard.shard_id]
        match position.type:
            case "LATEST":
                return log.committed + 1
            case "TRIM_HORIZON":
                return log.first
            case "AT_TIMESTAMP":
                if position.timestamp is None:
                    raise p.invalid("Must specify timestampInMillis parameter for AT_TIMESTAMP.")
                at_ms = int(position.timestamp * 1000)
                if at_ms > self._now_ms():
                    raise p.invalid("The timestamp cannot be greater than the current time.")
                return log.first_since(at_ms)
            case "AT_SEQUENCE_NUMBER":
                return _ordinal(shard, log, position)
            case "AFTER_SEQUENCE_NUMBER":
                return _ordinal(shard, log, position) + 1
        raise p.KinesisError(
            "ValidationException", f"unknown shard iterator type {position.type!r}"
        )

    async def get_records(self, request: p.GetRecords, wait_ms: int = 0) -> p.GetRecordsAnswer:
        """Read from an iterator on.

        An empty answer may be held back for ``wait_ms`` until something arrives.
        """
        if not 1 <= request.limit <= p.MAX_READ_RECORDS:
            raise p.invalid(f"expected a Limit in 1..{p.MAX_READ_RECORDS}, found {request.limit}")
        position = iterators.decode(request.shard_iterator, self._now_ms(), self._ttl_ms)
        stream = self._store.get(position.stream)
        if stream.record.stream_id != position.stream_id:
            raise p.not_found(f"the iterator is of an earlier stream named {position.stream}")
        shard = stream.shard(position.shard_id)
        stored, next_ordinal = await self.read(
            stream, shard, position.ordinal, request.limit, wait_ms
        )
        answer = p.GetRecordsAnswer(
            records=[to_record(shard, item) for item in stored],
            millis_behind_latest=self.millis_behind(
                stream.logs[shard.shard_id], next_ordinal, stored
            ),
        )
        if self.is_finished(stream, shard, next_ordinal):
            answer.child_shards = self.child_shards(stream, shard)
        else:
            answer.next_shard_iterator = self._token(stream, shard, next_ordinal)
        return answer

    async def read(
        self, stream: Stream, shard: Shard, ordinal: int, limit: int, wait_ms: int
    ) -> tuple[list[Stored], int]:
        """Return (records, next ordinal) of a shard, waiting for the first one where asked to."""
        log = stream.logs[shard.shard_id]
        deadline_s = self._monotonic_s() + min(wait_ms, _MAX_WAIT_MS) / 1000
        while True:
            ordinal = max(ordinal, self._trim_horizon(stream, log))
            if log.is_cold(ordinal):
                stored = await asyncio.to_thread(log.read, ordinal, limit, p.MAX_READ_BYTES)
            else:
                stored = log.read(ordinal, limit, p.MAX_READ_BYTES)
            if stored:
                return stored, stored[-1].ordinal + 1
            remaining_s = deadline_s - self._monotonic_s()
            if remaining_s <= 0 or self.is_finished(stream, shard, ordinal):
                return [], ordinal
            await log.changed.wait(remaining_s)

    def is_finished(self, stream: Stream, shard: Shard, ordinal: int) -> bool:
        """Whether a reader that stands at ``ordinal`` has read a closed shard to its end."""
        log = stream.logs[shard.shard_id]
        return not shard.is_open and log.is_quiet and ordinal > log.committed

    def child_shards(self, stream: Stream, shard: Shard) -> list[p.ChildShard]:
        """Shards that continue one, as GetRecords names them."""
        return [
            p.ChildShard(child.shard_id, child.parents, p.HashKeyRange(child.low, child.high))
            for child in stream.children(shard)
        ]

    def millis_behind(self, log: ShardLog, ordinal: int, stored: list[Stored]) -> int:
        """Age of the last record read, or of the oldest there is, where more is to come; else 0."""
        if ordinal > log.committed:
            return 0
        seen_ms = stored[-1].arrival_ms if stored else log.first_arrival_ms
        return max(self._now_ms() - seen_ms, 1)

    def _put_one(
        self, stream: Stream, entry: p.PutEntry, key: int, now_ms: int
    ) -> tuple[p.PutResult, ShardLog | None]:
        shard = stream.route(key)
        name = stream.record.name
        partition_key = entry.partition_key.encode()
        refused = self._faults.throttles(name)
        if self._options.shard_limits and not refused:
            limit = self._limits.get((stream.record.stream_id, shard.shard_id))
            if limit is None:
                limit = ShardLimit(self._monotonic_s())
                self._limits[(stream.record.stream_id, shard.shard_id)] = limit
            size = len(entry.data) + len(partition_key)
            refused = not limit.admits(size, self._monotonic_s())
        if refused:
            message = f"Rate exceeded for shard {shard.shard_id} in stream {name}."
            return p.PutResult(error_code=THROTTLED, error_message=message), None
        log = stream.logs[shard.shard_id]
        ordinal = log.stage(partition_key, entry.data, now_ms)
        return p.PutResult(shard.sequence_number(ordinal), shard.shard_id), log

    def _lose_answer(self, stream: Stream) -> None:
        if self._faults.loses_answer(stream.record.name):
            raise p.KinesisError("InternalFailure", "the answer was lost on demand", 500)

    def _trim_horizon(self, stream: Stream, log: ShardLog) -> int:
        before_ms = stream.trim_ms(self._now_ms())
        if log.first_arrival_ms >= before_ms:
            return log.first
        return log.first_since(before_ms)

    def _token(self, stream: Stream, shard: Shard, ordinal: int) -> str:
        record = stream.record
        return iterators.encode(
            iterators.Position(
                record.name, record.stream_id, shard.shard_id, ordinal, self._now_ms()
            )
        )


def to_record(shard: Shard, stored: Stored) -> p.ReadRecord:
    """Return a record as readers get it."""
    return p.ReadRecord(
        shard.sequence_number(stored.ordinal), stored.arrival_ms / 1000, stored.data, stored.key
    )


def _check_call(entries: list[p.PutEntry]) -> None:
    if not 1 <= len(entries) <= p.MAX_RECORDS_A_CALL:
        raise p.KinesisError(
            "ValidationException",
            f"expected 1 to {p.MAX_RECORDS_A_CALL} records, found {len(entries)}",
        )
    total = 0
    for at, entry in enumerate(entries):
        size = len(entry.data) + len(entry.partition_key.encode())
        total += size
        if size > p.MAX_RECORD_BYTES:
            raise p.KinesisError(
                "ValidationException",
                f"record {at}: expected at most {p.MAX_RECORD_BYTES} bytes, found {size}",
            )
        if not 1 <= len(entry.partition_key) <= p.MAX_KEY_CHARACTERS:
            raise p.KinesisError(
                "ValidationException",
                f"record {at}: expected a partition key of 1 to {p.MAX_KEY_CHARACTERS} characters",
            )
    if total > p.MAX_CALL_BYTES:
        raise p.invalid(f"expected at most {p.MAX_CALL_BYTES} bytes a request, found {total}")


def _hash_of(entry: p.PutEntry) -> int:
    explicit = entry.explicit_hash_key
    if explicit is None:
        return hash_key(entry.partition_key)
    if not explicit.isdecimal() or int(explicit) >= HASH_SPACE:
        raise p.invalid(f"expected an ExplicitHashKey in [0, 2**128), found {explicit!r}")
    return int(explicit)


def _ordinal(shard: Shard, log: ShardLog, position: p.StartingPosition) -> int:
    number = position.sequence_number
    if number is None:
        raise p.invalid(f"Must specify a sequence number for {position.type}.")
    try:
        ordinal = shard.ordinal(number)
    except ValueError as error:
        raise p.invalid(
            f"StartingSequenceNumber {number} is invalid on shard {shard.shard_id}."
        ) from error
    if ordinal > log.assigned:
        raise p.invalid(f"StartingSequenceNumber {number} has not been given out yet.")
    return ordinal
