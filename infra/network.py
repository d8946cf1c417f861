"""The VPC: two availability zones, private subnets for everything that runs, endpoints."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra import grants
from infra.environments import Environment
from infra.logs import log_group

_INTERFACES: Final = {
    "Kinesis": ec2.InterfaceVpcEndpointAwsService.KINESIS_STREAMS,
    "SecretsManager": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "Ecr": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Sts": ec2.InterfaceVpcEndpointAwsService.STS,
}


class NetworkStack(cdk.Stack):
    """The VPC with its endpoints and flow logs.

    Attributes
    ----------
    vpc : ec2.Vpc
        Subnets ``public`` (NAT gateways only) and ``private``.
    """

    def __init__(self, scope: Construct, environment: Environment, key: kms.IKey) -> None:
        super().__init__(scope, "network", description="tradelake: VPC and endpoints")
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=environment.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="public",
                    subnet_type=ec2.SubnetType.PUBLIC,
                    cidr_mask=24,
                    map_public_ip_on_launch=False,
                ),
                ec2.SubnetConfiguration(
                    name="private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20
                ),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(
                    service=ec2.GatewayVpcEndpointAwsService.DYNAMODB
                ),
            },
        )
        self._flow_logs(environment, key)
        if environment.interface_endpoints:
            self._interfaces()

    @property
    def availability_zones(self) -> list[str]:
        """The first two zones, resolved at deployment: CDK would look them up with credentials."""
        return [cdk.Fn.select(index, cdk.Fn.get_azs()) for index in range(2)]

    def _flow_logs(self, environment: Environment, key: kms.IKey) -> None:
        group = log_group(self, environment, "flow", key)
        may_write = [
            grants.allow(
                ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                [group.log_group_arn],
            )
        ]
        writer = grants.role(self, "FlowRole", "vpc-flow-logs.amazonaws.com", may_write)
        ec2.CfnFlowLog(
            self,
            "Flow",
            resource_id=self.vpc.vpc_id,
            resource_type="VPC",
            traffic_type="REJECT",
            log_destination_type="cloud-watch-logs",
            log_group_name=group.log_group_name,
            deliver_logs_permission_arn=writer.role_arn,
        )

    def _interfaces(self) -> None:
        clients = ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self.vpc,
            description="HTTPS from inside the VPC to AWS endpoints",
            allow_all_outbound=False,
        )
        clients.add_ingress_rule(ec2.Peer.ipv4(self.vpc.vpc_cidr_block), ec2.Port.tcp(443), "HTTPS")
        for name, service in _INTERFACES.items():
            self.vpc.add_interface_endpoint(
                name, service=service, security_groups=[clients], open=False
            )
