"""The thread behind one shard of an event-source mapping: read, hand over, decide, checkpoint."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import botocore.exceptions

from tradelake.adapters.aws.clients import translate
from tradelake.errors import TradelakeError
from tradelake.local import mapping_rules as rules
from tradelake.local.mapping_state import Checkpoint, Checkpoints, ShardStatus
from tradelake.local.stream_server.protocol import WAIT_HEADER

Invoke = Callable[[dict[str, Any], str], object]
"""(event, request id) -> the function's answer."""

GiveUp = Callable[[dict[str, Any]], None]
"""Takes the description of a batch that was given up; returns when it is stored."""

_READ_CAP_S: Final = 1.0
_MAX_READ: Final = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of GetRecords; ``ended`` when the shard has no more and is closed."""

    records: list[rules.Delivered]
    millis_behind: int
    ended: bool


class StreamPoll:
    """Kinesis calls of a mapping, shared by its threads.

    Parameters
    ----------
    client : boto3 Kinesis client
        A hook is put on it that asks our own stream server to hold empty answers back.
    stream : str
        Physical name.
    """

    def __init__(self, client: Any, stream: str) -> None:  # noqa: ANN401 - boto3 clients have no static type
        self._client = client
        self._stream = stream
        self._local = threading.local()
        client.meta.events.register("before-call.kinesis.GetRecords", self._ask_to_wait)

    def generation(self) -> tuple[str, str]:
        """Return (ARN, creation time) of the stream: a new stream of an old name starts afresh."""
        answer = self._call("describe_stream_summary", StreamName=self._stream)
        summary = answer["StreamDescriptionSummary"]
        return summary["StreamARN"], summary["StreamCreationTimestamp"].isoformat()

    def shards(self) -> list[dict[str, Any]]:
        """Return every shard that can still be read."""
        page = self._call("list_shards", StreamName=self._stream)
        found: list[dict[str, Any]] = page["Shards"]
        while "NextToken" in page:
            page = self._call("list_shards", NextToken=page["NextToken"])
            found += page["Shards"]
        return found

    def iterator(self, shard_id: str, after: str | None) -> str:
        """Return an iterator after a sequence number, or at the oldest record."""
        start = (
            {"ShardIteratorType": "TRIM_HORIZON"}
            if after is None
            else {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        )
        answer = self._call(
            "get_shard_iterator", StreamName=self._stream, ShardId=shard_id, **start
        )
        return str(answer["ShardIterator"])

    def read(self, iterator: str, limit: int, wait_ms: int) -> tuple[Page, str | None]:
        """Return what follows an iterator, and the next one."""
        self._local.wait_ms = wait_ms
        answer = self._call("get_records", ShardIterator=iterator, Limit=min(limit, _MAX_READ))
        records = [
            rules.Delivered(
                record["SequenceNumber"],
                record["PartitionKey"],
                record["Data"],
                record["ApproximateArrivalTimestamp"].timestamp(),
            )
            for record in answer["Records"]
        ]
        following = answer.get("NextShardIterator")
        page = Page(records, int(answer.get("MillisBehindLatest", 0)), following is None)
        return page, following

    def _ask_to_wait(self, params: dict[str, Any], **_: object) -> None:
        params["headers"][WAIT_HEADER] = str(getattr(self._local, "wait_ms", 0))

    def _call(self, operation: str, **arguments: Any) -> Any:  # noqa: ANN401 - boto3 answers are plain dicts
        try:
            return getattr(self._client, operation)(**arguments)
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise translate(error, f"{operation} on stream {self._stream}") from error


@dataclass(slots=True)
class ReaderParts:
    """What every reader of a mapping shares.

    Parameters
    ----------
    poll : StreamPoll
        Reads the stream.
    checkpoints : Checkpoints
        Where progress is kept, under ``checkpoint_key``.
    make_invoke : callable
        Makes an execution environment of the function.
    give_up : callable
        The on-failure destination.
    ended : callable
        Told when the shard is read out and checkpointed.
    stop : threading.Event
        Ends the thread after the batch in hand.
    """

    poll: StreamPoll
    checkpoints: Checkpoints
    make_invoke: Callable[[], Invoke]
    give_up: GiveUp
    ended: Callable[[str], None]
    stop: threading.Event
    policy: rules.Policy
    poll_wait_ms: int
    checkpoint_key: str
    random: random.Random = field(default_factory=lambda: random.Random(0))


class ShardReader:
    """Reads one shard from its checkpoint on.

    Parameters
    ----------
    parts : ReaderParts
        What is shared with the mapping's other readers.
    source : rules.Source
        The shard.
    after : str or None
        Last sequence number that is dealt with.
    """

    def __init__(self, parts: ReaderParts, source: rules.Source, after: str | None) -> None:
        self._parts = parts
        self._source = source
        self._read_to = after
        self._iterator: str | None = None
        self._assembler = rules.BatchAssembler(parts.policy)
        self._queue: deque[rules.Work] = deque()
        self._shard_ended = False
        self._read_failures = 0
        self.status = ShardStatus(source.shard_id, last_sequence_number=after)

    def run(self) -> None:
        """Read and hand over until told to stop or until the shard is read out."""
        invoke = self._parts.make_invoke()
        stop = self._parts.stop
        while not stop.is_set():
            if self._queue:
                self._hand_over(invoke)
            elif self._shard_ended and not len(self._assembler):
                self._finish()
                return
            else:
                self._read()
                if self._shard_ended or self._assembler.wait_s(time.monotonic()) <= 0:
                    batch = self._assembler.take()
                    self._queue.extend((rules.Work(batch),) if batch else ())
            self._count_pending()

    def _read(self) -> None:
        """Read what there is room for; hold still until a batch is due where there is none."""
        due_s = self._assembler.wait_s(time.monotonic())
        if self._shard_ended or due_s <= 0:
            return
        asked_ns = time.time_ns()
        wait_ms = int(min(self._parts.poll_wait_ms, due_s * 1000))
        try:
            if self._iterator is None:
                self._iterator = self._parts.poll.iterator(self._source.shard_id, self._read_to)
            page, self._iterator = self._parts.poll.read(
                self._iterator, self._assembler.room, wait_ms
            )
        except TradelakeError as error:
            self._read_failed(error)
            return
        self._read_failures = 0
        self._shard_ended = page.ended
        self._assembler.add(page.records, time.monotonic())
        self.status.millis_behind = page.millis_behind
        if page.records:
            self._read_to = page.records[-1].sequence_number
        elif not page.millis_behind and not len(self._assembler):
            self.status.caught_up_ns = asked_ns

    def _read_failed(self, error: TradelakeError) -> None:
        self._iterator = None  # it may have expired
        self._read_failures += 1
        self.status.last_error = str(error)
        pause_s = rules.delay_s(self._read_failures, self._parts.random.random(), cap_s=_READ_CAP_S)
        self._parts.stop.wait(pause_s)

    def _hand_over(self, invoke: Invoke) -> None:
        work = self._queue.popleft()
        if self._parts.stop.wait(rules.delay_s(work.attempts, self._parts.random.random())):
            return
        request_id = str(uuid.uuid4())
        self.status.in_flight = len(work.records)
        self.status.invocations += 1
        failure = self._invoke(invoke, work.records, request_id)
        self.status.errors += failure is not None
        decision = rules.decide(work, failure, self._parts.policy, time.time())
        if decision.given_up is not None and decision.condition is not None:
            self._parts.give_up(
                rules.failure_description(
                    decision.given_up,
                    self._source,
                    decision.condition,
                    request_id=request_id,
                    at=dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
                )
            )
            self.status.given_up += len(decision.given_up.records)
        if decision.done:
            last = work.records[decision.done - 1].sequence_number
            self._checkpoint(Checkpoint(last, ended=False))
            self.status.records += decision.done
            self.status.last_sequence_number = last
        self._queue.extendleft(reversed(decision.again))
        self.status.in_flight = 0

    def _invoke(
        self, invoke: Invoke, records: Sequence[rules.Delivered], request_id: str
    ) -> rules.Failure | None:
        try:
            answer = invoke(rules.kinesis_event(records, self._source), request_id)
        except Exception as error:  # noqa: BLE001 - whatever a function raises fails its batch, as in Lambda
            self.status.last_error = f"{type(error).__name__}: {error}"
            return rules.Failure(0, reported=False)
        failure = rules.failure_of(answer, records)
        if failure is not None:
            first = records[failure.index].sequence_number
            self.status.last_error = f"the function reported failures from {first} on"
        return failure

    def _finish(self) -> None:
        self._checkpoint(Checkpoint(self._read_to, ended=True))
        self._parts.ended(self._source.shard_id)
        self.status.finished = True

    def _checkpoint(self, checkpoint: Checkpoint) -> None:
        self._parts.checkpoints.save(self._parts.checkpoint_key, self._source.shard_id, checkpoint)

    def _count_pending(self) -> None:
        self.status.pending = len(self._assembler) + sum(len(w.records) for w in self._queue)
