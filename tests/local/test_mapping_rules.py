"""What a batch is and what an answer means, without I/O."""

import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.local.mapping_rules import (
    MAX_EVENT_BYTES,
    BatchAssembler,
    Delivered,
    Failure,
    Policy,
    Source,
    Work,
    decide,
    delay_s,
    failure_description,
    failure_of,
    kinesis_event,
    readable,
)

SOURCE = Source(
    "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
    "shardId-000000000002",
    "eu-west-1",
    "arn:aws:iam::123456789012:role/r",
    "arn:aws:lambda:eu-west-1:123456789012:function:f",
)


def records_of(count, *, size=10, arrival_s=1000.0):
    return tuple(Delivered(f"{at:056d}", "k", b"x" * size, arrival_s) for at in range(count))


class TestAssembler:
    def test_batch_is_due_at_once_when_there_is_no_window(self):
        assembler = BatchAssembler(Policy(batch_size=10))
        assert assembler.wait_s(0.0) == math.inf
        assembler.add(records_of(1), 5.0)
        assert assembler.wait_s(5.0) == 0.0

    def test_batch_is_due_when_its_window_is_over(self):
        assembler = BatchAssembler(Policy(batch_size=10, window_s=2.0))
        assembler.add(records_of(1), 5.0)
        assembler.add(records_of(1), 6.0)
        assert assembler.wait_s(6.5) == 0.5
        assert assembler.wait_s(7.0) == 0.0

    def test_batch_is_due_within_its_window_when_it_is_full(self):
        assembler = BatchAssembler(Policy(batch_size=3, window_s=60.0))
        assembler.add(records_of(3), 0.0)
        assert (assembler.wait_s(0.0), assembler.room) == (0.0, 0)

    def test_batch_is_due_within_its_window_when_it_reaches_six_megabytes(self):
        assembler = BatchAssembler(Policy(batch_size=1000, window_s=60.0))
        assembler.add(records_of(6, size=1_000_000), 0.0)
        assert assembler.wait_s(0.0) == 0.0
        assert len(assembler.take()) == 4

    @given(
        st.lists(st.integers(0, 1_000_000), max_size=40),
        st.integers(1, 20),
        st.integers(1, 40),
    )
    def test_batches_hold_every_record_once_in_order_within_the_limits(self, sizes, size, chunk):
        records = [Delivered(str(at), "k", b"x" * n, 0.0) for at, n in enumerate(sizes)]
        assembler = BatchAssembler(Policy(batch_size=size))
        batches = []
        for at in range(0, len(records), chunk):
            assembler.add(records[at : at + chunk], 0.0)
            batches.append(assembler.take())
        while len(assembler):
            batches.append(assembler.take())
        assert [record for batch in batches for record in batch] == records
        for batch in batches:
            assert 1 <= len(batch) <= size
            assert len(batch) == 1 or sum(r.event_bytes for r in batch) <= MAX_EVENT_BYTES


class TestAnswers:
    @pytest.mark.parametrize(
        "answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}]
    )
    def test_answer_means_success_when_it_names_no_failure(self, answer):
        assert failure_of(answer, records_of(3)) is None

    @pytest.mark.parametrize(
        "answer",
        [
            "fine",
            {"batchItemFailures": [{"itemIdentifier": ""}]},
            {"batchItemFailures": [{"itemIdentifier": None}]},
            {"batchItemFailures": [{"itemIdentifier": "of another batch"}]},
            {"batchItemFailures": [{"sequenceNumber": "1"}]},
            {"batchItemFailures": ["1"]},
        ],
    )
    def test_whole_batch_fails_when_the_answer_is_not_understood(self, answer):
        assert failure_of(answer, records_of(3)) == Failure(0, reported=False)

    def test_lowest_failed_record_counts_whatever_the_order(self):
        records = records_of(5)
        named = [{"itemIdentifier": records[at].sequence_number} for at in (4, 2, 3)]
        assert failure_of({"batchItemFailures": named}, records) == Failure(2, reported=True)


