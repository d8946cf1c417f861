"""Streams, key tables, buckets, Glue and keys are those of the topology."""

from __future__ import annotations

import pytest

from infra.environments import DEV, ENVIRONMENTS
from tradelake.topology import names, stores, streams

SETTINGS = {item.name: item for item in ENVIRONMENTS}


@pytest.mark.parametrize("stream", streams.STREAMS, ids=lambda item: item.name)
def test_stream_is_provisioned_encrypted_and_kept_as_the_topology_says(
    templates, environment, stream
):
    made = templates.one("AWS::Kinesis::Stream", Name=names.physical(environment, stream.name))
    assert made.properties["ShardCount"] == SETTINGS[environment].shards_of(stream)
    assert made.properties["RetentionPeriodHours"] == stream.retention_hours
    assert made.properties["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
    assert made.properties["StreamEncryption"]["EncryptionType"] == "KMS"
    assert made.properties["StreamEncryption"]["KeyId"].startswith("arn:DataKey")


def test_shards_follow_the_topology_when_the_environment_says_nothing(stages):
    made = stages["prod"].one("AWS::Kinesis::Stream", Name="tradelake-prod-ticks")
    assert made.properties["ShardCount"] == streams.TICKS.shards


@pytest.mark.parametrize("table", stores.KEY_TABLES, ids=lambda item: item.name)
def test_key_table_has_the_topologys_keys_and_is_recoverable(templates, environment, table):
    made = templates.one("AWS::DynamoDB::Table", TableName=names.physical(environment, table.name))
    keys = {key["KeyType"]: key["AttributeName"] for key in made.properties["KeySchema"]}
    assert keys.get("HASH") == table.partition_key
    assert keys.get("RANGE") == table.sort_key
    assert {item["AttributeType"] for item in made.properties["AttributeDefinitions"]} == {"S"}
    recovery = made.properties["PointInTimeRecoverySpecification"]
    assert recovery["PointInTimeRecoveryEnabled"] is True
    assert made.properties["SSESpecification"]["SSEType"] == "KMS"
    assert made.properties["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("bucket", stores.BUCKETS, ids=lambda item: item.name)
def test_bucket_is_private_encrypted_and_named_for_its_account(templates, environment, bucket):
    name = f"{names.physical(environment, bucket.name)}-111122223333-eu-west-1"
    made = templates.one("AWS::S3::Bucket", BucketName=name).properties
    assert set(made["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = made["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert rule["BucketKeyEnabled"] is True


def test_every_bucket_refuses_plain_http(templates):
    policies = {item.properties["Bucket"]: item for item in templates.of("AWS::S3::BucketPolicy")}
    for bucket in templates.of("AWS::S3::Bucket"):
        statements = policies[bucket.properties["BucketName"]].properties["PolicyDocument"]
        denied = [item for item in statements["Statement"] if item["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [item["Condition"] for item in denied]


def test_lake_tiers_without_archives_and_failures_expire(templates, environment):
    def rules(bucket: stores.Bucket) -> list[dict]:
        name = f"{names.physical(environment, bucket.name)}-111122223333-eu-west-1"
        made = templates.one("AWS::S3::Bucket", BucketName=name).properties
        return made["LifecycleConfiguration"]["Rules"]

    classes = [
        transition["StorageClass"]
        for rule in rules(stores.LAKE_BUCKET)
        for transition in rule.get("Transitions", [])
    ]
    assert classes == ["INTELLIGENT_TIERING"]
    assert [rule.get("ExpirationInDays") for rule in rules(stores.FAILURE_BUCKET)] == [30]
    assert all("ExpirationInDays" not in rule for rule in rules(stores.LAKE_BUCKET))
    assert all("ExpirationInDays" not in rule for rule in rules(stores.ARTIFACT_BUCKET))
    kinds = {item.type for item in templates.resources}
    assert not {kind for kind in kinds if "IntelligentTieringConfiguration" in kind}


def test_glue_database_is_the_iceberg_namespace(templates, environment):
    made = templates.one("AWS::Glue::Database").properties
    assert made["DatabaseInput"]["Name"] == names.iceberg_namespace(environment)


def test_stateful_resources_are_retained_in_prod_and_destroyed_in_dev(templates, environment):
    kinds = {
        *("AWS::Kinesis::Stream", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key"),
        *("AWS::SecretsManager::Secret", "AWS::Glue::Database", "AWS::Logs::LogGroup"),
        "AWS::Timestream::InfluxDBInstance",
    }
    stateful = [item for item in templates.resources if item.type in kinds]
    expected = "Retain" if environment == "prod" else "Delete"
    assert {item.type for item in stateful} == kinds
    assert {item.logical_id for item in stateful if item.deletion != expected} == set()


def test_key_tables_refuse_deletion_in_prod_only(templates, environment):
    tables = templates.of("AWS::DynamoDB::Table")
    protected = {item.properties["DeletionProtectionEnabled"] for item in tables}
    assert protected == {environment == "prod"}


def test_keys_rotate(templates):
    keys = templates.of("AWS::KMS::Key")
    assert len(keys) == 2
    assert all(key.properties["EnableKeyRotation"] is True for key in keys)


def test_alpaca_secret_has_its_physical_name_and_key(templates, environment):
    made = templates.one(
        "AWS::SecretsManager::Secret", Name=names.physical(environment, names.ALPACA_SECRET)
    )
    assert made.properties["KmsKeyId"].startswith("arn:SecretsKey")


def test_environment_refuses_shards_of_a_stream_that_does_not_exist():
    import dataclasses

    with pytest.raises(ValueError, match="unknown streams"):
        dataclasses.replace(DEV, shards={"tick": 1})
