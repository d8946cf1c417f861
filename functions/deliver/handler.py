"""Lambda: streams -> Iceberg lake."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tradelake.adapters.aws.kinesis_events import batch_answer, received_records, source_stream
from tradelake.adapters.aws.logs import log_batch
from tradelake.adapters.system import SystemClock
from tradelake.bootstrap import wire_lake_writer
from tradelake.topology import names
from tradelake.usecases.deliver import deliver_records

if TYPE_CHECKING:
    from tradelake.ports import LakeWriter


@lru_cache(maxsize=1)
def _lake() -> LakeWriter:
    return wire_lake_writer(os.environ)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own
    """Append the event's micro-batches; answer with the first record to hand over again."""
    received = received_records(event)
    stream = source_stream(event, os.environ[names.ENV_ENVIRONMENT])
    outcome = deliver_records(stream, received, _lake(), SystemClock())
    log_batch("deliver", getattr(context, "aws_request_id", ""), outcome)
    return batch_answer(received, outcome.failed_from)
