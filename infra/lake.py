"""Buckets and the Glue database.

The Iceberg tables are made by the writer (pyiceberg), not by CloudFormation: one definition serves
a laptop and AWS, the writer owns the metadata that it commits to (watermarks are table properties),
and CloudFormation cannot evolve an Iceberg schema.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.environments import Environment
from infra.removal import policy
from tradelake.topology import names, stores

CATALOG = "glue"
"""Value of ``names.ENV_CATALOG_URI`` on AWS."""


class LakeStack(cdk.Stack):
    """Every bucket of the topology, the bucket of their access logs, and the Glue database.

    Attributes
    ----------
    buckets : dict of str to s3.Bucket
        By logical name.
    warehouse : str
        Where Iceberg keeps data and metadata.
    """

    def __init__(self, scope: Construct, environment: Environment, key: kms.IKey) -> None:
        super().__init__(scope, "lake", description="tradelake: buckets and Glue database")
        self._access_logs = self._access_log_bucket(environment)
        self.buckets = {
            bucket.name: self._bucket(environment, bucket, key) for bucket in stores.BUCKETS
        }
        self.warehouse = f"s3://{self.buckets[stores.LAKE_BUCKET.name].bucket_name}/warehouse"
        glue.CfnDatabase(
            self,
            "Database",
            catalog_id=self.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=names.iceberg_namespace(environment.name),
                description=f"Iceberg tables of {names.SYSTEM} {environment.name}",
            ),
        ).apply_removal_policy(policy(environment))
        # Monitoring listens to EventBridge; CDK's own switch would add a function to turn it on.
        failures = self.buckets[stores.FAILURE_BUCKET.name].node.default_child
        assert isinstance(failures, s3.CfnBucket)
        failures.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                event_bridge_enabled=True
            )
        )

    def _name(self, environment: Environment, logical: str) -> str:
        """Bucket names are global: account and region make them unique."""
        return f"{names.physical(environment.name, logical)}-{self.account}-{self.region}"

    def _bucket(self, environment: Environment, bucket: stores.Bucket, key: kms.IKey) -> s3.Bucket:
        return s3.Bucket(
            self,
            f"Bucket-{bucket.name}",
            bucket_name=self._name(environment, bucket.name),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=bucket.tiering != "expire_30d",
            lifecycle_rules=_lifecycle(bucket),
            server_access_logs_bucket=self._access_logs,
            server_access_logs_prefix=f"{bucket.name}/",
            removal_policy=policy(environment),
            auto_delete_objects=not environment.keep_data,
        )

    def _access_log_bucket(self, environment: Environment) -> s3.Bucket:
        return s3.Bucket(
            self,
            "AccessLogs",
            bucket_name=self._name(environment, "access-logs"),
            encryption=s3.BucketEncryption.S3_MANAGED,  # log delivery knows no other
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(90))],
            removal_policy=policy(environment),
            auto_delete_objects=not environment.keep_data,
        )


def _lifecycle(bucket: stores.Bucket) -> list[s3.LifecycleRule]:
    """Rules of a tiering.

    Intelligent-Tiering is without its archive tiers: Athena cannot read what was archived.
    """
    tidy = s3.LifecycleRule(
        id="tidy",
        abort_incomplete_multipart_upload_after=cdk.Duration.days(3),
        noncurrent_version_expiration=cdk.Duration.days(30),
        expired_object_delete_marker=True,
    )
    if bucket.tiering == "expire_30d":
        return [
            s3.LifecycleRule(
                id="expire",
                expiration=cdk.Duration.days(30),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(3),
            )
        ]
    if bucket.tiering == "intelligent":
        return [
            tidy,
            s3.LifecycleRule(
                id="tier",
                transitions=[
                    s3.Transition(
                        storage_class=s3.StorageClass.INTELLIGENT_TIERING,
                        transition_after=cdk.Duration.days(0),
                    )
                ],
            ),
        ]
    return [tidy]
