"""Least-privilege statements: exactly the calls that the code makes, on exactly its resources.

Written out instead of CDK's ``grant_*``, which give more (``s3:List*``, ``kms:GenerateDataKey*``)
and attach a policy after the role, so that an event-source mapping can be made before its function
may read. A key is usable only through the service that stores the data (``kms:ViaService``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager

from tradelake.topology import names, tables

Statements = list[iam.PolicyStatement]


def allow(actions: Sequence[str], resources: Sequence[str]) -> iam.PolicyStatement:
    """Return a statement that allows actions on resources."""
    return iam.PolicyStatement(actions=list(actions), resources=list(resources))


def _use_key(key: kms.IKey, service: str, actions: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=[f"kms:{action}" for action in actions],
        resources=[key.key_arn],
        conditions={
            "StringEquals": {"kms:ViaService": f"{service}.{cdk.Aws.REGION}.amazonaws.com"}
        },
    )


def read_stream(stream: kinesis.IStream, consumer_arn: str | None, key: kms.IKey) -> Statements:
    """What an event-source mapping needs to read a stream, itself or through a fan-out consumer."""
    statements = [
        allow(
            [
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
            ],
            [stream.stream_arn],
        ),
        _use_key(key, "kinesis", ["Decrypt"]),
    ]
    if consumer_arn is not None:
        actions = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"]
        statements.append(allow(actions, [consumer_arn]))
    return statements


def write_stream(stream: kinesis.IStream, key: kms.IKey) -> Statements:
    """What ``PutRecords`` needs, and seeing at the start that the stream is there."""
    return [
        allow(["kinesis:PutRecords", "kinesis:ListShards"], [stream.stream_arn]),
        _use_key(key, "kinesis", ["GenerateDataKey"]),
    ]


def use_key_table(table: dynamodb.ITable, key: kms.IKey) -> Statements:
    """Reads, and writes under a condition, of a key table."""
    return [
        allow(
            [
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Scan",
                "dynamodb:UpdateItem",
            ],
            [table.table_arn],
        ),
        _use_key(key, "dynamodb", ["Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey"]),
    ]


def read_bucket(bucket: s3.IBucket, key: kms.IKey) -> Statements:
    """Lists a bucket and reads its objects."""
    return [
        allow(["s3:GetBucketLocation", "s3:ListBucket"], [bucket.bucket_arn]),
        allow(["s3:GetObject"], [bucket.arn_for_objects("*")]),
        _use_key(key, "s3", ["Decrypt"]),
    ]


def write_bucket(bucket: s3.IBucket, key: kms.IKey) -> Statements:
    """Writes and deletes objects (multipart too, which reads the data key again)."""
    actions = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
    return [
        allow(actions, [bucket.arn_for_objects("*")]),
        _use_key(key, "s3", ["Decrypt", "GenerateDataKey"]),
    ]


def mount(access_point: efs.AccessPoint, key: kms.IKey) -> Statements:
    """Mount a file system through one access point, and write to it."""
    statement = allow(
        ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
        [access_point.file_system.file_system_arn],
    )
    statement.add_condition(
        "StringEquals", {"elasticfilesystem:AccessPointArn": access_point.access_point_arn}
    )
    actions = ["Decrypt", "GenerateDataKey"]
    return [statement, _use_key(key, "elasticfilesystem", actions)]


def report_failures(bucket: s3.IBucket, key: kms.IKey) -> Statements:
    """What an event-source mapping needs to leave what it gave up on in a bucket."""
    return [
        allow(["s3:ListBucket"], [bucket.bucket_arn]),
        allow(["s3:PutObject"], [bucket.arn_for_objects("*")]),
        _use_key(key, "s3", ["GenerateDataKey"]),
    ]


def read_secret(secret: secretsmanager.ISecret, key: kms.IKey) -> Statements:
    """Reads the value of a secret."""
    return [
        allow(["secretsmanager:GetSecretValue"], [secret.secret_arn]),
        _use_key(key, "secretsmanager", ["Decrypt"]),
    ]


def glue_tables(
    scope: cdk.Stack, environment: str, wanted: Sequence[tables.Table], *, write: bool
) -> Statements:
    """Loads tables of the environment's Glue database.

    ``write``: makes them when they are missing, and commits to them.
    """
    namespace = names.iceberg_namespace(environment)
    catalog = scope.format_arn(service="glue", resource="catalog")
    database = scope.format_arn(service="glue", resource="database", resource_name=namespace)
    of_tables = [
        scope.format_arn(
            service="glue", resource="table", resource_name=f"{namespace}/{table.name}"
        )
        for table in wanted
    ]
    reads = ["glue:GetDatabase", "glue:GetTable"]
    writes = ["glue:CreateTable", "glue:UpdateTable"]
    return [allow([*reads, *(writes if write else [])], [catalog, database, *of_tables])]


def write_logs(log_group_arn: str) -> Statements:
    """Writes to the streams of one log group; CloudFormation's ARN of it ends in ``:*``."""
    return [allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log_group_arn])]


def attach_to_vpc() -> Statements:
    """Network interfaces of a function in a VPC; EC2 knows no narrower resource for these calls."""
    return [
        allow(
            [
                "ec2:AssignPrivateIpAddresses",
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:UnassignPrivateIpAddresses",
            ],
            ["*"],
        )
    ]


def role(
    scope: cdk.Stack,
    name: str,
    service: str,
    statements: Sequence[iam.PolicyStatement],
    *,
    conditions: Mapping[str, Any] | None = None,
) -> iam.Role:
    """Return a role whose one inline policy exists as soon as the role does.

    ``conditions``: when the service may assume it.
    """
    document = iam.PolicyDocument(statements=list(statements))
    return iam.Role(
        scope,
        name,
        assumed_by=iam.ServicePrincipal(service, conditions=conditions),
        inline_policies={"exactly": document} if statements else None,
    )
