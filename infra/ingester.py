"""Services of the topology on ECS Fargate: the ingester."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicediscovery as servicediscovery
from constructs import Construct

from infra import grants
from infra.environments import Environment
from infra.logs import log_group
from infra.packaging import image_context
from infra.removal import policy
from infra.security import SecurityStack
from infra.streams import StreamsStack
from infra.variables import HEALTH_PORT, chosen
from tradelake.topology import containers, names

_CLUSTER: Final = "services"
_SPOOL: Final = "spool"
_NFS: Final = 2049
_NAME_TTL_S: Final = 10
"""How long a subscriber may hold an address of a task that is gone."""
_UID: Final = "10001"
"""Whom the image runs as."""
_PROBE = (
    "import urllib.request as u;"
    f"u.urlopen('http://127.0.0.1:{HEALTH_PORT}/health', timeout=3).read()"
)


class IngesterStack(cdk.Stack):
    """The cluster and the ingester.

    It reads the Alpaca secret itself, so that a rotated one is found without a new task definition.
    Alpaca admits one connection an account; a lease sees to that, so a deployment starts the new
    task first: it stands by until the old one has ended in order. The spool is on EFS, which
    outlives every task. Subscribers of the live tap find the tasks by name inside the VPC. The
    cluster has no capacity providers: associating them races with ECS's service-linked role in a
    new account.

    Attributes
    ----------
    cluster : ecs.Cluster
        With Container Insights, which count the running tasks.
    service : ecs.FargateService
        The ingester.
    """

    def __init__(
        self,
        scope: Construct,
        environment: Environment,
        *,
        vpc: ec2.IVpc,
        security: SecurityStack,
        streams: StreamsStack,
        variables: dict[str, str],
    ) -> None:
        super().__init__(scope, "ingester", description="tradelake: the ingester")
        self._environment = environment
        self._security = security
        self._streams = streams
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=names.physical(environment.name, _CLUSTER),
            vpc=vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        outbound = ec2.SecurityGroup(
            self,
            "Outbound",
            vpc=vpc,
            description="HTTPS out: the feed and AWS",
            allow_all_outbound=False,
        )
        outbound.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "feed and AWS APIs")
        inside = ec2.Peer.ipv4(vpc.vpc_cidr_block)
        outbound.add_ingress_rule(inside, ec2.Port.tcp(HEALTH_PORT), "live tap and health")
        self._spool = self._file_system(vpc, outbound)
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            service_name=names.physical(environment.name, containers.INGESTER.name),
            task_definition=self._task(containers.INGESTER, variables),
            desired_count=environment.ingester_tasks,
            min_healthy_percent=100,
            max_healthy_percent=200,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[outbound],
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
            cloud_map_options=self._names(),
        )

    def _task(
        self, service: containers.Service, variables: dict[str, str]
    ) -> ecs.FargateTaskDefinition:
        key = self._security.data_key
        statements = [
            *(
                statement
                for stream in service.writes_streams
                for statement in grants.write_stream(self._streams.streams[stream.name], key)
            ),
            *(
                statement
                for table in service.key_tables
                for statement in grants.use_key_table(self._streams.key_tables[table.name], key)
            ),
        ]
        for secret in service.secrets:
            statements += grants.read_secret(
                self._security.secrets[secret], self._security.secret_key
            )
        statements += self._evict()
        statements += grants.mount(self._spool, key)
        task = ecs.FargateTaskDefinition(
            self,
            "Task",
            family=names.physical(self._environment.name, service.name),
            cpu=self._environment.ingester_cpu,
            memory_limit_mib=self._environment.ingester_memory_mb,
            task_role=grants.role(self, "TaskRole", "ecs-tasks.amazonaws.com", statements),
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )
        folder = f"containers/{service.folder}"
        task.add_volume(
            name=_SPOOL,
            efs_volume_configuration=ecs.EfsVolumeConfiguration(
                file_system_id=self._spool.file_system.file_system_id,
                transit_encryption="ENABLED",
                authorization_config=ecs.AuthorizationConfig(
                    access_point_id=self._spool.access_point_id, iam="ENABLED"
                ),
            ),
        )
        container = task.add_container(
            service.name,
            image=ecs.ContainerImage.from_asset(
                file=f"{folder}/Dockerfile",
                asset_name=f"{names.SYSTEM}-{service.name}",
                **image_context(folder, f"requirements/{service.folder}.txt"),
            ),
            environment=chosen(variables, service.environment),
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix=service.name,
                log_group=log_group(self, self._environment, service.name, key),
            ),
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "-c", _PROBE],
                interval=cdk.Duration.seconds(30),
                timeout=cdk.Duration.seconds(5),
                retries=3,
                start_period=cdk.Duration.seconds(60),
            ),
            # time to flush what is in memory and to close its gap after SIGTERM
            stop_timeout=cdk.Duration.seconds(60),
        )
        container.add_mount_points(
            ecs.MountPoint(source_volume=_SPOOL, container_path=service.spool_path, read_only=False)
        )
        return task

    def _names(self) -> ecs.CloudMapOptions:
        """``ingester.<cluster>.local``: addresses of the leader and of whoever stands by."""
        domain = f"{names.physical(self._environment.name, _CLUSTER)}.local"
        return ecs.CloudMapOptions(
            name=containers.INGESTER.name,
            cloud_map_namespace=self.cluster.add_default_cloud_map_namespace(name=domain),
            dns_record_type=servicediscovery.DnsRecordType.A,
            dns_ttl=cdk.Duration.seconds(_NAME_TTL_S),
        )

    def _evict(self) -> list[iam.PolicyStatement]:
        """End a task of the own cluster whose lease ran out; task ids are not known beforehand."""
        tasks = self.format_arn(
            service="ecs",
            resource="task",
            resource_name=f"{names.physical(self._environment.name, _CLUSTER)}/*",
        )
        return [grants.allow(["ecs:StopTask"], [tasks])]

    def _file_system(self, vpc: ec2.IVpc, clients: ec2.SecurityGroup) -> efs.AccessPoint:
        """Where records wait while Kinesis refuses: files of the ingester's user alone."""
        key = self._security.data_key
        guard = ec2.SecurityGroup(
            self,
            "SpoolAccess",
            vpc=vpc,
            description="NFS from the ingester",
            allow_all_outbound=False,
        )
        guard.add_ingress_rule(clients, ec2.Port.tcp(_NFS), "NFS")
        clients.add_egress_rule(guard, ec2.Port.tcp(_NFS), "spool")
        file_system = efs.FileSystem(
            self,
            "Spool",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_group=guard,
            encrypted=True,
            kms_key=key,
            throughput_mode=efs.ThroughputMode.ELASTIC,
            enable_automatic_backups=False,
            allow_anonymous_access=False,
            removal_policy=policy(self._environment),
        )
        return file_system.add_access_point(
            "Ingester",
            path="/ingester",
            create_acl=efs.Acl(owner_uid=_UID, owner_gid=_UID, permissions="750"),
            posix_user=efs.PosixUser(uid=_UID, gid=_UID),
        )
