"""Alarms of the path from the feed to the lake, all to one topic."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.environments import Environment
from infra.functions import FunctionsStack, deployed
from infra.security import SecurityStack
from tradelake.topology import (
    containers,
    functions,
    metrics,
    names,
    schedules,
    stores,
    streams,
    workflows,
)

_MINUTE: Final = cdk.Duration.minutes(1)
_FIVE_MINUTES: Final = cdk.Duration.minutes(5)
_BEHIND_S: Final = 60.0
"""How far behind its stream a function may be beyond three of its batching windows."""

_BREACHING: Final = cloudwatch.TreatMissingData.BREACHING
_NOT_BREACHING: Final = cloudwatch.TreatMissingData.NOT_BREACHING


class MonitoringStack(cdk.Stack):
    """The topic and the alarms; metrics are addressed by physical name.

    Attributes
    ----------
    topic : sns.Topic
        Where every alarm goes.
    """

    def __init__(
        self,
        scope: Construct,
        environment: Environment,
        *,
        security: SecurityStack,
        made: FunctionsStack,
        failure_bucket: str,
    ) -> None:
        super().__init__(scope, "monitoring", description="tradelake: alarms")
        self._environment = environment
        self.topic = sns.Topic(
            self,
            "Alarms",
            topic_name=names.physical(environment.name, "alarms"),
            master_key=security.data_key,
            enforce_ssl=True,
        )
        if environment.alarm_email is not None:
            self.topic.add_subscription(subscriptions.EmailSubscription(environment.alarm_email))
        for function in deployed(environment):
            self._watch_function(function)
        for schedule in schedules.SCHEDULES:
            self._watch_schedule(schedule)
        for stream in streams.STREAMS:
            self._watch_stream(stream)
        for table in stores.KEY_TABLES:
            self._watch_key_table(table)
        running = {function.name for function in deployed(environment)}
        if environment.ingester_tasks:
            running.add(containers.INGESTER.name)
        for alarm in metrics.ALARMS:
            if alarm.metric.component in running:
                self._watch_metric(alarm)
        if environment.ingester_tasks:
            self._watch_ingester()
        self._watch_workflow(workflows.BACKTESTS)
        self._watch_failures(failure_bucket)
        self.add_stack_dependency(made)

    def _physical(self, logical: str) -> str:
        return names.physical(self._environment.name, logical)

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.Metric,
        description: str,
        *,
        threshold: float = 1,
        periods: int = 1,
        below: bool = False,
    ) -> None:
        """At or above the threshold; ``below``: under it, or silent."""
        operators = cloudwatch.ComparisonOperator
        self._raise(
            name,
            metric,
            description,
            threshold=threshold,
            periods=periods,
            operator=operators.LESS_THAN_THRESHOLD
            if below
            else operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            silence_rings=below,
        )

    def _raise(
        self,
        name: str,
        metric: cloudwatch.Metric,
        description: str,
        *,
        threshold: float,
        periods: int,
        operator: cloudwatch.ComparisonOperator,
        silence_rings: bool,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=self._physical(name),
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=operator,
            treat_missing_data=_BREACHING if silence_rings else _NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))

    def _watch_metric(self, alarm: metrics.Alarm) -> None:
        at_most = alarm.when == "at_most"
        operators = cloudwatch.ComparisonOperator
        self._raise(
            alarm.name,
            cloudwatch.Metric(
                namespace=metrics.NAMESPACE,
                metric_name=alarm.metric.name,
                dimensions_map={
                    metrics.DIMENSION_COMPONENT: alarm.metric.component,
                    metrics.DIMENSION_ENVIRONMENT: self._environment.name,
                },
                statistic=alarm.statistic,
                period=_MINUTE,
            ),
            alarm.doc,
            threshold=alarm.threshold,
            periods=alarm.minutes,
            operator=operators.LESS_THAN_OR_EQUAL_TO_THRESHOLD
            if at_most
            else operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            silence_rings=alarm.silence_rings,
        )

    def _watch_function(self, function: functions.Function) -> None:
        def metric(name: str, statistic: str) -> cloudwatch.Metric:
            return cloudwatch.Metric(
                namespace="AWS/Lambda",
                metric_name=name,
                dimensions_map={"FunctionName": self._physical(function.name)},
                statistic=statistic,
                period=_FIVE_MINUTES,
            )

        self._alarm(f"{function.name}-errors", metric("Errors", "Sum"), f"{function.name} raised")
        self._alarm(
            f"{function.name}-throttles",
            metric("Throttles", "Sum"),
            f"{function.name} was refused: the account's concurrency is used up",
        )
        if function.triggers:
            allowed_s = _BEHIND_S + 3 * max(trigger.window_s for trigger in function.triggers)
            self._alarm(
                f"{function.name}-behind",
                metric("IteratorAge", "Maximum"),
                f"{function.name} is more than {allowed_s:.0f} s behind a stream",
                threshold=1000 * allowed_s,
                periods=2,
            )

    def _watch_schedule(self, schedule: schedules.Schedule) -> None:
        minutes = max(5, 2 * schedule.every_s // 60)
        self._alarm(
            f"{schedule.name}-silent",
            cloudwatch.Metric(
                namespace="AWS/Lambda",
                metric_name="Invocations",
                dimensions_map={"FunctionName": self._physical(schedule.function.name)},
                statistic="Sum",
                period=cdk.Duration.minutes(minutes),
            ),
            f"{schedule.function.name} was not invoked for {minutes} minutes",
            below=True,
        )

    def _watch_stream(self, stream: streams.Stream) -> None:
        def metric(name: str) -> cloudwatch.Metric:
            return cloudwatch.Metric(
                namespace="AWS/Kinesis",
                metric_name=name,
                dimensions_map={"StreamName": self._physical(stream.name)},
                statistic="Sum",
                period=_FIVE_MINUTES,
            )

        self._alarm(
            f"{stream.name}-stream-throttles",
            metric("WriteProvisionedThroughputExceeded"),
            f"{stream.name} refuses records: add shards",
            periods=2,
        )
        if stream is streams.TICKS and self._environment.ingester_tasks:
            self._alarm(
                f"{stream.name}-silent",
                metric("IncomingRecords"),
                "nothing came in for five minutes, not even heartbeats",
                below=True,
            )

    def _watch_key_table(self, table: stores.KeyTable) -> None:
        for name in ("ReadThrottleEvents", "WriteThrottleEvents"):
            self._alarm(
                f"{table.name}-{name.removesuffix('ThrottleEvents').lower()}-throttles",
                cloudwatch.Metric(
                    namespace="AWS/DynamoDB",
                    metric_name=name,
                    dimensions_map={"TableName": self._physical(table.name)},
                    statistic="Sum",
                    period=_FIVE_MINUTES,
                ),
                f"{table.name} throttled",
            )

    def _watch_ingester(self) -> None:
        self._alarm(
            f"{containers.INGESTER.name}-down",
            cloudwatch.Metric(
                namespace="ECS/ContainerInsights",
                metric_name="RunningTaskCount",
                dimensions_map={
                    "ClusterName": self._physical("services"),
                    "ServiceName": self._physical(containers.INGESTER.name),
                },
                statistic="Minimum",
                period=_MINUTE,
            ),
            "no ingester task runs: data is being missed until the backfill",
            periods=3,
            below=True,
        )

    def _watch_workflow(self, workflow: workflows.Workflow) -> None:
        machine = self.format_arn(
            service="states",
            resource="stateMachine",
            resource_name=self._physical(workflow.name),
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self._alarm(
            f"{workflow.name}-failed",
            cloudwatch.Metric(
                namespace="AWS/States",
                metric_name="ExecutionsFailed",
                dimensions_map={"StateMachineArn": machine},
                statistic="Sum",
                period=_FIVE_MINUTES,
            ),
            f"an execution of {workflow.name} failed",
        )

    def _watch_failures(self, bucket: str) -> None:
        """Tell of every object in the failure bucket, and alarm: a mapping gave up on that data."""
        name = self._physical("given-up")
        events.Rule(
            self,
            "GivenUp",
            rule_name=name,
            description="A mapping gave up on records and wrote them to the failure bucket",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [bucket]}},
            ),
            targets=[targets.SnsTopic(self.topic)],
        )
        self._alarm(
            "given-up",
            cloudwatch.Metric(
                namespace="AWS/Events",
                metric_name="TriggeredRules",
                dimensions_map={"RuleName": name},
                statistic="Sum",
                period=_FIVE_MINUTES,
            ),
            "records wait in the failure bucket to be put back",
        )