class TestDecisions:
    def test_everything_is_done_when_nothing_failed(self):
        assert decide(Work(records_of(3)), None, Policy(3), 0.0).done == 3

    def test_records_from_the_lowest_failed_on_are_tried_again(self):
        work = Work(records_of(5))
        decision = decide(work, Failure(2, reported=True), Policy(5), 1000.0)
        assert (decision.done, decision.again) == (2, (Work(work.records[2:], 1),))

    def test_batch_is_halved_when_the_function_raised(self):
        work = Work(records_of(5))
        decision = decide(work, Failure(0, reported=False), Policy(5), 1000.0)
        assert decision.again == (Work(work.records[:3]), Work(work.records[3:]))

    def test_batch_is_not_halved_when_the_trigger_does_not_bisect(self):
        work = Work(records_of(5))
        decision = decide(work, Failure(0, reported=False), Policy(5, bisect=False), 1000.0)
        assert decision.again == (Work(work.records, 1),)

    def test_record_is_given_up_after_the_last_retry(self):
        work = Work(records_of(1), attempts=2)
        decision = decide(work, Failure(0, reported=False), Policy(1, retries=2), 1000.0)
        assert (decision.done, decision.condition) == (1, "RetryAttemptsExhausted")
        assert decision.given_up == Work(work.records, 3)

    def test_record_is_never_given_up_before_it_expires_when_retries_are_endless(self):
        work = Work(records_of(1), attempts=10_000)
        policy = Policy(1, max_age_s=60.0)
        assert decide(work, Failure(0, reported=False), policy, 1059.0).given_up is None
        expired = decide(work, Failure(0, reported=False), policy, 1061.0)
        assert (expired.done, expired.condition) == (1, "RecordAgeExceeded")

    @given(
        total=st.integers(1, 30),
        attempts=st.integers(0, 5),
        retries=st.integers(-1, 5),
        bisect=st.booleans(),
        reported=st.booleans(),
        expired=st.integers(0, 30),
        data=st.data(),
    )
    def test_every_record_is_done_or_tried_again_once_and_in_order(
        self, total, attempts, retries, bisect, reported, expired, data
    ):
        records = tuple(
            Delivered(f"{at:03d}", "k", b"", 0.0 if at < expired else 1000.0) for at in range(total)
        )
        failure = data.draw(st.none() | st.integers(0, total - 1))
        outcome = None if failure is None else Failure(failure, reported)
        policy = Policy(30, bisect=bisect, retries=retries, max_age_s=500.0)
        decision = decide(Work(records, attempts), outcome, policy, 1000.0)
        again = tuple(record for work in decision.again for record in work.records)
        assert records[: decision.done] + again == records
        assert all(work.records for work in decision.again)
        if decision.given_up is not None:
            first = decision.done - len(decision.given_up.records)
            assert decision.given_up.records == records[first : decision.done]

    @given(st.integers(1, 64), st.sets(st.integers(0, 63)))
    def test_poison_is_cornered_and_all_else_is_handled_when_the_batch_is_bisected(
        self, total, poison
    ):
        records = records_of(total)
        bad = {records[at].sequence_number for at in poison if at < total}
        policy = Policy(64, retries=1)
        queue, handled, given_up = [Work(records)], [], []
        while queue:
            work = queue.pop(0)
            raised = any(record.sequence_number in bad for record in work.records)
            outcome = Failure(0, reported=False) if raised else None
            decision = decide(work, outcome, policy, 1000.0)
            if decision.given_up is None:
                handled += work.records[: decision.done]
            else:
                given_up += decision.given_up.records
            queue[:0] = decision.again
        assert [r.sequence_number for r in given_up] == sorted(bad)
        assert handled == [r for r in records if r.sequence_number not in bad]

    @given(st.integers(0, 10_000), st.floats(0, 1))
    def test_pause_grows_to_a_cap_and_is_never_negative(self, attempts, random_unit):
        assert 0 <= delay_s(attempts, random_unit) <= 10.0
        assert delay_s(attempts, random_unit) <= delay_s(attempts + 1, random_unit)


class TestShapes:
    def test_event_is_lambdas(self):
        record = Delivered("495", "7", b"\x00\xff", 1700000000.123)
        (item,) = kinesis_event([record], SOURCE)["Records"]
        assert item == {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "7",
                "sequenceNumber": "495",
                "data": base64.b64encode(b"\x00\xff").decode(),
                "approximateArrivalTimestamp": 1700000000.123,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": "shardId-000000000002:495",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": SOURCE.role_arn,
            "awsRegion": "eu-west-1",
            "eventSourceARN": SOURCE.stream_arn,
        }

    def test_failure_description_names_the_batch_and_why(self):
        records = records_of(3)
        described = failure_description(
            Work(records, 4),
            SOURCE,
            "RetryAttemptsExhausted",
            request_id="r",
            at="2026-01-01T00:00:00.000+00:00",
        )
        batch = described["KinesisBatchInfo"]
        assert batch["startSequenceNumber"] == records[0].sequence_number
        assert batch["endSequenceNumber"] == records[-1].sequence_number
        assert (batch["shardId"], batch["batchSize"]) == (SOURCE.shard_id, 3)
        assert described["requestContext"]["approximateInvokeCount"] == 4
        assert len(described["payload"]["Records"]) == 3


def test_child_is_readable_when_every_listed_parent_is_read_out():
    shards = [
        {"ShardId": "a"},
        {"ShardId": "b"},
        {"ShardId": "c", "ParentShardId": "a", "AdjacentParentShardId": "b"},
        {"ShardId": "d", "ParentShardId": "expired"},
    ]
    assert readable(shards, []) == ["a", "b", "d"]
    assert readable(shards, ["a"]) == ["b", "d"]
    assert readable(shards, ["a", "b", "d"]) == ["c"]
