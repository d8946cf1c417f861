"""A warm function process: one handler, one event a line. Standard library only.

Arguments: path of the handler's file, name of the handler, name of the function. Standard input
carries JSON lines ``{"request_id", "arn", "timeout_s", "event"}``; standard output carries the
handler's log lines and, after each event, one line that starts with NUL:
``{"error": bool, "payload": ...}``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ANSWER: Final = "\0"


class Context:
    """The part of Lambda's context object that handlers use."""

    memory_limit_in_mb = 0
    function_version = "$LATEST"
    log_group_name = ""
    log_stream_name = ""

    def __init__(self, name: str, request: dict[str, Any]) -> None:
        self.function_name = name
        self.aws_request_id = request["request_id"]
        self.invoked_function_arn = request["arn"]
        self._deadline_s = time.monotonic() + request["timeout_s"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds left before the function is stopped."""
        return max(0, int(1000 * (self._deadline_s - time.monotonic())))


def load_handler(path: Path, name: str) -> Callable[[Any, Context], Any]:
    """Import the handler from its file, under a module name of its own."""
    spec = importlib.util.spec_from_file_location(f"function_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no Python file at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    handler: Callable[[Any, Context], Any] = getattr(module, name)
    return handler


def error_payload(error: BaseException, request_id: str) -> dict[str, Any]:
    """Return what Lambda's Python runtime answers for an exception."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def answer(handler: Callable[[Any, Context], Any], name: str, line: str) -> str:
    """Return the answer line for one request line."""
    request = json.loads(line)
    try:
        payload = handler(request["event"], Context(name, request))
        return ANSWER + json.dumps({"error": False, "payload": payload})
    except Exception as error:  # noqa: BLE001 - the runtime's contract: whatever a handler raises becomes its answer
        return ANSWER + json.dumps(
            {"error": True, "payload": error_payload(error, request["request_id"])}
        )


def main(path: str, handler_name: str, function_name: str) -> None:
    """Answer events until standard input ends."""
    out = sys.stdout
    handler: Callable[[Any, Context], Any] | None = None
    for line in sys.stdin:
        try:
            handler = handler or load_handler(Path(path), handler_name)
            reply = answer(handler, function_name, line)
        except Exception as error:  # noqa: BLE001 - an import that fails is this invocation's answer, as in Lambda
            payload = error_payload(error, json.loads(line)["request_id"])
            reply = ANSWER + json.dumps({"error": True, "payload": payload})
        out.write("\n" + reply + "\n")
        out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
