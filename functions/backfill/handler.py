"""Lambda ``backfill``: by the clock, the ledger's gaps -> REST -> the backfill stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from tradelake.adapters.aws.logs import log_batch
from tradelake.bootstrap import wire_backfill
from tradelake.usecases.backfill import Backfilled


@lru_cache(maxsize=1)
def _wired() -> Callable[[float], Backfilled]:
    return wire_backfill(os.environ)


def handler(_event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own
    """Fill gaps until all are filled or the invocation's time runs out."""
    outcome = _wired()(context.get_remaining_time_in_millis() / 1000)
    log_batch("backfill", context.aws_request_id, outcome)
    answer: dict[str, Any] = msgspec.to_builtins(outcome)
    return answer
