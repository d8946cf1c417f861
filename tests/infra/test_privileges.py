"""Roles may do what the topology says and nothing else."""

from __future__ import annotations

import pytest

from tradelake.topology import containers, functions, names, stores
from tradelake.topology.schedules import SCHEDULES

ANYWHERE = {
    "ecr:GetAuthorizationToken": "a token is for the whole registry",
    "batch:DescribeJobs": "Batch knows no narrower resource",
    "batch:TerminateJob": "job ids are not known beforehand",
    "xray:PutTelemetryRecords": "X-Ray has no resources",
    "xray:PutTraceSegments": "X-Ray has no resources",
    "xray:GetSamplingRules": "X-Ray has no resources",
    "xray:GetSamplingTargets": "X-Ray has no resources",
    "logs:CreateLogDelivery": "vended logs know no narrower resource",
    "logs:GetLogDelivery": "vended logs know no narrower resource",
    "logs:UpdateLogDelivery": "vended logs know no narrower resource",
    "logs:DeleteLogDelivery": "vended logs know no narrower resource",
    "logs:ListLogDeliveries": "vended logs know no narrower resource",
    "logs:PutResourcePolicy": "vended logs know no narrower resource",
    "logs:DescribeResourcePolicies": "vended logs know no narrower resource",
    "logs:DescribeLogGroups": "vended logs know no narrower resource",
    "ec2:AssignPrivateIpAddresses": "interfaces of a function are not known beforehand",
    "ec2:CreateNetworkInterface": "interfaces of a function are not known beforehand",
    "ec2:DeleteNetworkInterface": "interfaces of a function are not known beforehand",
    "ec2:DescribeNetworkInterfaces": "EC2 describes all or nothing",
    "ec2:DescribeSubnets": "EC2 describes all or nothing",
    "ec2:UnassignPrivateIpAddresses": "interfaces of a function are not known beforehand",
}
ALL = pytest.mark.parametrize("function", functions.FUNCTIONS, ids=lambda item: item.name)


def _many(value):
    return [value] if isinstance(value, str) else value


def _grants(statements):
    """Pairs of an allowed action and a resource."""
    return {
        (action, resource)
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in _many(statement["Action"])
        for resource in _many(statement["Resource"])
    }


def _of(templates, environment, function):
    name = names.physical(environment, function.name)
    made = templates.one("AWS::Lambda::Function", FunctionName=name).properties
    return _grants(templates.statements(made["Role"]))


def _task(templates):
    made = templates.one("AWS::ECS::TaskDefinition").properties
    return _grants(templates.statements(made["TaskRoleArn"]))


def _arns(environment, items):
    return {f"arn:{names.physical(environment, item.name)}" for item in items}


def _objects(environment, buckets):
    return {
        f"arn:{names.physical(environment, item.name)}-111122223333-eu-west-1/*" for item in buckets
    }


def _resources(grants, action):
    return {resource for given, resource in grants if given == action}


@ALL
def test_function_writes_exactly_its_streams(templates, environment, function):
    grants = _of(templates, environment, function)
    assert _resources(grants, "kinesis:PutRecords") == _arns(environment, function.writes_streams)


@ALL
def test_function_reads_exactly_its_triggers_streams(templates, environment, function):
    grants = _of(templates, environment, function)
    expected = _arns(environment, [trigger.stream for trigger in function.triggers])
    assert _resources(grants, "kinesis:GetRecords") == expected


@ALL
def test_function_uses_exactly_its_key_tables(templates, environment, function):
    grants = _of(templates, environment, function)
    for action in ("dynamodb:GetItem", "dynamodb:PutItem"):
        assert _resources(grants, action) == _arns(environment, function.key_tables)


@ALL
def test_function_reads_and_writes_exactly_its_buckets(templates, environment, function):
    grants = _of(templates, environment, function)
    assert _resources(grants, "s3:GetObject") == _objects(environment, function.read_buckets)
    failures = (stores.FAILURE_BUCKET,) if function.triggers else ()
    written = _objects(environment, (*function.write_buckets, *failures))
    assert _resources(grants, "s3:PutObject") == written
    assert _resources(grants, "s3:DeleteObject") == _objects(environment, function.write_buckets)


@ALL
def test_function_commits_to_exactly_its_lake_tables(templates, environment, function):
    grants = _of(templates, environment, function)
    committed = {
        resource.split("/")[-1]
        for resource in _resources(grants, "glue:UpdateTable")
        if ":table/" in resource
    }
    writes = stores.LAKE_BUCKET in function.write_buckets
    assert committed == {table.name for table in function.lake_tables if writes}
    loaded = {
        resource.split("/")[-1]
        for resource in _resources(grants, "glue:GetTable")
        if ":table/" in resource
    }
    assert loaded == {table.name for table in function.lake_tables}


@ALL
def test_function_reads_exactly_its_secrets(templates, environment, function):
    # the hot store's login is made beside it; a secret's reference is its ARN
    own = (*function.secrets, *(("hot-store",) if function is functions.HOT else ()))
    secrets = _resources(_of(templates, environment, function), "secretsmanager:GetSecretValue")
    assert secrets == {names.physical(environment, name) for name in own}


