"""Step Functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tradelake.adapters.aws.clients import client, translate
from tradelake.errors import ConfigError, Conflict, Fatal
from tradelake.topology import names


@dataclass(frozen=True, slots=True)
class MapCounts:
    """Items of a fan-out's map by state; ``running``: submitted, perhaps waiting for a slot.

    How a backtest ended is in its result object: one that broke counts as succeeded here, because
    the state machine catches it.
    """

    total: int = 0
    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0


class StepFunctions:
    """:class:`~tradelake.ports.Workflows` of one environment.

    Parameters
    ----------
    environment : str
        Name of the environment; a state machine's name follows from it.
    """

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._states = client("stepfunctions")

    def start(self, workflow: str, name: str, payload: Mapping[str, Any]) -> str:
        """Start an execution; returns its id, an ARN.

        Starting the same name with the same payload again returns the first execution.

        Raises
        ------
        ConfigError
            There is no such state machine in this environment.
        Conflict
            The name was used before, with another payload or for a finished execution.
        """
        machine = self._machine(workflow)
        try:
            answer = self._states.start_execution(
                stateMachineArn=machine, name=name, input=json.dumps(dict(payload))
            )
        except self._states.exceptions.ExecutionAlreadyExists as error:
            raise Conflict(f"{workflow}: execution {name} was started before") from error
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"stepfunctions start {workflow} {name}") from error
        return str(answer["executionArn"])

    def status(self, execution: str) -> tuple[str, Mapping[str, Any] | None]:
        """(RUNNING | SUCCEEDED | FAILED | TIMED_OUT | ABORTED, output or None).

        A failed execution's output is ``{"error", "cause"}``.
        """
        try:
            found = self._states.describe_execution(executionArn=execution)
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"stepfunctions describe {execution}") from error
        status = str(found["status"])
        if status == "SUCCEEDED":
            return status, json.loads(found["output"])
        if status == "RUNNING":
            return status, None
        return status, {"error": found.get("error", ""), "cause": found.get("cause", "")}

    def map_counts(self, execution: str) -> MapCounts:
        """Count the items of an execution's map; all 0 before the map begins."""
        try:
            runs = self._states.list_map_runs(executionArn=execution)["mapRuns"]
            if not runs:
                return MapCounts()
            found = self._states.describe_map_run(mapRunArn=runs[0]["mapRunArn"])
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"stepfunctions map runs of {execution}") from error
        counts = found["itemCounts"]
        return MapCounts(
            total=counts["total"],
            pending=counts["pending"],
            running=counts["running"],
            succeeded=counts["succeeded"],
            failed=counts["failed"] + counts["timedOut"] + counts["aborted"],
        )

    def _machine(self, workflow: str) -> str:
        name = names.physical(self._environment, workflow)
        try:
            pages = self._states.get_paginator("list_state_machines").paginate()
            for page in pages:
                for machine in page["stateMachines"]:
                    if machine["name"] == name:
                        return str(machine["stateMachineArn"])
        except (ClientError, BotoCoreError) as error:
            failure = translate(error, "stepfunctions list")
            if isinstance(failure, Fatal):
                raise ConfigError(str(failure)) from error
            raise failure from error
        raise ConfigError(f"there is no state machine {name}: is the environment deployed?")
