"""Functions, their variables and their event-source mappings are those of the topology."""

from __future__ import annotations

import pytest

from tradelake import settings
from tradelake.topology import functions, names, stores

TRIGGERS = [
    pytest.param(function, trigger, id=f"{function.name}-{trigger.stream.name}")
    for function in functions.FUNCTIONS
    for trigger in function.triggers
]
SETTINGS_OF = {
    functions.VALIDATE: settings.ValidateSettings,
    functions.TRANSFORM: settings.TransformSettings,
    functions.AGGREGATE: settings.AggregateSettings,
    functions.DELIVER: settings.LakeSettings,
    functions.HOT: settings.HotSettings,
    functions.PREPARE: settings.SweepSettings,
    functions.COLLECT: settings.SweepSettings,
    functions.BACKFILL: settings.BackfillSettings,
    functions.REBUILD: settings.RebuildSettings,
}


def _function(templates, environment, function):
    name = names.physical(environment, function.name)
    return templates.one("AWS::Lambda::Function", FunctionName=name).properties


@pytest.mark.parametrize("function", functions.FUNCTIONS, ids=lambda item: item.name)
def test_function_has_the_topologys_size_on_arm64(templates, environment, function):
    made = _function(templates, environment, function)
    assert made["MemorySize"] == function.memory_mb
    assert made["Timeout"] == function.timeout_s
    assert made["Architectures"] == ["arm64"]
    assert made["Description"] == function.doc


@pytest.mark.parametrize("function", functions.FUNCTIONS, ids=lambda item: item.name)
def test_function_is_packaged_as_the_topology_says(templates, environment, function):
    made = _function(templates, environment, function)
    handler = f"functions.{function.folder}.handler.handler"
    if function.package == "light":
        assert made["Handler"] == handler
        assert made["Runtime"] == "python3.13"
    else:
        assert made["PackageType"] == "Image"
        assert made["ImageConfig"]["Command"] == [handler]


@pytest.mark.parametrize("function", functions.FUNCTIONS, ids=lambda item: item.name)
def test_function_gets_exactly_the_variables_it_names(templates, environment, function):
    variables = _function(templates, environment, function)["Environment"]["Variables"]
    assert set(variables) == {names.ENV_ENVIRONMENT, *function.environment}
    assert variables[names.ENV_ENVIRONMENT] == environment


@pytest.mark.parametrize("function", functions.FUNCTIONS, ids=lambda item: item.name)
def test_functions_variables_are_its_settings(templates, environment, function):
    variables = _function(templates, environment, function)["Environment"]["Variables"]
    loaded = settings.load_settings(variables, SETTINGS_OF[function])
    assert loaded.environment == environment


@pytest.mark.parametrize("package", ["light", "lake", "feed"])
def test_functions_of_a_package_share_one_zip_or_image(stages, package):
    made = [
        _function(templates, environment, function)["Code"]
        for environment, templates in stages.items()
        for function in functions.FUNCTIONS
        if function.package == package
    ]
    key = "S3Key" if package == "light" else "ImageUri"
    assert len({str(code[key]) for code in made}) == 1


def test_every_function_of_an_environment_is_in_the_topology(templates, environment):
    made = {
        item.properties["FunctionName"]
        for item in templates.of("AWS::Lambda::Function", "functions")
    }
    assert made == {names.physical(environment, item.name) for item in functions.FUNCTIONS}


@pytest.mark.parametrize(("function", "trigger"), TRIGGERS)
def test_mapping_has_the_triggers_settings(templates, environment, function, trigger):
    mapping = _mapping(templates, environment, function, trigger)
    assert mapping["BatchSize"] == trigger.batch_size
    assert mapping["MaximumBatchingWindowInSeconds"] == trigger.window_s
    assert mapping["ParallelizationFactor"] == trigger.parallelization
    assert mapping["BisectBatchOnFunctionError"] is trigger.bisect
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"


