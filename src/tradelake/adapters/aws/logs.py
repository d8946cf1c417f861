"""One JSON line per invocation on standard output, where Lambda and Fargate collect it."""

from __future__ import annotations

import sys
from typing import Any

import msgspec


def log_batch(function: str, request_id: str, fields: Any) -> None:  # noqa: ANN401 - any struct or mapping
    """Write one line: the function's name, the invocation's correlation id, and the counts.

    Parameters
    ----------
    function : str
        Logical name.
    request_id : str
        Lambda's request id, empty where there is none.
    fields : msgspec.Struct or mapping
        Counts. Never secrets.
    """
    line = {"function": function, "request_id": request_id, **msgspec.to_builtins(fields)}
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
