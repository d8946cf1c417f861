"""Alarms cover the path, and reach somebody."""

from __future__ import annotations

import pytest

from tradelake.topology import containers, functions, metrics, names, stores, streams
from tradelake.topology.schedules import SCHEDULES


def _alarm(templates, environment, name):
    physical = names.physical(environment, name)
    return templates.one("AWS::CloudWatch::Alarm", AlarmName=physical).properties


@pytest.mark.parametrize("function", functions.FUNCTIONS, ids=lambda item: item.name)
@pytest.mark.parametrize(("kind", "metric"), [("errors", "Errors"), ("throttles", "Throttles")])
def test_function_alarms_on_errors_and_throttles(templates, environment, function, kind, metric):
    alarm = _alarm(templates, environment, f"{function.name}-{kind}")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", metric)
    (dimension,) = alarm["Dimensions"]
    assert dimension["Value"] == names.physical(environment, function.name)


@pytest.mark.parametrize(
    "function", [item for item in functions.FUNCTIONS if item.triggers], ids=lambda item: item.name
)
def test_function_behind_its_stream_alarms_after_more_than_its_windows(
    templates, environment, function
):
    alarm = _alarm(templates, environment, f"{function.name}-behind")
    assert alarm["MetricName"] == "IteratorAge"
    longest_ms = 1000 * max(trigger.window_s for trigger in function.triggers)
    assert alarm["Threshold"] > longest_ms


@pytest.mark.parametrize("stream", streams.STREAMS, ids=lambda item: item.name)
def test_stream_alarms_when_it_refuses_records(templates, environment, stream):
    alarm = _alarm(templates, environment, f"{stream.name}-stream-throttles")
    assert alarm["MetricName"] == "WriteProvisionedThroughputExceeded"


def test_ingester_alarms_when_no_task_runs_and_when_nothing_is_known(templates, environment):
    alarm = _alarm(templates, environment, f"{containers.INGESTER.name}-down")
    assert alarm["MetricName"] == "RunningTaskCount"
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    named = {item["Name"]: item["Value"] for item in alarm["Dimensions"]}
    service = templates.one("AWS::ECS::Service").properties
    assert named == {
        "ClusterName": templates.one("AWS::ECS::Cluster").properties["ClusterName"],
        "ServiceName": service["ServiceName"],
    }


@pytest.mark.parametrize("declared", metrics.ALARMS, ids=lambda item: item.name)
def test_declared_alarm_watches_what_the_component_publishes(templates, environment, declared):
    alarm = _alarm(templates, environment, declared.name)
    assert (alarm["Namespace"], alarm["MetricName"]) == (metrics.NAMESPACE, declared.metric.name)
    assert {item["Name"]: item["Value"] for item in alarm["Dimensions"]} == {
        metrics.DIMENSION_COMPONENT: declared.metric.component,
        metrics.DIMENSION_ENVIRONMENT: environment,
    }
    assert alarm["Threshold"] == declared.threshold
    expected = "breaching" if declared.silence_rings else "notBreaching"
    assert alarm["TreatMissingData"] == expected


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda item: item.name)
def test_schedule_alarms_when_its_function_is_not_invoked(templates, environment, schedule):
    alarm = _alarm(templates, environment, f"{schedule.name}-silent")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Invocations")
    (dimension,) = alarm["Dimensions"]
    assert dimension["Value"] == names.physical(environment, schedule.function.name)
    assert alarm["Period"] >= 2 * schedule.every_s
    assert alarm["TreatMissingData"] == "breaching"


def test_silent_feed_alarms(templates, environment):
    alarm = _alarm(templates, environment, f"{streams.TICKS.name}-silent")
    assert alarm["MetricName"] == "IncomingRecords"
    assert alarm["TreatMissingData"] == "breaching"


def test_what_a_mapping_gave_up_on_is_told_and_alarms(templates, environment):
    rule = templates.one("AWS::Events::Rule", Name=names.physical(environment, "given-up"))
    (watched,) = rule.properties["EventPattern"]["detail"]["bucket"]["name"]
    bucket = templates.one("AWS::S3::Bucket", BucketName=watched).properties
    assert watched.startswith(names.physical(environment, stores.FAILURE_BUCKET.name))
    events = bucket["NotificationConfiguration"]["EventBridgeConfiguration"]
    assert events["EventBridgeEnabled"] is True
    (target,) = rule.properties["Targets"]
    assert target["Arn"] == names.physical(environment, "alarms")
    alarm = _alarm(templates, environment, "given-up")
    (dimension,) = alarm["Dimensions"]
    assert dimension["Value"] == rule.properties["Name"]


def test_every_alarm_goes_to_the_encrypted_topic(templates, environment):
    topic = templates.one("AWS::SNS::Topic").properties
    assert topic["TopicName"] == names.physical(environment, "alarms")
    assert topic["KmsMasterKeyId"].startswith("arn:DataKey")
    for alarm in templates.of("AWS::CloudWatch::Alarm"):
        assert alarm.properties["AlarmActions"] == [topic["TopicName"]]


def test_alarms_reach_the_address_that_the_environment_names(bare):
    templates, _ = bare
    subscription = templates.one("AWS::SNS::Subscription").properties
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "desk@example.org")


def test_an_environment_without_ingester_does_not_alarm_on_its_absence(bare):
    templates, _ = bare
    alarms = {item.properties["AlarmName"] for item in templates.of("AWS::CloudWatch::Alarm")}
    assert names.physical("dev", f"{containers.INGESTER.name}-down") not in alarms
    assert names.physical("dev", f"{streams.TICKS.name}-silent") not in alarms
