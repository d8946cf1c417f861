"""The embedded AWS: interprets ``topology`` on one machine.

Streams live on our stream server, everything else on the emulator; each function of the topology
that a stream triggers runs in a worker process that hands its real handler real Lambda events. The
other interpreter of ``topology`` is ``infra``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tradelake.bootstrap import wire_lake_catalog
from tradelake.errors import ConfigError, Transient
from tradelake.local.drain import FunctionStatus, drained, read_status
from tradelake.local.emulator.options import CREDENTIALS, REGION, code_cache
from tradelake.local.layout import ENVIRONMENT, Layout
from tradelake.local.processes import Process, Processes
from tradelake.local.provision import Endpoints, Plan, Provisioned, provision
from tradelake.local.scheduler import LambdaClient, Scheduler
from tradelake.topology import containers, functions, names
from tradelake.topology.schedules import SCHEDULES, Schedule

_POLL_S: Final = 0.1
_GRACE_S: Final = 3.0
_FUNCTION_NICENESS: Final = 10
"""On AWS functions have machines of their own; here they yield to the ingester and streams."""
_ASKED_FOR: Final = (names.ENV_QUALITY_RULES, names.ENV_TRANSFORMS)
"""What a user may set in the shell; nothing else of it reaches the processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """What an embedded AWS is started with; port 0 takes a free one."""

    layout: Layout
    project_root: Path
    aws_port: int = 0
    kinesis_port: int = 0
    alpaca_key: str = "demo-key"
    alpaca_secret: str = "demo-secret"  # noqa: S105 - the local venue's own
    window_cap_s: float = 3.0
    extra_variables: Mapping[str, str] | None = None


