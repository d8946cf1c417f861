"""The ingester's service, the backtests' Batch and state machine, the network, the logs."""

from __future__ import annotations

import dataclasses
import json

import pytest

from infra.environments import DEV, ENVIRONMENTS
from tradelake import settings
from tradelake.topology import containers, functions, names, workflows

SETTINGS = {item.name: item for item in ENVIRONMENTS}


def _container(templates):
    (container,) = templates.one("AWS::ECS::TaskDefinition").properties["ContainerDefinitions"]
    return container


def _variables(pairs):
    return {pair["Name"]: pair["Value"] for pair in pairs}


def test_next_ingester_stands_by_before_the_last_one_ends(templates, environment):
    name = names.physical(environment, containers.INGESTER.name)
    service = templates.one("AWS::ECS::Service", ServiceName=name).properties
    assert service["DesiredCount"] == SETTINGS[environment].ingester_tasks
    deployment = service["DeploymentConfiguration"]
    assert deployment["MinimumHealthyPercent"] == 100
    assert deployment["MaximumPercent"] == 200
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert service["LaunchType"] == "FARGATE"
    network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == "DISABLED"


def test_ingester_gets_exactly_the_variables_it_names(templates):
    variables = _variables(_container(templates)["Environment"])
    assert set(variables) == {names.ENV_ENVIRONMENT, *containers.INGESTER.environment}


def test_ingesters_variables_are_its_settings(templates, environment):
    variables = _variables(_container(templates)["Environment"])
    loaded = settings.load_settings(variables, settings.IngesterSettings)
    assert loaded.environment == environment
    assert loaded.symbols == SETTINGS[environment].symbols
    assert loaded.health_port > 0


def test_ingester_gets_no_secret_but_reads_it_itself(templates):
    assert "Secrets" not in _container(templates)


def test_ingester_is_probed_on_its_health_port(templates):
    container = _container(templates)
    port = _variables(container["Environment"])[names.ENV_HEALTH_PORT]
    assert f"127.0.0.1:{port}/health" in container["HealthCheck"]["Command"][-1]


def test_ingesters_spool_is_on_a_file_system_that_outlives_its_tasks(templates, environment):
    container = _container(templates)
    [mount] = container["MountPoints"]
    variables = _variables(container["Environment"])
    assert mount["ContainerPath"] == variables[names.ENV_SPOOL] == containers.INGESTER.spool_path
    assert mount["ReadOnly"] is False
    [volume] = templates.one("AWS::ECS::TaskDefinition").properties["Volumes"]
    assert volume["Name"] == mount["SourceVolume"]
    placed = volume["EFSVolumeConfiguration"]
    assert placed["TransitEncryption"] == placed["AuthorizationConfig"]["IAM"] == "ENABLED"
    system = templates.one("AWS::EFS::FileSystem")
    assert system.properties["Encrypted"] is True
    assert system.deletion == ("Retain" if SETTINGS[environment].keep_data else "Delete")
    assert len(templates.of("AWS::EFS::MountTarget")) == 2


def test_ingesters_tasks_have_a_name_and_a_way_in_for_the_vpc_alone(templates, environment):
    domain = templates.one("AWS::ServiceDiscovery::PrivateDnsNamespace").properties
    assert domain["Name"] == f"{names.physical(environment, 'services')}.local"
    named = templates.one("AWS::ServiceDiscovery::Service", Name=containers.INGESTER.name)
    [record] = named.properties["DnsConfig"]["DnsRecords"]
    assert record["Type"] == "A"
    service = templates.one("AWS::ECS::Service").properties
    [registry] = service["ServiceRegistries"]
    assert named.logical_id in registry["RegistryArn"] or registry["RegistryArn"] == (
        f"arn:{containers.INGESTER.name}"
    )
    port = int(_variables(_container(templates)["Environment"])[names.ENV_HEALTH_PORT])
    ways_in = [
        rule
        for group in templates.of("AWS::EC2::SecurityGroup", "ingester")
        for rule in group.properties.get("SecurityGroupIngress", [])
    ]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in ways_in] == [(port, port)]
    assert ways_in[0]["CidrIp"].endswith(".CidrBlock")


def test_ingester_runs_on_arm64(templates):
    task = templates.one("AWS::ECS::TaskDefinition").properties
    assert task["RuntimePlatform"]["CpuArchitecture"] == "ARM64"


def test_cluster_has_no_capacity_providers_so_that_a_new_account_can_make_it(templates):
    assert templates.of("AWS::ECS::ClusterCapacityProviderAssociations") == []


