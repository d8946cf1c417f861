"""Backtests: Batch on Fargate, and the state machine that fans out to it."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra import grants
from infra.environments import Environment
from infra.functions import FunctionsStack
from infra.lake import LakeStack
from infra.logs import log_group
from infra.packaging import image_context
from infra.security import SecurityStack
from infra.variables import chosen
from tradelake.topology import containers, functions, names, workflows


class BacktestsStack(cdk.Stack):
    """Job queue on Fargate Spot first, Fargate second; the job; the state machine.

    Attributes
    ----------
    machine : sfn.StateMachine
        Runs ``workflows.backtests_definition`` as it is.
    """

    def __init__(
        self,
        scope: Construct,
        environment: Environment,
        *,
        vpc: ec2.IVpc,
        security: SecurityStack,
        lake: LakeStack,
        made: FunctionsStack,
        variables: dict[str, str],
    ) -> None:
        super().__init__(scope, "backtests", description="tradelake: backtests on Batch")
        self._environment = environment
        self._security = security
        self._lake = lake
        queue = self._queue(vpc)
        job = self._job(containers.BACKTEST, variables)
        self.machine = self._machine(made, queue, job)

    def _queue(self, vpc: ec2.IVpc) -> batch.JobQueue:
        outbound = ec2.SecurityGroup(
            self, "Outbound", vpc=vpc, description="HTTPS out: AWS", allow_all_outbound=False
        )
        outbound.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS APIs")
        queue = batch.JobQueue(
            self,
            "Queue",
            job_queue_name=names.physical(self._environment.name, containers.JOB_QUEUE),
        )
        for order, (name, spot) in enumerate((("Spot", True), ("OnDemand", False)), start=1):
            capacity = batch.FargateComputeEnvironment(
                self,
                name,
                vpc=vpc,
                vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
                security_groups=[outbound],
                spot=spot,
                maxv_cpus=self._environment.backtest_max_vcpus,
            )
            queue.add_compute_environment(capacity, order)
        return queue

    def _job(self, job: containers.BatchJob, variables: dict[str, str]) -> batch.EcsJobDefinition:
        key, buckets = self._security.data_key, self._lake.buckets
        statements: list[iam.PolicyStatement] = []
        for bucket in job.read_buckets:
            statements += grants.read_bucket(buckets[bucket.name], key)
        for bucket in job.write_buckets:
            statements += grants.write_bucket(buckets[bucket.name], key)
        statements += grants.glue_tables(self, self._environment.name, job.read_tables, write=False)
        folder = f"containers/{job.folder}"
        container = batch.EcsFargateContainerDefinition(
            self,
            "Container",
            image=ecs.ContainerImage.from_asset(
                file=f"{folder}/Dockerfile",
                asset_name=f"{names.SYSTEM}-{job.name}",
                **image_context(folder, f"requirements/{job.folder}.txt"),
            ),
            cpu=job.vcpu,
            memory=cdk.Size.mebibytes(job.memory_mb),
            fargate_cpu_architecture=ecs.CpuArchitecture.ARM64,
            fargate_operating_system_family=ecs.OperatingSystemFamily.LINUX,
            environment=chosen(variables, job.environment),
            job_role=grants.role(self, "JobRole", "ecs-tasks.amazonaws.com", statements),
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix=job.name,
                log_group=log_group(self, self._environment, job.name, key),
            ),
        )
        return batch.EcsJobDefinition(
            self,
            "Job",
            job_definition_name=names.physical(self._environment.name, job.name),
            container=container,
            retry_attempts=job.attempts,
            timeout=cdk.Duration.seconds(job.timeout_s),
            propagate_tags=True,
        )

    def _machine(
        self, made: FunctionsStack, queue: batch.JobQueue, job: batch.EcsJobDefinition
    ) -> sfn.StateMachine:
        called = [made.functions[item.name] for item in workflows.BACKTESTS.functions]
        definition = workflows.backtests_definition(
            prepare_arn="${PrepareArn}",
            collect_arn="${CollectArn}",
            job_queue_arn="${JobQueueArn}",
            job_definition_arn="${JobDefinitionArn}",
            max_concurrency=self._environment.backtest_concurrency,
        )
        name = names.physical(self._environment.name, workflows.BACKTESTS.name)
        statements = [
            grants.allow(["lambda:InvokeFunction"], [item.function_arn for item in called]),
            *self._run_jobs(queue, job),
            *self._run_children(name),
        ]
        for bucket in workflows.BACKTESTS.buckets:
            statements += grants.read_bucket(
                self._lake.buckets[bucket.name], self._security.data_key
            )
        return sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=name,
            definition_body=sfn.DefinitionBody.from_string(json.dumps(definition)),
            definition_substitutions={
                "PrepareArn": made.functions[functions.PREPARE.name].function_arn,
                "CollectArn": made.functions[functions.COLLECT.name].function_arn,
                "JobQueueArn": queue.job_queue_arn,
                "JobDefinitionArn": job.job_definition_arn,
            },
            role=grants.role(self, "MachineRole", "states.amazonaws.com", statements),
            logs=sfn.LogOptions(
                destination=log_group(
                    self,
                    self._environment,
                    workflows.BACKTESTS.name,
                    self._security.data_key,
                    prefix="/aws/vendedlogs/states/",
                ),
                level=sfn.LogLevel.ALL,
                include_execution_data=False,
            ),
            tracing_enabled=self._environment.tracing,
        )

    def _run_jobs(
        self, queue: batch.JobQueue, job: batch.EcsJobDefinition
    ) -> list[iam.PolicyStatement]:
        """``batch:submitJob.sync``: Step Functions follows a job through a rule of its own."""
        rule = self.format_arn(
            service="events",
            resource="rule",
            resource_name="StepFunctionsGetEventsForBatchJobsRule",
        )
        return [
            grants.allow(["batch:SubmitJob"], [queue.job_queue_arn, job.job_definition_arn]),
            # job ids are not known beforehand
            grants.allow(["batch:DescribeJobs", "batch:TerminateJob"], ["*"]),
            grants.allow(["events:DescribeRule", "events:PutRule", "events:PutTargets"], [rule]),
        ]

    def _run_children(self, name: str) -> list[iam.PolicyStatement]:
        """A Distributed Map starts child executions of its own machine."""

        def arn(resource: str, suffix: str) -> str:
            return self.format_arn(
                service="states",
                resource=resource,
                resource_name=f"{name}{suffix}",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )

        return [
            grants.allow(["states:StartExecution"], [arn("stateMachine", "")]),
            grants.allow(
                ["states:DescribeExecution", "states:StopExecution"], [arn("execution", "/*")]
            ),
        ]
