"""One Lambda function of the topology as a process.

``python -m tradelake.local.function_worker --function validate --state-folder DIR`` loads
``functions/<folder>/handler.py`` by its path, as Lambda's cold start does, once for every shard it
reads: handlers keep clients and caches in module globals, and Lambda never runs two invocations of
one environment at a time. Its triggers feed it through local event-source mappings; a JSON file
tells how far they are.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tradelake.adapters.aws.clients import client
from tradelake.errors import ConfigError
from tradelake.local.handlers import Handler, LambdaContext, import_handler
from tradelake.local.mapping import EventSourceMapping, MappingOptions, policy_of
from tradelake.local.mapping_reader import Invoke
from tradelake.local.mapping_state import Checkpoints
from tradelake.topology import functions, names

_STATUS_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """A function worker.

    Parameters
    ----------
    function : functions.Function
        What to run.
    environment : str
        Physical stream names follow from it.
    functions_folder : Path
        Holds ``<folder>/handler.py``.
    state_folder : Path
        Checkpoints, descriptions of batches given up, and the status file where none is named.
    status_file : Path
        Rewritten about five times a second.
    window_cap_s : float
        Longest batching window.
    poll_wait_ms : int
        How long the stream server may hold an empty answer back.
    niceness : int
        By how much it yields the processor to others, as ``nice`` counts.
    """

    function: functions.Function
    environment: str
    functions_folder: Path
    state_folder: Path
    status_file: Path
    window_cap_s: float = 1.0
    poll_wait_ms: int = 250
    niceness: int = 0


def load_handler(path: Path) -> Handler:
    """Return the handler of a file.

    Raises
    ------
    ConfigError
        The file is missing, raises while it is loaded, or has no ``handler``; one line.
    """
    try:
        return import_handler(path)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"function worker: {path} cannot be loaded: {type(error).__name__}: {reason}"
        ) from error


class FunctionWorker:
    """Runs every trigger of one function.

    Parameters
    ----------
    options : WorkerOptions
        What to run and where.
    kinesis : callable
        Makes a boto3 Kinesis client.

    Raises
    ------
    ConfigError
        The handler cannot be loaded or the state folder cannot be written.
    """

    def __init__(self, options: WorkerOptions, kinesis: Callable[[], Any]) -> None:
        self._options = options
        self._name = names.physical(options.environment, options.function.name)
        self._path = options.functions_folder / options.function.folder / "handler.py"
        self._first_handler: list[Handler] = [load_handler(self._path)]
        state = options.state_folder
        self._checkpoints = Checkpoints(state / f"{options.function.name}.checkpoints.sqlite")
        self._mappings = [
            self._mapping(trigger, kinesis()) for trigger in options.function.triggers
        ]

    def start(self) -> None:
        """Start every mapping."""
        for mapping in self._mappings:
            mapping.start()

    def stop(self) -> None:
        """Stop after the batches in hand."""
        for mapping in self._mappings:
            mapping.stop()
        for mapping in self._mappings:
            mapping.join()
        self._checkpoints.close()

    def publish(self, state: str) -> None:
        """Write the status file, whole or not at all."""
        mappings = [mapping.status().to_json() for mapping in self._mappings]
        status = {
            "function": self._options.function.name,
            "pid": os.getpid(),
            "state": state,
            "updated_ns": time.time_ns(),
            "caught_up": all(mapping["caught_up"] for mapping in mappings),
            "mappings": mappings,
        }
        path = self._options.status_file
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(status))
        partial.replace(path)

    def _mapping(
        self,
        trigger: functions.StreamTrigger,
        kinesis: Any,  # noqa: ANN401 - boto3 clients have no static type
    ) -> EventSourceMapping:
        options = MappingOptions(
            name=f"{self._name}:{trigger.stream.name}",
            stream=names.physical(self._options.environment, trigger.stream.name),
            policy=policy_of(trigger, self._options.window_cap_s),
            function_arn=self._arn,
            region=kinesis.meta.region_name,
            poll_wait_ms=self._options.poll_wait_ms,
        )
        return EventSourceMapping(
            options, kinesis, self._make_invoke, self._checkpoints, self._give_up
        )

    @property
    def _arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:123456789012:function:{self._name}"

    def _make_invoke(self) -> Invoke:
        try:
            handler = self._first_handler.pop()
        except IndexError:
            handler = load_handler(self._path)
        function = self._options.function

        def invoke(event: dict[str, Any], request_id: str) -> object:
            context = LambdaContext(
                self._name,
                request_id,
                self._arn,
                float(function.timeout_s),
                function.memory_mb,
            )
            try:
                return handler(event, context)
            except Exception:
                traceback.print_exc()
                raise

        return invoke

    def _give_up(self, description: dict[str, Any]) -> None:
        """Keep the description under the key Lambda would give it in the failure bucket."""
        batch = description["KinesisBatchInfo"]
        at = description["timestamp"][:19].replace(":", ".")
        folder = self._options.state_folder / "failures" / self._name / batch["shardId"]
        folder.mkdir(parents=True, exist_ok=True)
        request_id = description["requestContext"]["requestId"]
        path = folder / f"{at}-{batch['startSequenceNumber']}-{request_id}.json"
        path.write_text(json.dumps(description))


def parse_options(arguments: Sequence[str], environment: Mapping[str, str]) -> WorkerOptions:
    """Return the options of a command line.

    Raises
    ------
    ConfigError
        An unknown function or no environment name.
    """
    parser = argparse.ArgumentParser(prog="tradelake.local.function_worker", description=__doc__)
    parser.add_argument("--function", required=True, help="name in topology.functions")
    parser.add_argument("--functions-folder", type=Path, default=Path("functions"))
    parser.add_argument("--state-folder", type=Path, required=True)
    parser.add_argument("--status-file", type=Path, help="default: STATE/<function>.status.json")
    parser.add_argument("--window-cap-s", type=float, default=1.0)
    parser.add_argument("--poll-wait-ms", type=int, default=250)
    parser.add_argument("--niceness", type=int, default=0)
    given = parser.parse_args(arguments)
    by_name = {function.name: function for function in functions.FUNCTIONS}
    if given.function not in by_name:
        known = ", ".join(sorted(by_name))
        raise ConfigError(f"function worker: expected one of {known}, found {given.function!r}")
    if not environment.get(names.ENV_ENVIRONMENT):
        raise ConfigError(f"function worker: {names.ENV_ENVIRONMENT} is not set")
    status_file = given.status_file or given.state_folder / f"{given.function}.status.json"
    return WorkerOptions(
        function=by_name[given.function],
        environment=environment[names.ENV_ENVIRONMENT],
        functions_folder=given.functions_folder,
        state_folder=given.state_folder,
        status_file=status_file,
        window_cap_s=given.window_cap_s,
        poll_wait_ms=given.poll_wait_ms,
        niceness=given.niceness,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code.

    0: stopped as asked; 1: a reader died of what nobody foresaw; 2: it could not start.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        options = parse_options(sys.argv[1:] if arguments is None else arguments, os.environ)
        os.nice(options.niceness)
        # As on Lambda, where functions/ lies in the task's root, which is on the path.
        sys.path.append(str(options.functions_folder.absolute().parent))
        worker = FunctionWorker(options, lambda: client("kinesis"))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    died = threading.Event()

    def end(details: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(details)
        died.set()
        stopping.set()

    threading.excepthook = end
    worker.start()
    while not stopping.wait(_STATUS_S):
        worker.publish("running")
    worker.stop()
    worker.publish("died" if died.is_set() else "stopped")
    return 1 if died.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
