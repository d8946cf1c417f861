"""Lambda ``collect_backtests``: results of a sweep -> the trials table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from tradelake.adapters.aws.logs import log_batch
from tradelake.bootstrap import wire_collect_backtests
from tradelake.usecases.collect_backtests import CollectedSweep


@lru_cache(maxsize=1)
def _wired() -> Callable[[str], CollectedSweep]:
    return wire_collect_backtests(os.environ)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own
    """Collect the sweep ``event["sweep_id"]``."""
    collected = msgspec.to_builtins(_wired()(event["sweep_id"]))
    log_batch("collect_backtests", getattr(context, "aws_request_id", ""), collected)
    answer: dict[str, Any] = collected
    return answer
