"""Lambda ``prepare_backtests``: sweep request -> one specification a run, and the manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from tradelake.adapters.aws.logs import log_batch
from tradelake.bootstrap import wire_prepare_backtests
from tradelake.usecases.sweeps import PreparedSweep


@lru_cache(maxsize=1)
def _wired() -> Callable[[str], PreparedSweep]:
    return wire_prepare_backtests(os.environ)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own
    """Expand the request at ``event["request_key"]``."""
    prepared = msgspec.to_builtins(_wired()(event["request_key"]))
    log_batch("prepare_backtests", getattr(context, "aws_request_id", ""), prepared)
    answer: dict[str, Any] = prepared
    return answer
