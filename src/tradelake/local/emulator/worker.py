"""A warm function process: one handler, one event a line.

Arguments: path of the handler's file, name of the handler, name of the function. Standard input
carries JSON lines ``{"request_id", "arn", "timeout_s", "event"}``; standard output carries the
handler's log lines and, after each event, one line that starts with NUL:
``{"error": bool, "payload": ...}``.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from tradelake.local.handlers import Handler, LambdaContext, import_handler

ANSWER: Final = "\0"


def error_payload(error: BaseException, request_id: str) -> dict[str, Any]:
    """Return what Lambda's Python runtime answers for an exception."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def answer(handler: Handler, name: str, line: str) -> str:
    """Return the answer line for one request line."""
    request = json.loads(line)
    try:
        context = LambdaContext(name, request["request_id"], request["arn"], request["timeout_s"])
        payload = handler(request["event"], context)
        return ANSWER + json.dumps({"error": False, "payload": payload})
    except Exception as error:  # noqa: BLE001 - the runtime's contract: whatever a handler raises becomes its answer
        return ANSWER + json.dumps(
            {"error": True, "payload": error_payload(error, request["request_id"])}
        )


def main(path: str, handler_name: str, function_name: str) -> None:
    """Answer events until standard input ends."""
    out = sys.stdout
    handler: Handler | None = None
    for line in sys.stdin:
        try:
            handler = handler or import_handler(Path(path), handler_name)
            reply = answer(handler, function_name, line)
        except Exception as error:  # noqa: BLE001 - an import that fails is this invocation's answer, as in Lambda
            payload = error_payload(error, json.loads(line)["request_id"])
            reply = ANSWER + json.dumps({"error": True, "payload": payload})
        out.write("\n" + reply + "\n")
        out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
