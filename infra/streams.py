"""Kinesis streams with their fan-out consumers, and the key tables."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.environments import Environment
from infra.removal import policy
from tradelake.topology import names, stores, streams


class StreamsStack(cdk.Stack):
    """Every stream and key table of the topology.

    Attributes
    ----------
    streams : dict of str to kinesis.Stream
        By logical name.
    key_tables : dict of str to dynamodb.Table
        By logical name.
    """

    def __init__(self, scope: Construct, environment: Environment, key: kms.IKey) -> None:
        super().__init__(scope, "streams", description="tradelake: streams and key tables")
        self.streams = {
            stream.name: self._stream(environment, stream, key) for stream in streams.STREAMS
        }
        self.key_tables = {
            table.name: self._key_table(environment, table, key) for table in stores.KEY_TABLES
        }

    def _stream(
        self, environment: Environment, stream: streams.Stream, key: kms.IKey
    ) -> kinesis.Stream:
        return kinesis.Stream(
            self,
            f"Stream-{stream.name}",
            stream_name=names.physical(environment.name, stream.name),
            stream_mode=kinesis.StreamMode.PROVISIONED,
            shard_count=environment.shards_of(stream),
            retention_period=cdk.Duration.hours(stream.retention_hours),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=key,
            removal_policy=policy(environment),
        )

    def _key_table(
        self, environment: Environment, table: stores.KeyTable, key: kms.IKey
    ) -> dynamodb.Table:
        def attribute(name: str) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)

        return dynamodb.Table(
            self,
            f"Table-{table.name}",
            table_name=names.physical(environment.name, table.name),
            partition_key=attribute(table.partition_key),
            sort_key=attribute(table.sort_key) if table.sort_key else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=environment.keep_data,
            removal_policy=policy(environment),
        )
