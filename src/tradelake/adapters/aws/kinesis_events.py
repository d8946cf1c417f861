"""What Lambda hands a function that reads a Kinesis stream, and the answer it expects.

Both are the service's own forms, so that the local event-source mapping and AWS call the same
handlers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from tradelake.errors import InvalidData
from tradelake.ports import Received
from tradelake.topology import names


def received_records(event: Mapping[str, Any]) -> list[Received]:
    """Return the records of a Kinesis event, in the event's order.

    Parameters
    ----------
    event : mapping
        ``{"Records": [{"kinesis": {"sequenceNumber", "partitionKey", "data",
        "approximateArrivalTimestamp"}}]}``; ``data`` is base64, the arrival is in seconds.

    Raises
    ------
    InvalidData
        Rule ``event``: it is no Kinesis event. That is a wrong trigger, not a wrong record.
    """
    try:
        return [_received(record["kinesis"]) for record in event["Records"]]
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InvalidData(
            "event",
            f"expected Records[].kinesis of a Kinesis event: {type(error).__name__} {error}",
        ) from error


def _received(kinesis: Mapping[str, Any]) -> Received:
    return Received(
        sequence_number=str(kinesis["sequenceNumber"]),
        key=str(kinesis["partitionKey"]),
        data=base64.b64decode(kinesis["data"], validate=True),
        arrival_ns=round(float(kinesis.get("approximateArrivalTimestamp", 0.0)) * 1e3) * 1_000_000,
    )


def source_stream(event: Mapping[str, Any], environment: str) -> str:
    """Return the logical name of the stream an event comes from.

    Raises
    ------
    InvalidData
        Rule ``event``: no record, or a stream of another environment.

    Examples
    --------
    >>> arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/tradelake-dev-clean"
    >>> source_stream({"Records": [{"eventSourceARN": arn}]}, "dev")
    'clean'
    """
    try:
        physical = str(event["Records"][0]["eventSourceARN"]).rpartition("/")[2]
    except (KeyError, IndexError, TypeError) as error:
        raise InvalidData("event", "expected Records[0].eventSourceARN") from error
    prefix = names.physical(environment, "")
    if not physical.startswith(prefix):
        raise InvalidData("event", f"expected a stream {prefix}*, found {physical}")
    return physical.removeprefix(prefix)


def batch_answer(received: Sequence[Received], failed_from: int | None) -> dict[str, Any]:
    """Return the answer of a function with ``ReportBatchItemFailures``.

    Parameters
    ----------
    received : sequence of Received
        The records of the invocation.
    failed_from : int or None
        Index of the first record that was not dealt with; Lambda hands over that one and every
        later one again. None: everything was dealt with.

    Examples
    --------
    >>> batch_answer([Received("7", "0", b""), Received("8", "0", b"")], 1)
    {'batchItemFailures': [{'itemIdentifier': '8'}]}
    >>> batch_answer([], None)
    {'batchItemFailures': []}
    """
    if failed_from is None:
        return {"batchItemFailures": []}
    return {"batchItemFailures": [{"itemIdentifier": received[failed_from].sequence_number}]}
