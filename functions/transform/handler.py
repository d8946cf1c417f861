"""Lambda ``transform``: Kinesis clean -> derived, by the user's own transforms."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tradelake.adapters.aws.kinesis_events import batch_answer, received_records
from tradelake.adapters.aws.logs import log_batch
from tradelake.bootstrap import wire_transform
from tradelake.ports import Received
from tradelake.usecases.transform import Transformed


@lru_cache(maxsize=1)
def _wired() -> Callable[[Sequence[Received]], Transformed]:
    return wire_transform(os.environ)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own object
    """Transform one invocation's micro-batches."""
    received = received_records(event)
    outcome = _wired()(received)
    log_batch("transform", getattr(context, "aws_request_id", ""), outcome)
    return batch_answer(received, outcome.failed_from)
