"""Every function of the topology with its role, log group and event-source mappings."""

from __future__ import annotations

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import grants
from infra.environments import Environment
from infra.hot import HotStoreStack
from infra.lake import LakeStack
from infra.logs import log_group
from infra.packaging import RUNTIME, LightBundle, handler_of, image_context
from infra.schedules import once_an_event
from infra.security import SecurityStack
from infra.streams import StreamsStack
from infra.variables import chosen
from tradelake.topology import functions, names, stores

_LONGEST_RECORD_AGE_S: Final = 604_800
_RESCUE_S: Final = 3_600
"""A record that still fails this long before it expires is written whole to the failure bucket."""

_LOCKS: Final = {"lake": "requirements/lake.txt", "feed": "requirements/ingester.txt"}


def deployed(environment: Environment) -> tuple[functions.Function, ...]:
    """Functions that an environment has.

    All, but the hot one only where there is a hot store, and that of users' transforms only where
    there are any: it would be invoked for every batch and do nothing.
    """
    absent = {
        functions.HOT: environment.hot_store == "none",
        functions.TRANSFORM: not environment.transforms,
    }
    return tuple(item for item in functions.FUNCTIONS if not absent.get(item, False))


class FunctionsStack(cdk.Stack):
    """Functions and mappings.

    Attributes
    ----------
    functions : dict of str to lambda_.Function
        By logical name.
    """

    def __init__(
        self,
        scope: Construct,
        environment: Environment,
        *,
        security: SecurityStack,
        streams: StreamsStack,
        lake: LakeStack,
        hot: HotStoreStack | None,
        bundle: LightBundle,
        variables: dict[str, str],
    ) -> None:
        super().__init__(scope, "functions", description="tradelake: functions and their triggers")
        self._environment = environment
        self._security = security
        self._streams = streams
        self._lake = lake
        self._hot = hot
        self._bundle = bundle
        self._variables = variables
        self.functions = {
            function.name: self._function(function) for function in deployed(environment)
        }
        bundle.guard(self)

    def _function(self, function: functions.Function) -> lambda_.Function:
        consumers = {
            trigger.stream.name: self._consumer(function, trigger)
            for trigger in function.triggers
            if trigger.enhanced_fan_out
        }
        logs = log_group(self, self._environment, function.name, self._security.data_key)
        role = grants.role(
            self,
            f"{function.name}-role",
            "lambda.amazonaws.com",
            [
                *grants.write_logs(logs.log_group_arn),
                *self._data_statements(function),
                *self._trigger_statements(function, consumers),
            ],
        )
        made = self._code(
            function,
            {
                "function_name": names.physical(self._environment.name, function.name),
                "description": function.doc,
                "architecture": lambda_.Architecture.ARM_64,
                "memory_size": function.memory_mb,
                "timeout": cdk.Duration.seconds(function.timeout_s),
                "environment": chosen(self._variables, function.environment),
                "role": role,
                "log_group": logs,
                "tracing": lambda_.Tracing.ACTIVE
                if self._environment.tracing
                else lambda_.Tracing.DISABLED,
                **self._place(function),
                **once_an_event(function),
            },
        )
        for trigger in function.triggers:
            self._mapping(function, trigger, made, consumers.get(trigger.stream.name))
        return made

    def _code(self, function: functions.Function, common: dict[str, Any]) -> lambda_.Function:
        if function.package == "light":
            return lambda_.Function(
                self,
                function.name,
                runtime=RUNTIME,
                handler=handler_of(function),
                code=self._bundle.code(),
                **common,
            )
        dockerfile = f"infra/images/{function.package}.Dockerfile"
        image = lambda_.DockerImageCode.from_image_asset(
            file=dockerfile,
            cmd=[handler_of(function)],
            asset_name=f"{names.SYSTEM}-{function.package}",
            **image_context("functions", dockerfile, _LOCKS[function.package]),
        )
        return lambda_.DockerImageFunction(self, function.name, code=image, **common)

    def _place(self, function: functions.Function) -> dict[str, Any]:
        """Only the hot function is in the VPC: nothing else has a private address to reach."""
        if self._hot is None or function is not functions.HOT:
            return {}
        return {
            "vpc": self._hot.vpc,
            "vpc_subnets": ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            "security_groups": [self._hot.clients],
        }

    def _data_statements(self, function: functions.Function) -> list[iam.PolicyStatement]:
        key, buckets = self._security.data_key, self._lake.buckets
        statements: list[iam.PolicyStatement] = []
        for stream in function.writes_streams:
            statements += grants.write_stream(self._streams.streams[stream.name], key)
        for table in function.key_tables:
            statements += grants.use_key_table(self._streams.key_tables[table.name], key)
        for bucket in function.read_buckets:
            statements += grants.read_bucket(buckets[bucket.name], key)
        for bucket in function.write_buckets:
            statements += grants.write_bucket(buckets[bucket.name], key)
        if function.lake_tables:
            statements += grants.glue_tables(
                self,
                self._environment.name,
                function.lake_tables,
                write=stores.LAKE_BUCKET in function.write_buckets,
            )
        for secret in function.secrets:
            statements += grants.read_secret(
                self._security.secrets[secret], self._security.secret_key
            )
        if self._hot is not None and function is functions.HOT:
            statements += grants.read_secret(self._hot.secret, self._security.secret_key)
            statements += grants.attach_to_vpc()
        return statements

    def _trigger_statements(
        self, function: functions.Function, consumers: dict[str, kinesis.StreamConsumer]
    ) -> list[iam.PolicyStatement]:
        key = self._security.data_key
        statements: list[iam.PolicyStatement] = []
        for trigger in function.triggers:
            consumer = consumers.get(trigger.stream.name)
            statements += grants.read_stream(
                self._streams.streams[trigger.stream.name],
                consumer.stream_consumer_arn if consumer else None,
                key,
            )
        if function.triggers:
            failures = self._lake.buckets[stores.FAILURE_BUCKET.name]
            statements += grants.report_failures(failures, key)
        return statements

    def _consumer(
        self, function: functions.Function, trigger: functions.StreamTrigger
    ) -> kinesis.StreamConsumer:
        return kinesis.StreamConsumer(
            self,
            f"{function.name}-{trigger.stream.name}-consumer",
            stream=self._streams.streams[trigger.stream.name],
            stream_consumer_name=names.physical(self._environment.name, function.name),
        )

    def _mapping(
        self,
        function: functions.Function,
        trigger: functions.StreamTrigger,
        target: lambda_.Function,
        consumer: kinesis.StreamConsumer | None,
    ) -> None:
        source = self._streams.streams[trigger.stream.name].stream_arn
        retention_s = trigger.stream.retention_hours * 3600
        lambda_.CfnEventSourceMapping(
            self,
            f"{function.name}-{trigger.stream.name}",
            function_name=target.function_arn,
            event_source_arn=consumer.stream_consumer_arn if consumer else source,
            starting_position="TRIM_HORIZON",
            batch_size=trigger.batch_size,
            maximum_batching_window_in_seconds=int(trigger.window_s),
            parallelization_factor=trigger.parallelization,
            function_response_types=["ReportBatchItemFailures"],
            bisect_batch_on_function_error=trigger.bisect,
            maximum_retry_attempts=trigger.retries,
            maximum_record_age_in_seconds=min(retention_s - _RESCUE_S, _LONGEST_RECORD_AGE_S),
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                    destination=self._lake.buckets[stores.FAILURE_BUCKET.name].bucket_arn
                )
            ),
        )