@ALL
def test_function_writes_to_its_own_log_group_only(templates, environment, function):
    # CloudFormation's ARN of a log group ends in ":*": with more behind it, it would match nothing
    grants = _of(templates, environment, function)
    groups = _resources(grants, "logs:PutLogEvents")
    assert groups == {f"arn:/{names.physical(environment, function.name)}"}


def test_ingester_may_do_what_the_topology_says(templates, environment):
    grants, ingester = _task(templates), containers.INGESTER
    assert _resources(grants, "kinesis:PutRecords") == _arns(environment, ingester.writes_streams)
    assert _resources(grants, "dynamodb:UpdateItem") == _arns(environment, ingester.key_tables)
    (secret,) = templates.of("AWS::SecretsManager::Secret", "security")
    # a secret's reference is its ARN
    assert _resources(grants, "secretsmanager:GetSecretValue") == {secret.properties["Name"]}
    assert {action.split(":")[0] for action, _ in grants} == {
        *("kinesis", "dynamodb", "secretsmanager", "kms", "ecs", "elasticfilesystem"),
    }


def test_ingester_ends_tasks_of_its_own_cluster_only(templates, environment):
    grants = _task(templates)
    cluster = templates.one("AWS::ECS::Cluster").properties["ClusterName"]
    assert cluster.startswith(names.physical(environment, ""))
    (tasks,) = _resources(grants, "ecs:StopTask")
    assert tasks == f"arn:aws:ecs:eu-west-1:111122223333:task/{cluster}/*"
    assert {action for action, _ in grants if action.startswith("ecs:")} == {"ecs:StopTask"}


def test_ingester_mounts_its_spool_through_its_access_point_only(templates):
    made = templates.one("AWS::ECS::TaskDefinition").properties
    [point] = templates.of("AWS::EFS::AccessPoint")
    mounts = [
        statement
        for statement in templates.statements(made["TaskRoleArn"])
        if "elasticfilesystem:ClientMount" in _many(statement["Action"])
    ]
    [statement] = mounts
    assert set(statement["Action"]) == {
        "elasticfilesystem:ClientMount",
        "elasticfilesystem:ClientWrite",
    }
    allowed = statement["Condition"]["StringEquals"]["elasticfilesystem:AccessPointArn"]
    assert allowed == f"arn:{point.logical_id}" or allowed.endswith(point.logical_id)
    assert point.properties["PosixUser"] == {"Uid": "10001", "Gid": "10001"}


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda item: item.name)
def test_schedule_may_invoke_its_function_only(templates, environment, schedule):
    made = templates.one(
        "AWS::Scheduler::Schedule", Name=names.physical(environment, schedule.name)
    ).properties
    grants = _grants(templates.statements(made["Target"]["RoleArn"]))
    function = f"arn:{names.physical(environment, schedule.function.name)}"
    assert grants == {("lambda:InvokeFunction", function)}


def test_schedules_roles_are_assumed_from_the_environments_own_group_only(templates, environment):
    for role in templates.of("AWS::IAM::Role", "schedules"):
        [statement] = role.properties["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "scheduler.amazonaws.com"}
        group = f"arn:{names.physical(environment, 'schedules')}"
        assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": group}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}


def test_backtest_job_reads_bars_and_writes_results_only(templates, environment):
    made = templates.one("AWS::Batch::JobDefinition").properties
    grants = _grants(templates.statements(made["ContainerProperties"]["JobRoleArn"]))
    job = containers.BACKTEST
    assert _resources(grants, "s3:GetObject") == _objects(environment, job.read_buckets)
    assert _resources(grants, "s3:PutObject") == _objects(environment, job.write_buckets)
    tables = {item.split("/")[-1] for item in _resources(grants, "glue:GetTable") if "/" in item}
    assert tables == {names.iceberg_namespace(environment), *(t.name for t in job.read_tables)}
    assert not {
        action for action, _ in grants if action.startswith("glue:") and "Get" not in action
    }


def test_nothing_is_allowed_everywhere_without_a_listed_reason(templates):
    everywhere = {
        action
        for role in templates.of("AWS::IAM::Role")
        for action, resource in _grants(templates.statements(role.logical_id))
        if resource == "*"
    }
    assert everywhere - set(ANYWHERE) == set()


def test_every_listed_reason_is_needed(stages):
    everywhere = {
        action
        for templates in stages.values()
        for role in templates.of("AWS::IAM::Role")
        for action, resource in _grants(templates.statements(role.logical_id))
        if resource == "*"
    }
    assert set(ANYWHERE) - everywhere == set()


def test_no_action_is_a_wildcard(templates):
    wild = {
        action
        for role in templates.of("AWS::IAM::Role")
        for action, _ in _grants(templates.statements(role.logical_id))
        if "*" in action
    }
    assert wild == set()


def test_keys_are_used_through_the_service_that_stores_the_data_only(templates):
    for role in templates.of("AWS::IAM::Role"):
        for statement in templates.statements(role.logical_id):
            if any(action.startswith("kms:") for action in _many(statement["Action"])):
                assert "kms:ViaService" in statement["Condition"]["StringEquals"], role.logical_id


def test_no_role_of_ours_has_a_managed_policy(templates):
    stacks = (
        *("network", "functions", "schedules", "ingester", "monitoring"),
        *("hot", "streams", "security"),
    )
    for stack in stacks:
        for role in templates.of("AWS::IAM::Role", stack):
            assert "ManagedPolicyArns" not in role.properties, role.logical_id
