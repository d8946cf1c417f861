"""Lambda ``rebuild_bars``: by the clock, filled gaps and the lake -> bars; minutes compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from tradelake.adapters.aws.logs import log_batch
from tradelake.bootstrap import wire_rebuild_bars
from tradelake.usecases.rebuild_bars import Maintained


@lru_cache(maxsize=1)
def _wired() -> Callable[[float], Maintained]:
    return wire_rebuild_bars(os.environ)


def handler(_event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own
    """Rebuild what is due until it is done or half of the invocation's time is over."""
    outcome = _wired()(context.get_remaining_time_in_millis() / 1000)
    log_batch("rebuild_bars", context.aws_request_id, outcome)
    answer: dict[str, Any] = msgspec.to_builtins(outcome)
    return answer
