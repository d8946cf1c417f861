"""Keys and secrets: deployed first, so that the ingester finds its credentials.

``cdk deploy dev/security``, then the command that the stack's output shows, then ``cdk deploy
'dev/*'``.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.environments import Environment
from infra.removal import policy
from tradelake.topology import names


class SecurityStack(cdk.Stack):
    """One key for data, one for secrets, and the Alpaca secret.

    Attributes
    ----------
    data_key : kms.Key
        Streams, key tables, buckets, logs and alarms.
    secret_key : kms.Key
        Secrets only.
    secrets : dict of str to secretsmanager.Secret
        By logical name. An environment has an Alpaca account of its own: Alpaca admits one
        connection an account.
    """

    def __init__(self, scope: Construct, environment: Environment) -> None:
        super().__init__(scope, "security", description="tradelake: keys and secrets")
        self.data_key = self._key(environment, "data")
        self.data_key.add_to_resource_policy(self._services_that_encrypt(environment))
        self.data_key.add_to_resource_policy(_services_that_publish())
        self.secret_key = self._key(environment, "secrets")
        alpaca = secretsmanager.Secret(
            self,
            "Alpaca",
            secret_name=names.physical(environment.name, names.ALPACA_SECRET),
            description="Alpaca API key and secret, a JSON object that is put in by hand",
            encryption_key=self.secret_key,
            removal_policy=policy(environment),
        )
        self.secrets = {names.ALPACA_SECRET: alpaca}
        cdk.CfnOutput(
            self,
            "PutAlpacaCredentials",
            description="Run this once, before the ingester is deployed",
            value=f"aws secretsmanager put-secret-value --secret-id {alpaca.secret_name}"
            " --secret-string file://credentials.json",
        )

    def _key(self, environment: Environment, name: str) -> kms.Key:
        return kms.Key(
            self,
            f"{name.title()}Key",
            alias=f"alias/{names.physical(environment.name, name)}",
            description=f"{names.SYSTEM} {environment.name}: {name}",
            enable_key_rotation=True,
            removal_policy=policy(environment),
        )

    def _services_that_encrypt(self, environment: Environment) -> iam.PolicyStatement:
        own_groups = self.format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"*{names.physical(environment.name, '*')}",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        return iam.PolicyStatement(
            sid="CloudWatchLogs",
            principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
            resources=["*"],
            conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": own_groups}},
        )


def _services_that_publish() -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="AlarmsToTopic",
        principals=[
            iam.ServicePrincipal("cloudwatch.amazonaws.com"),
            iam.ServicePrincipal("events.amazonaws.com"),
        ],
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=["*"],
        conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
    )
