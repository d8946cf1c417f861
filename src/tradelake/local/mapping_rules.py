"""The decisions of a Lambda event-source mapping, without I/O.

Which records make a batch, and what an answer means. The rules are Lambda's for Kinesis with
``ReportBatchItemFailures`` (AWS Lambda Developer Guide, "Using Lambda with Kinesis"): a batch is
due when it is full, when its window is over or when it reaches 6 MB; an exception fails the whole
batch, an answer with ``batchItemFailures`` everything from the lowest failed sequence number on;
a failed batch is tried again before anything else of its shard.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

MAX_EVENT_BYTES: Final = 6_000_000
_RECORD_OVERHEAD: Final = 640
"""Bytes of an event's JSON around one record's data and key, from above."""

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """A record as GetRecords hands it out; ``arrival_s`` is in seconds since 1970 UTC."""

    sequence_number: str
    key: str
    data: bytes
    arrival_s: float

    @property
    def event_bytes(self) -> int:
        """Bytes it takes in an event, from above."""
        return (len(self.data) + 2) // 3 * 4 + 4 * len(self.key) + _RECORD_OVERHEAD


@dataclass(frozen=True, slots=True)
class Policy:
    """What a mapping does with batches.

    Parameters
    ----------
    batch_size : int
        Records a batch at most.
    window_s : float
        How long a batch that is not full waits for more.
    bisect : bool
        Split a batch that raised, to corner the failing record. Splitting is no attempt.
    retries : int
        Attempts after the first; -1 means until the records expire.
    max_age_s : float
        Age at which a failing record is given up.
    """

    batch_size: int
    window_s: float = 0.0
    bisect: bool = True
    retries: int = -1
    max_age_s: float = 7 * 86_400.0


class BatchAssembler:
    """Collects records of one shard into batches, in order.

    Parameters
    ----------
    policy : Policy
        Size and window.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held: deque[tuple[float, Delivered]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """Records that can be taken in before the next batch is due."""
        if self._bytes >= MAX_EVENT_BYTES:
            return 0
        return max(self._policy.batch_size - len(self._held), 0)

    def add(self, records: Sequence[Delivered], now_s: float) -> None:
        """Take records in, in order, at an instant of a clock that never goes back."""
        for record in records:
            self._held.append((now_s, record))
            self._bytes += record.event_bytes

    def wait_s(self, now_s: float) -> float:
        """Seconds until a batch is due: 0 when one is, infinity when nothing is held."""
        if not self._held:
            return float("inf")
        if not self.room:
            return 0.0
        return max(self._held[0][0] + self._policy.window_s - now_s, 0.0)

    def take(self) -> tuple[Delivered, ...]:
        """Return the next batch: the oldest records, within ``batch_size`` and 6 MB.

        It has at least one where any is held.
        """
        batch: list[Delivered] = []
        size = 0
        while self._held and len(batch) < self._policy.batch_size:
            record = self._held[0][1]
            if batch and size + record.event_bytes > MAX_EVENT_BYTES:
                break
            self._held.popleft()
            size += record.event_bytes
            batch.append(record)
        self._bytes -= size
        return tuple(batch)


@dataclass(frozen=True, slots=True)
class Work:
    """Consecutive records of a shard that are to be handed over, and how often that failed."""

    records: tuple[Delivered, ...]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Everything from record ``index`` on failed.

    ``reported`` by the function itself; otherwise it raised.
    """

    index: int
    reported: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from one invocation.

    Parameters
    ----------
    done : int
        Records, from the first, that are dealt with: handled or given up.
    again : tuple of Work
        What is to be tried next, in order, before anything else of the shard.
    given_up : Work or None
        What goes to the on-failure destination.
    condition : str or None
        Why it was given up.
    """

    done: int
    again: tuple[Work, ...] = ()
    given_up: Work | None = None
    condition: Condition | None = None


def failure_of(answer: object, records: Sequence[Delivered]) -> Failure | None:
    """Return what an answer says failed; None for success.

    No answer, an empty one, and an empty or absent list mean success. An identifier that is empty,
    absent or of no record of the batch fails the whole batch, as an exception would.
    """
    if answer is None:
        return None
    if not isinstance(answer, Mapping):
        return Failure(0, reported=False)
    failures = answer.get("batchItemFailures")
    if not failures:
        return None
    index_of = {record.sequence_number: at for at, record in enumerate(records)}
    try:
        failed = min(index_of[item["itemIdentifier"]] for item in failures)
    except (KeyError, TypeError):
        return Failure(0, reported=False)
    return Failure(failed, reported=True)


def decide(work: Work, failure: Failure | None, policy: Policy, now_s: float) -> Decision:
    """Return what follows from an invocation with ``work``.

    Parameters
    ----------
    work : Work
        What was handed over.
    failure : Failure or None
        What failed.
    policy : Policy
        Retries, age and bisection.
    now_s : float
        Seconds since 1970 UTC.

    Notes
    -----
    ``done`` and ``again`` together are the records of ``work``, each once and in order.
    """
    total = len(work.records)
    if failure is None:
        return Decision(total)
    done = failure.index
    rest = Work(work.records[done:], 1 if done else work.attempts + 1)
    expired = 0
    while expired < len(rest.records) and _is_expired(rest.records[expired], policy, now_s):
        expired += 1
    if expired:
        given_up = Work(rest.records[:expired], rest.attempts)
        left = (Work(rest.records[expired:], 0),) if expired < len(rest.records) else ()
        return Decision(done + expired, left, given_up, "RecordAgeExceeded")
    if policy.bisect and not failure.reported and len(rest.records) > 1:
        middle = (len(rest.records) + 1) // 2
        first = replace(rest, records=rest.records[:middle], attempts=work.attempts)
        second = Work(rest.records[middle:])
        return Decision(done, (first, second))
    if 0 <= policy.retries < rest.attempts:
        return Decision(total, (), rest, "RetryAttemptsExhausted")
    return Decision(done, (rest,))


def delay_s(
    attempts: int, random_unit: float, *, first_s: float = 0.1, cap_s: float = 10.0
) -> float:
    """Return the pause before an attempt: doubling, capped, between half and all of it.

    >>> [delay_s(attempts, 1.0) for attempts in (0, 1, 2, 20)]
    [0.0, 0.1, 0.2, 10.0]
    """
    if attempts < 1:
        return 0.0
    whole = min(cap_s, first_s * 2.0 ** min(attempts - 1, 30))
    return whole * (0.5 + random_unit / 2)


def readable(shards: Sequence[Mapping[str, Any]], ended: Collection[str]) -> list[str]:
    """Return the shards to read now: not read out, and no listed parent that is not read out.

    Parameters
    ----------
    shards : sequence of mapping
        As ListShards describes them.
    ended : collection of str
        Shards that are read out.
    """
    listed = {shard["ShardId"] for shard in shards}
    waiting_for = listed.difference(ended)
    return [
        shard["ShardId"]
        for shard in shards
        if shard["ShardId"] not in ended
        and shard.get("ParentShardId") not in waiting_for
        and shard.get("AdjacentParentShardId") not in waiting_for
    ]


@dataclass(frozen=True, slots=True)
class Source:
    """What an event says about where its records come from."""

    stream_arn: str
    shard_id: str
    region: str
    role_arn: str
    function_arn: str


def kinesis_event(records: Sequence[Delivered], source: Source) -> dict[str, Any]:
    """Return the event that Lambda hands a function for these records."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record.key,
                    "sequenceNumber": record.sequence_number,
                    "data": base64.b64encode(record.data).decode(),
                    "approximateArrivalTimestamp": record.arrival_s,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{source.shard_id}:{record.sequence_number}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": source.role_arn,
                "awsRegion": source.region,
                "eventSourceARN": source.stream_arn,
            }
            for record in records
        ]
    }


def failure_description(
    work: Work, source: Source, condition: Condition, *, request_id: str, at: str
) -> dict[str, Any]:
    """Return what Lambda writes to an S3 on-failure destination.

    It tells the batch's place, why it was given up, and the event itself.

    Parameters
    ----------
    work : Work
        What was given up; not empty.
    source : Source
        Its shard.
    condition : str
        Why.
    request_id : str
        The last invocation.
    at : str
        ISO 8601 instant, UTC.
    """
    first, last = work.records[0], work.records[-1]
    return {
        "requestContext": {
            "requestId": request_id,
            "functionArn": source.function_arn,
            "condition": condition,
            "approximateInvokeCount": work.attempts,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": at,
        "KinesisBatchInfo": {
            "shardId": source.shard_id,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": first.arrival_s,
            "approximateArrivalOfLastRecord": last.arrival_s,
            "batchSize": len(work.records),
            "streamArn": source.stream_arn,
        },
        "payload": kinesis_event(work.records, source),
    }


def _is_expired(record: Delivered, policy: Policy, now_s: float) -> bool:
    return now_s - record.arrival_s > policy.max_age_s