class Runtime:
    """A running embedded AWS; use it as a context manager."""

    def __init__(self, options: RuntimeOptions) -> None:
        self.options = options
        self.layout = options.layout
        self.provisioned = Provisioned()
        self.variables: dict[str, str] = {}
        self.workers: dict[str, Process] = {}
        self._processes = Processes(options.layout.logs.absolute(), options.project_root)
        self._scheduler: Scheduler | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """End every process; an error that follows from the end of one is told as that.

        Raises
        ------
        Transient
            Which process ended, where the work failed for that.
        """
        blamed = isinstance(error, Exception) and not isinstance(error, ConfigError)
        dead = self._processes.culprit() if blamed else None
        self.stop_schedules(timeout_s=0.0)
        self._processes.close()
        if dead is not None:
            raise Transient(dead.obituary()) from error

    def _start(self) -> None:
        variables = {
            **{name: os.environ[name] for name in _ASKED_FOR if name in os.environ},
            **self.layout.variables(),
            **(self.options.extra_variables or {}),
        }
        streams = self._server(
            "streams",
            {"folder": str(self.layout.streams.absolute()), "port": self.options.kinesis_port},
        )
        emulator = self._server("emulator", self._emulator_options(variables))
        catalog = wire_lake_catalog(variables)
        catalog.ensure_tables()
        catalog.close()
        kinesis_url = str(streams.wait_ready()["url"])
        emulator_url = str(emulator.wait_ready()["url"])
        self.variables = {
            **variables,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": emulator_url,
            "AWS_ENDPOINT_URL_KINESIS": kinesis_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.provisioned = provision(
            Plan(
                ENVIRONMENT,
                Endpoints(emulator_url, kinesis_url),
                self.options.project_root,
                variables=variables,
                alpaca_key=self.options.alpaca_key,
                alpaca_secret=self.options.alpaca_secret,
            )
        )
        for function in functions.FUNCTIONS:
            if function.triggers:
                self.start_worker(function.name)

    def _emulator_options(self, variables: Mapping[str, str]) -> dict[str, Any]:
        return {
            "project_root": str(self.options.project_root),
            "port": self.options.aws_port,
            "child_environment": dict(variables),
        }

    def _server(self, kind: str, options: Mapping[str, Any]) -> Process:
        return self._processes.start(
            kind, ["-m", "tradelake.local.serve", kind, json.dumps(options)]
        )

    def start_worker(self, name: str) -> Process:
        """Start the worker of a function; it goes on where one of that name ended."""
        function = next(one for one in functions.FUNCTIONS if one.name == name)
        self.workers[name] = self._worker(function, self.layout.state)
        return self.workers[name]

    def start_rival(self, name: str) -> tuple[Process, Path]:
        """Start a second worker of a function, which reads everything for itself.

        Returns
        -------
        (Process, Path)
            The worker, and the folder of its checkpoints and status.
        """
        function = next(one for one in functions.FUNCTIONS if one.name == name)
        folder = self.layout.state / f"{name}-rival"
        return self._worker(function, folder), folder

    def _worker(self, function: functions.Function, state: Path) -> Process:
        return self.start(
            function.name,
            [
                "-m",
                "tradelake.local.function_worker",
                "--function",
                function.name,
                "--functions-folder",
                str(self.options.project_root / "functions"),
                "--state-folder",
                str(state.absolute()),
                "--niceness",
                str(_FUNCTION_NICENESS),
                "--window-cap-s",
                str(self.options.window_cap_s),
            ],
        )

    def start(
        self, name: str, arguments: list[str], variables: Mapping[str, str] | None = None
    ) -> Process:
        """Start another Python process inside this AWS; it ends with it."""
        return self._processes.start(name, arguments, {**self.variables, **(variables or {})})

    def start_ingester(self, variables: Mapping[str, str]) -> Process:
        """Start the ingester's container entry point as a process."""
        entry = self.options.project_root / "containers" / containers.INGESTER.folder / "main.py"
        return self.start(containers.INGESTER.name, [str(entry)], variables)

    def invoke(
        self, function: functions.Function, event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Invoke a function that no stream triggers and return its answer.

        Raises
        ------
        Fatal
            It raised, or took too long.
        Transient
            The emulator does not answer.
        """
        return self._lambda().invoke(function, event or {})

    def configure(
        self, variables: Mapping[str, str], among: Sequence[Schedule] = SCHEDULES
    ) -> None:
        """Add environment variables to the functions of schedules: a venue's address, say."""
        for schedule in among:
            self._lambda().configure(schedule.function, variables)

    def start_schedules(
        self, every_s: float | None = None, among: Sequence[Schedule] = SCHEDULES
    ) -> Scheduler:
        """Run schedules from now on, each at its own interval or ``every_s``."""
        self.stop_schedules()
        log = self.layout.logs / "schedules.log"
        self._scheduler = Scheduler(among, self.invoke, log, every_s=every_s)
        self._scheduler.start()
        return self._scheduler

    def stop_schedules(self, timeout_s: float = 60.0) -> None:
        """Run no schedule any more; wait for the invocations that run."""
        if self._scheduler is not None:
            self._scheduler.stop(timeout_s)
            self._scheduler = None

    def _lambda(self) -> LambdaClient:
        return LambdaClient(self.variables["AWS_ENDPOINT_URL"], ENVIRONMENT)

    def start_compiling(self) -> Process:
        """Compile the matching core where jobs will look for it; a second time takes a second.

        Jobs that do not find it compile for themselves: nothing depends on this process.
        """
        variables = code_cache(os.environ, self.options.project_root)
        return self._processes.start(
            "compiler",
            ["-m", "tradelake.backtest.warm"],
            {**self.variables, **variables},
            optional=True,
        )

    def finish(self, process: Process, timeout_s: float) -> str:
        """Wait until a process has ended by itself, or end it after a time, and forget it.

        Returns
        -------
        str
            What went wrong, in a line; empty where it ended well.
        """
        failure = process.failure(timeout_s)
        self._processes.stop(process, _GRACE_S)
        return failure

    def stop(self, process: Process, timeout_s: float = 30.0) -> int:
        """End one process; return its exit code."""
        return self._processes.stop(process, timeout_s)

    def check(self) -> None:
        """Raise when a process ended though nobody asked.

        Raises
        ------
        Transient
            Which one, and its last words.
        """
        dead = self._processes.died()
        if dead is not None:
            raise Transient(dead.obituary())

    def status(self) -> dict[str, FunctionStatus]:
        """What each function worker says of itself; a worker that said nothing yet is left out."""
        found = {name: read_status(self.layout.state, name) for name in self.workers}
        return {name: status for name, status in found.items() if status is not None}

    def drain(self, progress: Callable[[], None], timeout_s: float = 300.0) -> None:
        """Return when everything that is on the streams now, and what follows of it, is dealt with.

        Raises
        ------
        Transient
            A process ended, or it took longer than ``timeout_s``; the message says where it hangs.
        """
        since_ns = time.time_ns()
        deadline = time.monotonic() + timeout_s
        seen: dict[str, int] = {}
        while True:
            behind = drained(self.status(), since_ns, seen, time.time_ns)
            if not behind:
                return
            self.check()
            if time.monotonic() > deadline:
                raise Transient(f"not drained after {timeout_s:g} s: {'; '.join(behind)}")
            progress()
            time.sleep(_POLL_S)
