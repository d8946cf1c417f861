"""Loads a Lambda handler from its file, and what Lambda hands it beside the event.

Standard library only: function processes start from here.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_LOADS: Final = itertools.count()

Handler = Callable[[dict[str, Any], object], object]


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What Lambda hands a handler beside the event."""

    function_name: str
    aws_request_id: str
    invoked_function_arn: str
    timeout_s: float
    memory_limit_in_mb: int = 0
    function_version: str = "$LATEST"
    log_group_name: str = "local"
    log_stream_name: str = "local"
    started_s: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until the function's time-out; never negative."""
        left_s = self.started_s + self.timeout_s - time.monotonic()
        return max(int(left_s * 1000), 0)


def import_handler(path: Path, name: str = "handler") -> Handler:
    """Run a handler file as a module of its own, as a cold start does; return its handler.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError
        It has no function of that name.
    Exception
        Whatever the file raises while it is loaded.
    """
    module_name = f"tradelake_function_{path.parent.name}_{next(_LOADS)}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"expected a handler at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    handler = getattr(module, name, None)
    if not callable(handler):
        raise TypeError(f"{path} has no function named {name}")
    return handler  # type: ignore[no-any-return]