@pytest.mark.parametrize(("function", "trigger"), TRIGGERS)
def test_mapping_gives_records_up_only_before_they_expire(
    templates, environment, function, trigger
):
    mapping = _mapping(templates, environment, function, trigger)
    retention_s = trigger.stream.retention_hours * 3600
    assert mapping["MaximumRetryAttempts"] == trigger.retries == -1
    assert 0.9 * retention_s < mapping["MaximumRecordAgeInSeconds"] < retention_s
    target = mapping["DestinationConfig"]["OnFailure"]["Destination"]
    assert target.startswith(f"arn:{names.physical(environment, stores.FAILURE_BUCKET.name)}-")


@pytest.mark.parametrize("environment_of_consumers", ["dev", "prod"])
def test_a_fan_out_consumer_exists_exactly_where_a_trigger_asks(stages, environment_of_consumers):
    made = {
        (item.properties["StreamARN"], item.properties["ConsumerName"])
        for item in stages[environment_of_consumers].of("AWS::Kinesis::StreamConsumer")
    }
    assert made == {
        (
            f"arn:{names.physical(environment_of_consumers, trigger.stream.name)}",
            names.physical(environment_of_consumers, function.name),
        )
        for function in functions.FUNCTIONS
        for trigger in function.triggers
        if trigger.enhanced_fan_out
    }


def test_an_environment_without_hot_store_has_no_hot_function_nor_database(bare):
    templates, _ = bare
    made = {item.properties.get("FunctionName") for item in templates.of("AWS::Lambda::Function")}
    assert names.physical("dev", functions.HOT.name) not in made
    assert templates.of("AWS::Timestream::InfluxDBInstance") == []
    assert len(templates.of("AWS::Lambda::EventSourceMapping")) == len(
        [
            trigger
            for function in functions.FUNCTIONS
            for trigger in function.triggers
            if function not in {functions.HOT, functions.TRANSFORM}
        ]
    )


def test_an_environment_without_transforms_has_no_function_nor_alarm_for_them(bare):
    templates, _ = bare
    name = names.physical("dev", functions.TRANSFORM.name)
    made = {item.properties.get("FunctionName") for item in templates.of("AWS::Lambda::Function")}
    alarms = [item.properties["AlarmName"] for item in templates.of("AWS::CloudWatch::Alarm")]
    assert name not in made
    assert [alarm for alarm in alarms if alarm.startswith(name)] == []


def test_hot_function_reaches_the_hot_store_and_nothing_else_is_in_the_vpc(templates, environment):
    inside = {
        item.properties["FunctionName"]
        for item in templates.of("AWS::Lambda::Function", "functions")
        if "VpcConfig" in item.properties
    }
    assert inside == {names.physical(environment, functions.HOT.name)}
    database = templates.one("AWS::Timestream::InfluxDBInstance").properties
    assert database["PubliclyAccessible"] is False
    url = _function(templates, environment, functions.HOT)["Environment"]["Variables"]
    assert url[names.ENV_HOT_STORE] == (
        f"influxdb://{database['Name']}.Endpoint:8086/{database['Organization']}"
        f"/{database['Bucket']}?secret={names.physical(environment, 'hot-store')}"
    )


def test_hot_stores_password_is_a_reference_and_never_a_value(templates):
    password = templates.one("AWS::Timestream::InfluxDBInstance").properties["Password"]
    assert password.startswith("{{resolve:secretsmanager:")


def _mapping(templates, environment, function, trigger):
    stream = names.physical(environment, trigger.stream.name)
    consumer = names.physical(environment, function.name)
    consumers = [
        item.logical_id
        for item in templates.of("AWS::Kinesis::StreamConsumer")
        if item.properties["ConsumerName"] == consumer
        and item.properties["StreamARN"] == f"arn:{stream}"
    ]
    source = f"arn:{consumer}" if consumers else f"arn:{stream}"
    found = [
        item.properties
        for item in templates.of("AWS::Lambda::EventSourceMapping")
        if item.properties["FunctionName"] == f"arn:{consumer}"
        and item.properties["EventSourceArn"] == source
    ]
    assert len(found) == 1
    assert bool(consumers) is trigger.enhanced_fan_out
    return found[0]
