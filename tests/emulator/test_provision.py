"""What is provisioned is what topology says."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest

from tradelake.local.provision import provision
from tradelake.topology import containers, functions, names, stores, workflows


def test_provisioning_again_changes_nothing(account):
    assert provision(account.plan) == account.made


def test_tables_have_the_keys_of_the_topology(account):
    for table in stores.KEY_TABLES:
        found = account.client("dynamodb").describe_table(TableName=f"tradelake-test-{table.name}")
        keys = {key["KeyType"]: key["AttributeName"] for key in found["Table"]["KeySchema"]}

        assert (keys["HASH"], keys.get("RANGE")) == (table.partition_key, table.sort_key)


def test_buckets_have_physical_names(account):
    found = {bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]}

    assert {f"tradelake-test-{bucket.name}" for bucket in stores.BUCKETS} <= found


def test_secret_is_replaced_when_the_keys_change(account):
    secrets = account.client("secretsmanager")
    read = lambda: json.loads(  # noqa: E731
        secrets.get_secret_value(SecretId="tradelake-test-alpaca")["SecretString"]
    )
    assert read() == {"key": "local", "secret": "local"}

    provision(dataclasses.replace(account.plan, alpaca_key="a", alpaca_secret="b"))
    assert read() == {"key": "a", "secret": "b"}
    provision(account.plan)


def test_functions_carry_handler_timeout_and_declared_variables(account):
    found = account.client("lambda").get_function_configuration(
        FunctionName="tradelake-test-collect_backtests"
    )

    assert found["Handler"] == "functions/collect_backtests/handler.handler"
    assert found["Timeout"] == functions.COLLECT.timeout_s
    assert set(found["Environment"]["Variables"]) == {
        names.ENV_ENVIRONMENT,
        *functions.COLLECT.environment,
    }


def test_job_definition_runs_the_containers_entry_point(account):
    arn = account.made.job_definitions[containers.BACKTEST.name]
    found = account.client("batch").describe_job_definitions(jobDefinitions=[arn])
    definition = found["jobDefinitions"][0]

    assert definition["containerProperties"]["command"] == [
        sys.executable,
        "-P",
        str(account.plan.project_root / "containers/backtest/main.py"),
    ]
    assert definition["retryStrategy"]["attempts"] == containers.BACKTEST.attempts
    assert definition["timeout"]["attemptDurationSeconds"] == containers.BACKTEST.timeout_s


def test_job_definition_gets_a_revision_when_its_variables_change(account):
    changed = dataclasses.replace(account.plan, variables={names.ENV_WAREHOUSE: "file:///other"})
    after = provision(changed).job_definitions[containers.BACKTEST.name]

    assert after != account.made.job_definitions[containers.BACKTEST.name]
    provision(account.plan)


def walk(node):
    yield node
    for child in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from walk(child)


@pytest.fixture
def definition():
    return workflows.backtests_definition(
        prepare_arn="prepare",
        collect_arn="collect",
        job_queue_arn="queue",
        job_definition_arn="definition",
        max_concurrency=5,
    )


def test_definition_avoids_what_emulators_refuse(definition):
    keys = {key for node in walk(definition) if isinstance(node, dict) for key in node}

    assert not keys & {"ItemBatcher", "QueryLanguage", "Arguments", "Output", "Assign"}


def test_definition_reaches_every_state(definition):
    machines = [node for node in walk(definition) if isinstance(node, dict) and "StartAt" in node]
    assert len(machines) == 2
    for machine in machines:
        targets = {machine["StartAt"]} | {
            node["Next"]
            for node in walk(machine["States"])
            if isinstance(node, dict) and "Next" in node
        }
        own = set(machine["States"])
        assert own <= targets


def test_definition_has_a_path_or_intrinsic_where_a_key_announces_one(definition):
    pairs = [pair for node in walk(definition) if isinstance(node, dict) for pair in node.items()]
    announced = [value for key, value in pairs if key.endswith(".$")]
    literal = [value for key, value in pairs if not key.endswith((".$", "Path"))]

    assert len(announced) > 10
    assert all(value.startswith(("$", "States.Format(")) for value in announced)
    assert not any(isinstance(value, str) and value.startswith("$") for value in literal)
