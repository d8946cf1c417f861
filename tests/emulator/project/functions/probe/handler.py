"""A function that does what its event says."""

import ctypes
import os
import time


def handler(event, context):
    if event.get("print"):
        print(event["print"])
    if event.get("raise"):
        raise ValueError(event["raise"])
    if event.get("exit"):
        os._exit(event["exit"])
    if event.get("crash"):
        ctypes.string_at(0)
    time.sleep(event.get("sleep_s", 0))
    return {
        "pid": os.getpid(),
        "event": event,
        "colour": os.environ.get("COLOUR"),
        "request_id": context.aws_request_id,
        "left_ms": context.get_remaining_time_in_millis(),
        "function": context.function_name,
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
    }
