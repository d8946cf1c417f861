"""EventBridge schedules: each with a role that may invoke its one function."""

from __future__ import annotations

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra import grants
from infra.environments import Environment
from tradelake.topology import functions, names
from tradelake.topology.schedules import SCHEDULES, Schedule

GROUP: Final = "schedules"
_OLDEST_EVENT_S: Final = 60


def once_an_event(function: functions.Function) -> dict[str, Any]:
    """Return keyword arguments of a function that a schedule invokes; none for another.

    The next event does what a failed one left, so Lambda does not try an event again, nor keep it
    longer than until the next one comes. A run that lasts longer than its interval is joined by the
    next: both take gaps on the condition that nobody else has, so neither repeats the other's work.
    """
    if function not in {schedule.function for schedule in SCHEDULES}:
        return {}
    return {"retry_attempts": 0, "max_event_age": cdk.Duration.seconds(_OLDEST_EVENT_S)}


class SchedulesStack(cdk.Stack):
    """Every schedule of the topology, in a group of the environment's own."""

    def __init__(
        self,
        scope: Construct,
        environment: Environment,
        *,
        made: dict[str, lambda_.Function],
    ) -> None:
        super().__init__(scope, "schedules", description="tradelake: what runs by the clock")
        self._environment = environment
        name = names.physical(environment.name, GROUP)
        self._group = scheduler.CfnScheduleGroup(self, "Group", name=name)
        for schedule in SCHEDULES:
            self._schedule(schedule, made[schedule.function.name])

    def _schedule(self, schedule: Schedule, target: lambda_.Function) -> None:
        role = grants.role(
            self,
            f"{schedule.name}-invoker",
            "scheduler.amazonaws.com",
            [grants.allow(["lambda:InvokeFunction"], [target.function_arn])],
            conditions={
                "StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID},
                "ArnEquals": {"aws:SourceArn": self._group.attr_arn},
            },
        )
        scheduler.CfnSchedule(
            self,
            schedule.name,
            name=names.physical(self._environment.name, schedule.name),
            description=schedule.doc,
            group_name=self._group.ref,
            schedule_expression=schedule.expression,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=target.function_arn,
                role_arn=role.role_arn,
                # EventBridge only hands the event over; within its minute it may try again
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=_OLDEST_EVENT_S, maximum_retry_attempts=2
                ),
            ),
        )