def test_backtests_run_on_spot_first_and_on_demand_second(templates, environment):
    queue = templates.one("AWS::Batch::JobQueue").properties
    kinds = {
        f"arn:{item.logical_id}": item.properties["ComputeResources"]["Type"]
        for item in templates.of("AWS::Batch::ComputeEnvironment")
    }
    order = sorted(queue["ComputeEnvironmentOrder"], key=lambda item: item["Order"])
    assert [kinds[item["ComputeEnvironment"]] for item in order] == ["FARGATE_SPOT", "FARGATE"]
    assert queue["JobQueueName"] == names.physical(environment, containers.JOB_QUEUE)
    for item in templates.of("AWS::Batch::ComputeEnvironment"):
        ceiling = item.properties["ComputeResources"]["MaxvCpus"]
        assert ceiling == SETTINGS[environment].backtest_max_vcpus


def test_backtest_job_is_the_topologys(templates, environment):
    job = containers.BACKTEST
    name = names.physical(environment, job.name)
    made = templates.one("AWS::Batch::JobDefinition", JobDefinitionName=name).properties
    assert made["RetryStrategy"]["Attempts"] == job.attempts
    assert made["Timeout"]["AttemptDurationSeconds"] == job.timeout_s
    container = made["ContainerProperties"]
    needs = {item["Type"]: float(item["Value"]) for item in container["ResourceRequirements"]}
    assert needs == {"VCPU": job.vcpu, "MEMORY": job.memory_mb}
    variables = _variables(container["Environment"])
    assert set(variables) == {names.ENV_ENVIRONMENT, *job.environment}


def test_backtest_variables_are_its_settings_with_what_the_state_machine_adds(templates):
    made = templates.one("AWS::Batch::JobDefinition").properties
    variables = _variables(made["ContainerProperties"]["Environment"]) | {
        names.ENV_BACKTEST_SPEC: "spec",
        names.ENV_RESULT_KEY: "result",
    }
    loaded = settings.load_settings(variables, settings.BacktestSettings)
    assert loaded.artifact_bucket.startswith(names.SYSTEM)


def test_state_machine_is_the_topologys_definition(templates, environment):
    machine = templates.one(
        "AWS::StepFunctions::StateMachine",
        StateMachineName=names.physical(environment, workflows.BACKTESTS.name),
    ).properties
    text = machine["DefinitionString"]
    for name, value in machine["DefinitionSubstitutions"].items():
        text = text.replace(f"${{{name}}}", value)

    def arn(logical):
        return f"arn:{names.physical(environment, logical)}"

    assert json.loads(text) == workflows.backtests_definition(
        prepare_arn=arn(functions.PREPARE.name),
        collect_arn=arn(functions.COLLECT.name),
        job_queue_arn=arn(containers.JOB_QUEUE),
        job_definition_arn=names.physical(environment, containers.BACKTEST.name),
        max_concurrency=SETTINGS[environment].backtest_concurrency,
    )


def test_every_log_group_is_explicit_encrypted_and_limited(templates, environment):
    groups = templates.of("AWS::Logs::LogGroup")
    services = 1 + len(containers.SERVICES) + len(containers.BATCH_JOBS) + len(workflows.WORKFLOWS)
    assert len(groups) == len(functions.FUNCTIONS) + services
    for group in groups:
        expected = SETTINGS[environment].log_retention_days
        assert group.properties["RetentionInDays"] == expected
        assert group.properties["KmsKeyId"].startswith("arn:DataKey")
        assert names.physical(environment, "") in group.properties["LogGroupName"]


def test_every_function_logs_to_its_own_group(templates):
    for function in templates.of("AWS::Lambda::Function", "functions"):
        group = function.properties["LoggingConfig"]["LogGroup"]
        assert group == f"/{function.properties['FunctionName']}"


def test_gateway_endpoints_are_always_there_and_interfaces_where_asked(templates, environment):
    endpoints = templates.of("AWS::EC2::VPCEndpoint")
    kinds = [item.properties["VpcEndpointType"] for item in endpoints]
    assert kinds.count("Gateway") == 2
    assert kinds.count("Interface") == (6 if SETTINGS[environment].interface_endpoints else 0)
    assert len(templates.of("AWS::EC2::NatGateway")) == SETTINGS[environment].nat_gateways


def test_an_environment_with_an_account_asks_for_no_look_up(bare):
    templates, folder = bare
    manifest = json.loads((folder / "assembly-dev" / "manifest.json").read_text())
    assert "missing" not in manifest
    assert "dummy1" not in json.dumps(templates.raw)


def test_environment_refuses_to_go_without_a_way_to_its_feed():
    with pytest.raises(ValueError, match="NAT"):
        dataclasses.replace(DEV, nat_gateways=0)
