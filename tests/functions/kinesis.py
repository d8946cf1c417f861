"""Kinesis as the tests need it: event envelopes as Lambda receives them, and a stream in memory."""

import base64
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from tradelake.errors import Transient
from tradelake.ports import Outgoing
from tradelake.stream.envelope import Batch, decode_batches, encode_batch

ROOT = Path(__file__).parents[2]
FIRST_SEQUENCE = 49590338271490256608559692538361571095921575989136588898
NEXT_RECORD = 2**80


def sequence(index: int) -> str:
    """Sequence number of the index-th record of a shard, spaced as AWS spaces them."""
    return str(FIRST_SEQUENCE + index * NEXT_RECORD)


def kinesis_event(payloads: Sequence[tuple[str, bytes]], first: int = 0) -> dict:
    """The event Lambda makes of (partition key, data) pairs of one shard."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": key,
                    "sequenceNumber": sequence(first + index),
                    "data": base64.b64encode(data).decode(),
                    "approximateArrivalTimestamp": 1723161600.123,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:{sequence(first + index)}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
                "awsRegion": "us-east-2",
                "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/ticks",
            }
            for index, (key, data) in enumerate(payloads)
        ]
    }


def batch_event(batches: Sequence[Batch]) -> dict:
    """The event that carries micro-batches."""
    return kinesis_event([(str(batch.bucket), encode_batch(batch)) for batch in batches])


class StreamInMemory:
    """A StreamWriter that keeps what it is given and refuses, after a part, when told to."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.refusals: list[int | None] = []

    def refuse_next(self, after: int = 0) -> None:
        """Write ``after`` records of the next put, then refuse."""
        self.refusals.append(after)

    def accept_next(self) -> None:
        """Let one put pass before the refusals that are added later."""
        self.refusals.append(None)

    def put(self, records: Sequence[Outgoing]) -> None:
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is None:
            self.records.extend(records)
            return
        self.records.extend(records[:refusal])
        raise Transient("the stream refused")

    def batches(self) -> list[Batch]:
        return [batch for record in self.records for batch in decode_batches(record.data)]


def load_handler(name: str):
    """A fresh copy of ``functions/<name>/handler.py``, as a new Lambda process has it."""
    path = ROOT / "functions" / name / "handler.py"
    spec = importlib.util.spec_from_file_location(f"handler_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
