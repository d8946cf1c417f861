"""The embedded AWS's EventBridge Scheduler: invokes functions by the clock.

A schedule has a thread of its own and never overlaps with itself. An invocation that fails is
reported and counted, and the next one comes at its time.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import boto3
import botocore.exceptions
from botocore.config import Config

from tradelake.adapters.aws.clients import translate
from tradelake.errors import Fatal
from tradelake.local.emulator.options import CREDENTIALS, REGION
from tradelake.topology import names
from tradelake.topology.functions import Function
from tradelake.topology.schedules import Schedule

_ACCOUNT: Final = "123456789012"
_PATIENCE_S: Final = 30.0
"""Beyond a function's own time-out: a cold start on a busy machine."""

Answer = dict[str, Any]
Invoke = Callable[[Function, Mapping[str, Any]], Answer]


class LambdaClient:
    """Invokes functions of an environment and waits for their answers.

    Parameters
    ----------
    url : str
        Endpoint of the emulator.
    environment : str
        Physical function names follow from it.
    """

    def __init__(self, url: str, environment: str) -> None:
        self._url, self._environment = url, environment

    def invoke(self, function: Function, event: Mapping[str, Any]) -> Answer:
        """Return the function's answer.

        Raises
        ------
        Fatal
            It raised, or took too long; the message is its own.
        Transient
            The emulator does not answer.
        """
        name = names.physical(self._environment, function.name)
        try:
            answer = self._client(function.timeout_s + _PATIENCE_S).invoke(
                FunctionName=name, Payload=json.dumps(event)
            )
            payload = json.loads(answer["Payload"].read() or b"null")
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise translate(error, f"invoke {name}") from error
        if answer.get("FunctionError"):
            raise Fatal(f"{name}: {payload.get('errorType')}: {payload.get('errorMessage')}")
        return payload if isinstance(payload, dict) else {"answer": payload}

    def configure(self, function: Function, variables: Mapping[str, str]) -> None:
        """Add environment variables to a function.

        Raises
        ------
        Fatal
            There is no such function.
        """
        name = names.physical(self._environment, function.name)
        client = self._client()
        try:
            now = client.get_function_configuration(FunctionName=name)
            known = now.get("Environment", {}).get("Variables", {})
            client.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**known, **variables}}
            )
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise translate(error, f"configure {name}") from error

    def _client(self, read_timeout_s: float = 30.0) -> Any:  # noqa: ANN401 - boto3 clients have no static type
        return boto3.client(
            "lambda",
            endpoint_url=self._url,
            region_name=REGION,
            config=Config(
                read_timeout=read_timeout_s, retries={"mode": "standard", "total_max_attempts": 1}
            ),
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )


def scheduled_event(name: str, now: dt.datetime) -> dict[str, Any]:
    """Return what EventBridge Scheduler hands a Lambda function whose target has no input.

    >>> event = scheduled_event("a", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC))
    >>> event["time"], event["resources"][0].rpartition("/")[2], event["detail"]
    ('2026-01-02T03:04:05Z', 'a', '{}')
    """
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": _ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:scheduler:{REGION}:{_ACCOUNT}:schedule/default/{name}"],
        "detail": "{}",
    }


class Scheduler:
    """Runs schedules in threads until it is stopped.

    Parameters
    ----------
    schedules : sequence of Schedule
        What to run.
    invoke : callable
        Invokes a function with an event; what it raises is reported.
    log : Path
        One JSON line an invocation: schedule, answer or failure.
    every_s : float or None
        Instead of each schedule's own interval.

    Attributes
    ----------
    done, failed : Counter of str
        Invocations by schedule.
    """

    def __init__(
        self,
        schedules: Sequence[Schedule],
        invoke: Invoke,
        log: Path,
        *,
        every_s: float | None = None,
    ) -> None:
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._invoke, self._log = invoke, log
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(schedule, every_s or schedule.every_s),
                name=f"schedule-{schedule.name}",
                daemon=True,
            )
            for schedule in schedules
        ]

    def start(self) -> None:
        """Start every schedule; the first invocation comes after one interval."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Start no invocation any more; wait a while for those that run."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self, schedule: Schedule, every_s: float) -> None:
        while not self._stopped.wait(every_s):
            event = scheduled_event(schedule.name, dt.datetime.now(dt.UTC))
            try:
                said: object = self._invoke(schedule.function, event)
                self.done[schedule.name] += 1
                self._report(schedule, {"answer": said})
            except Exception as error:  # noqa: BLE001 - one failure, whatever it is, must not end the schedule
                self.failed[schedule.name] += 1
                self._report(schedule, {"failure": f"{type(error).__name__}: {error}"})

    def _report(self, schedule: Schedule, fields: Mapping[str, object]) -> None:
        line = json.dumps({"schedule": schedule.name, **fields}, default=str)
        with self._writing, self._log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
