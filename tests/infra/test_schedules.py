"""Schedules are those of the topology, and an event is tried again by none but the next."""

from __future__ import annotations

import pytest

from tradelake.topology import names
from tradelake.topology.schedules import SCHEDULES

ALL = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda item: item.name)


def _schedule(templates, environment, schedule):
    name = names.physical(environment, schedule.name)
    return templates.one("AWS::Scheduler::Schedule", Name=name).properties


@ALL
def test_schedule_invokes_its_function_as_often_as_the_topology_says(
    templates, environment, schedule
):
    made = _schedule(templates, environment, schedule)
    assert made["ScheduleExpression"] == schedule.expression
    assert made["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert made["Target"]["Arn"] == f"arn:{names.physical(environment, schedule.function.name)}"
    assert made["GroupName"] == names.physical(environment, "schedules")
    assert made.get("State", "ENABLED") == "ENABLED"


@ALL
def test_event_is_dropped_when_the_next_is_due(templates, environment, schedule):
    policy = _schedule(templates, environment, schedule)["Target"]["RetryPolicy"]
    assert policy["MaximumEventAgeInSeconds"] <= schedule.every_s
    name = f"{names.physical(environment, schedule.function.name)}"
    [asynchronous] = [
        item.properties
        for item in templates.of("AWS::Lambda::EventInvokeConfig")
        if item.properties["FunctionName"] == name
    ]
    assert asynchronous["MaximumRetryAttempts"] == 0
    assert asynchronous["MaximumEventAgeInSeconds"] <= schedule.every_s


def test_every_schedule_of_an_environment_is_in_the_topology(templates, environment):
    made = {item.properties["Name"] for item in templates.of("AWS::Scheduler::Schedule")}
    assert made == {names.physical(environment, schedule.name) for schedule in SCHEDULES}
