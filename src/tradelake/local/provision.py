"""Makes what ``topology`` describes on the local endpoints: the other interpreter is ``infra``."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3
import botocore.exceptions

from tradelake.local.emulator.options import CREDENTIALS, REGION
from tradelake.topology import (
    containers,
    functions,
    names,
    schedules,
    stores,
    streams,
    workflows,
)

_KEPT: Final = frozenset(
    {
        "ResourceInUseException",
        "BucketAlreadyOwnedByYou",
        "EntityAlreadyExists",
        "ResourceExistsException",
    }
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services are: ``aws`` for everything but streams, ``kinesis`` for those."""

    aws: str
    kinesis: str | None

    def variables(self) -> dict[str, str]:
        """Variables that lead a function's boto3 to the streams; the emulator sets the others."""
        return {"AWS_ENDPOINT_URL_KINESIS": self.kinesis} if self.kinesis else {}


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What was made, by logical name."""

    streams: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    buckets: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    workflows: Mapping[str, str] = field(default_factory=dict)
    job_queue: str = ""
    job_definitions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Options of :func:`provision`.

    Parameters
    ----------
    environment : str
        Name of the environment; physical names follow from it.
    endpoints : Endpoints
        Where to make things.
    project_root : Path
        The checkout with ``functions/`` and ``containers/``.
    variables : Mapping of str to str
        Values of the environment variables that functions and jobs declare in topology; those of
        the artifact bucket and the environment's name follow from the environment.
    alpaca_key, alpaca_secret : str
        Content of the Alpaca secret.
    shards : Mapping of str to int
        Shards by stream where they differ from topology.
    max_concurrency : int
        Backtests that are submitted at once; the emulator's slots bound those that run.
    """

    environment: str
    endpoints: Endpoints
    project_root: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    alpaca_key: str = "local"
    alpaca_secret: str = "local"  # noqa: S105 - the local venue's own; a real one is passed in
    shards: Mapping[str, int] = field(default_factory=dict)
    max_concurrency: int = 100

    def physical(self, logical: str) -> str:
        """Physical name of a resource."""
        return names.physical(self.environment, logical)

    def values(self, declared: tuple[str, ...]) -> dict[str, str]:
        """Environment of a function or job that declares these variables, the unset left out."""
        known = {
            **self.variables,
            names.ENV_ENVIRONMENT: self.environment,
            names.ENV_ARTIFACT_BUCKET: self.physical(stores.ARTIFACT_BUCKET.name),
        }
        return {name: known[name] for name in (names.ENV_ENVIRONMENT, *declared) if name in known}

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 clients have no static type
        """Return a client of the local endpoint, whatever this process' environment says."""
        url = self.endpoints.kinesis if service == "kinesis" else self.endpoints.aws
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )


def provision(plan: Plan) -> Provisioned:
    """Make what is missing and update what may have changed; running it again changes nothing else.

    Streams are left out where the plan has no Kinesis endpoint.
    """
    role = _role(plan)
    bucket_names = {bucket.name: _bucket(plan, bucket) for bucket in stores.BUCKETS}
    _secret(plan)
    function_arns = {function.name: _function(plan, function, role) for function in invoked()}
    queue = _job_queue(plan, role)
    job_definitions = {job.name: _job_definition(plan, job) for job in containers.BATCH_JOBS}
    machine = _state_machine(plan, role, function_arns, queue, job_definitions)
    with_streams = streams.STREAMS if plan.endpoints.kinesis else ()
    return Provisioned(
        streams={stream.name: _stream(plan, stream) for stream in with_streams},
        tables={table.name: _table(plan, table) for table in stores.KEY_TABLES},
        buckets=bucket_names,
        functions=function_arns,
        workflows={workflows.BACKTESTS.name: machine},
        job_queue=queue,
        job_definitions=job_definitions,
    )


def invoked() -> list[functions.Function]:
    """Functions that are invoked rather than fed by a stream: of workflows and of schedules."""
    of_workflows = [f for workflow in workflows.WORKFLOWS for f in workflow.functions]
    return [*of_workflows, *(schedule.function for schedule in schedules.SCHEDULES)]


