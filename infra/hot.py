"""The hot store: Timestream for InfluxDB v2, private, with credentials of our own making."""

from __future__ import annotations

import json
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_timestream as timestream
from constructs import Construct

from infra.environments import Environment
from infra.removal import policy
from tradelake.topology import names, streams

PORT: Final = 8086
_ADMIN: Final = "admin"


class HotStoreStack(cdk.Stack):
    """One InfluxDB instance in private subnets, reachable by its clients' security group alone.

    Attributes
    ----------
    url : str
        Value of ``names.ENV_HOT_STORE``: ``influxdb://host:port/org/bucket?secret=<name>``; the
        secret holds ``username`` and ``password``.
    secret : secretsmanager.Secret
        The administrator's credentials.
    clients : ec2.SecurityGroup
        Whoever is in it may connect.
    vpc : ec2.IVpc
        Where it is.
    """

    def __init__(
        self, scope: Construct, environment: Environment, vpc: ec2.IVpc, key: kms.IKey
    ) -> None:
        super().__init__(scope, "hot", description="tradelake: Timestream for InfluxDB")
        self.vpc = vpc
        self.secret = secretsmanager.Secret(
            self,
            "Credentials",
            secret_name=names.physical(environment.name, "hot-store"),
            description="Administrator of the hot store",
            encryption_key=key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"username": _ADMIN}),
                generate_string_key="password",
                exclude_punctuation=True,
                password_length=40,
            ),
            removal_policy=policy(environment),
        )
        self.clients = self._group("Clients", "Functions that write to the hot store")
        servers = self._group("Servers", "The hot store")
        servers.add_ingress_rule(self.clients, ec2.Port.tcp(PORT), "HTTP API")
        self.clients.add_egress_rule(servers, ec2.Port.tcp(PORT), "HTTP API")
        self.clients.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS APIs")
        organization, bucket = names.SYSTEM, streams.BARS.name
        instance = timestream.CfnInfluxDBInstance(
            self,
            "Instance",
            name=names.physical(environment.name, "hot"),
            db_instance_type=environment.hot_instance_type,
            db_storage_type="InfluxIOIncludedT1",
            allocated_storage=environment.hot_storage_gib,
            deployment_type="SINGLE_AZ",
            organization=organization,
            bucket=bucket,
            username=_ADMIN,
            # a dynamic reference: the template never holds the value
            password=self.secret.secret_value_from_json("password").unsafe_unwrap(),
            port=PORT,
            publicly_accessible=False,
            vpc_subnet_ids=vpc.select_subnets(
                subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS
            ).subnet_ids,
            vpc_security_group_ids=[servers.security_group_id],
        )
        instance.apply_removal_policy(policy(environment))
        self.url = (
            f"influxdb://{instance.attr_endpoint}:{PORT}/{organization}/{bucket}"
            f"?secret={names.physical(environment.name, 'hot-store')}"
        )

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, name, vpc=self.vpc, description=description, allow_all_outbound=False
        )
