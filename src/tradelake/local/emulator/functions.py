"""Runs Lambda handlers in warm subprocesses."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from tradelake.local.children import Process, end
from tradelake.local.emulator import worker
from tradelake.local.emulator.forks import Launcher

LAST_LINES: Final = 40
"""Lines of its log in the answer for a process that ended: the interpreter's own last words."""


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """What decides whether a warm process can be used again.

    Parameters
    ----------
    name : str
        The function.
    handler : str
        ``<path without .py>.<name>`` below the project root, for instance
        ``functions/validate/handler.handler``.
    environment : tuple of (str, str)
        The function's own variables, sorted.
    """

    name: str
    handler: str
    environment: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Invocation:
    """An answer: the payload, whether it is an error, and what the handler printed."""

    payload: Any
    error: bool
    log: str


class FunctionRunner:
    """Invokes handlers in warm processes, one event at a time each.

    Parameters
    ----------
    launcher : Launcher
        Starts the processes; handlers are looked up below its root.
    concurrency : int
        Processes of one function at most; further invocations wait.
    """

    def __init__(self, launcher: Launcher, concurrency: int) -> None:
        self._launcher = launcher
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._idle: dict[FunctionConfig, list[Process]] = {}
        self._free: dict[str, threading.BoundedSemaphore] = {}

    def invoke(
        self, config: FunctionConfig, event: object, arn: str, timeout_s: float
    ) -> Invocation:
        """Hand one event to the handler.

        An exception of the handler, its time-out and its process' death are answers with ``error``
        set, shaped as Lambda shapes them.
        """
        with self._lock:
            free = self._free.setdefault(config.name, threading.BoundedSemaphore(self._concurrency))
        with free:
            try:
                process = self._take(config)
            except (OSError, ValueError) as error:
                return _failed("Runtime.InvalidEntrypoint", str(error), "")
            request = {
                "request_id": str(uuid4()),
                "arn": arn,
                "timeout_s": timeout_s,
                "event": event,
            }
            invocation, alive = _exchange(process, request, timeout_s)
            if alive:
                with self._lock:
                    self._idle.setdefault(config, []).append(process)
            else:
                process.wait()
                self._launcher.finished(process)
            return invocation

    def _take(self, config: FunctionConfig) -> Process:
        """Take a warm process or start one; processes of an older configuration are ended."""
        with self._lock:
            outdated = [
                known for known in self._idle if known.name == config.name and known != config
            ]
            ended = [process for known in outdated for process in self._idle.pop(known)]
            warm = self._idle.get(config, [])
            process = warm.pop() if warm else None
        for old in ended:
            end(old)
            self._launcher.finished(old)
        return process if process is not None else self._start(config)

    def _start(self, config: FunctionConfig) -> Process:
        module, dot, name = config.handler.rpartition(".")
        root = self._launcher.root.resolve()
        path = (root / f"{module}.py").resolve()
        if not dot or not path.is_relative_to(root):
            raise ValueError(f"expected <path>.<name> below {root}, found {config.handler!r}")
        command = [sys.executable, "-P", worker.__file__, str(path), name, config.name]
        return self._launcher.start(command, dict(config.environment))


def _exchange(
    process: Process, request: Mapping[str, Any], timeout_s: float
) -> tuple[Invocation, bool]:
    """Send a request and read its answer; also returns whether the process can be used again."""
    assert process.stdin is not None
    assert process.stdout is not None
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        end(process, grace_s=0.2)

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    log: list[str] = []
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            if line.startswith(worker.ANSWER):
                reply = json.loads(line[len(worker.ANSWER) :])
                return Invocation(reply["payload"], reply["error"], "\n".join(log)), True
            if line != "\n":
                log.append(line.rstrip("\n"))
    finally:
        timer.cancel()
    text = "\n".join(log)
    if timed_out.is_set():
        message = f"{request['request_id']} Task timed out after {timeout_s:.2f} seconds"
        return _failed("Sandbox.Timedout", message, text), False
    ended = f"the function's process ended, exit code {process.wait()}"
    message = "\n".join([f"{request['request_id']} {ended}", *log[-LAST_LINES:]])
    return _failed("Runtime.ExitError", message, text), False


def _failed(kind: str, message: str, log: str) -> Invocation:
    payload = {"errorMessage": message, "errorType": kind, "stackTrace": []}
    return Invocation(payload, True, log)