def _unless_there(call: Callable[..., Any], **arguments: object) -> None:
    """Call and take "it is there already" for done."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in _KEPT:
            raise


def _role(plan: Plan) -> str:
    """Make one role for everything: nothing checks permissions here."""
    iam = plan.client("iam")
    name = plan.physical("local")
    _unless_there(iam.create_role, RoleName=name, AssumeRolePolicyDocument="{}")
    return str(iam.get_role(RoleName=name)["Role"]["Arn"])


def _stream(plan: Plan, stream: streams.Stream) -> str:
    kinesis = plan.client("kinesis")
    name = plan.physical(stream.name)
    shards = plan.shards.get(stream.name, stream.shards)
    _unless_there(kinesis.create_stream, StreamName=name, ShardCount=shards)
    kinesis.get_waiter("stream_exists").wait(
        StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    return str(summary["StreamARN"])


def _table(plan: Plan, table: stores.KeyTable) -> str:
    dynamodb = plan.client("dynamodb")
    keys = [(table.partition_key, "HASH")]
    if table.sort_key is not None:
        keys.append((table.sort_key, "RANGE"))
    name = plan.physical(table.name)
    _unless_there(
        dynamodb.create_table,
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    return str(dynamodb.describe_table(TableName=name)["Table"]["TableArn"])


def _bucket(plan: Plan, bucket: stores.Bucket) -> str:
    name = plan.physical(bucket.name)
    _unless_there(plan.client("s3").create_bucket, Bucket=name)
    return name


def _secret(plan: Plan) -> None:
    secrets = plan.client("secretsmanager")
    name = plan.physical(names.ALPACA_SECRET)
    value = json.dumps({"key": plan.alpaca_key, "secret": plan.alpaca_secret})
    _unless_there(secrets.create_secret, Name=name, SecretString=value)
    if secrets.get_secret_value(SecretId=name)["SecretString"] != value:
        secrets.put_secret_value(SecretId=name, SecretString=value)


def _function(plan: Plan, function: functions.Function, role: str) -> str:
    """Make a function whose handler names its file; the archive that the API demands is empty."""
    client = plan.client("lambda")
    name = plan.physical(function.name)
    configuration = {
        "FunctionName": name,
        "Handler": f"functions/{function.folder}/handler.handler",
        "Timeout": function.timeout_s,
        "MemorySize": function.memory_mb,
        "Environment": {
            "Variables": {**plan.values(function.environment), **plan.endpoints.variables()}
        },
    }
    try:
        client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        made = client.create_function(
            **configuration,
            Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
            Role=role,
            Code={"ZipFile": _empty_archive()},
        )
    else:
        made = client.update_function_configuration(**configuration)
    return str(made["FunctionArn"])


def _empty_archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("empty", "")
    return content.getvalue()


def _job_queue(plan: Plan, role: str) -> str:
    batch = plan.client("batch")
    name = plan.physical(containers.JOB_QUEUE)
    queues = batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    if queues:
        return str(queues[0]["jobQueueArn"])
    ec2 = plan.client("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    groups = [group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]]
    batch.create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        state="ENABLED",
        serviceRole=role,
        computeResources={
            "type": "FARGATE_SPOT",
            "maxvCpus": plan.max_concurrency,
            "subnets": subnets,
            "securityGroupIds": groups[:1],
        },
    )
    made = batch.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": name}],
    )
    return str(made["jobQueueArn"])


def _job_definition(plan: Plan, job: containers.BatchJob) -> str:
    """Register a definition that runs the container entry point, unless the last is equal."""
    batch = plan.client("batch")
    name = plan.physical(job.name)
    entry = plan.project_root.resolve() / "containers" / job.folder / "main.py"
    command = [sys.executable, "-P", str(entry)]
    environment = [
        {"name": key, "value": value} for key, value in sorted(plan.values(job.environment).items())
    ]
    known = batch.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")
    for definition in known["jobDefinitions"]:
        container = definition["containerProperties"]
        if container["command"] == command and container["environment"] == environment:
            return str(definition["jobDefinitionArn"])
    made = batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        platformCapabilities=["FARGATE"],
        retryStrategy={"attempts": job.attempts},
        timeout={"attemptDurationSeconds": job.timeout_s},
        containerProperties={
            "image": f"{names.SYSTEM}/{job.folder}",
            "command": command,
            "environment": environment,
            "executionRoleArn": _role(plan),
            "resourceRequirements": [
                {"type": "VCPU", "value": str(job.vcpu)},
                {"type": "MEMORY", "value": str(job.memory_mb)},
            ],
        },
    )
    return str(made["jobDefinitionArn"])


def _state_machine(
    plan: Plan,
    role: str,
    function_arns: Mapping[str, str],
    queue: str,
    job_definitions: Mapping[str, str],
) -> str:
    states = plan.client("stepfunctions")
    name = plan.physical(workflows.BACKTESTS.name)
    definition = json.dumps(
        workflows.backtests_definition(
            prepare_arn=function_arns[functions.PREPARE.name],
            collect_arn=function_arns[functions.COLLECT.name],
            job_queue_arn=queue,
            job_definition_arn=job_definitions[containers.BACKTEST.name],
            max_concurrency=plan.max_concurrency,
        )
    )
    machines = {
        machine["name"]: machine["stateMachineArn"]
        for page in states.get_paginator("list_state_machines").paginate()
        for machine in page["stateMachines"]
    }
    if name in machines:
        states.update_state_machine(
            stateMachineArn=machines[name], definition=definition, roleArn=role
        )
        return str(machines[name])
    made = states.create_state_machine(name=name, definition=definition, roleArn=role)
    return str(made["stateMachineArn"])
