"""What a component reports is one line, and its metrics are in that line."""

from __future__ import annotations

import json

import pytest

from tradelake.adapters.aws.logs import log_batch
from tradelake.topology import metrics, names
from tradelake.usecases.validate import Validated


def test_report_of_a_component_carries_its_metrics_and_its_text_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv(names.ENV_ENVIRONMENT, "test")
    log_batch("validate", "request-1", Validated(records=5, rejected={"crossed": 2, "symbol": 1}))
    line = json.loads(capsys.readouterr().out)
    assert (line["function"], line["request_id"], line["failed_from"]) == (
        "validate",
        "request-1",
        None,
    )
    assert (line["Records"], line["Rejected"], line["Flagged"]) == ([5.0], [3.0], [0.0])
    [published] = line["_aws"]["CloudWatchMetrics"]
    assert published["Namespace"] == metrics.NAMESPACE
    assert (line["component"], line["environment"]) == ("validate", "test")
    assert {metric["Name"] for metric in published["Metrics"]} >= {"Records", "Rejected"}


def test_metric_without_a_value_is_left_out(capsys):
    log_batch("ingester", "", {"received_per_s": 3.0, "recent_ms": {"p99": None}})
    line = json.loads(capsys.readouterr().out)
    assert line["Received"] == [3.0]
    assert "ReceiptToDurableP99" not in line


def test_component_without_metrics_writes_its_fields_alone(capsys):
    log_batch("hot", "request-1", {"bars": 3})
    line = json.loads(capsys.readouterr().out)
    assert line == {"function": "hot", "request_id": "request-1", "bars": 3}


@pytest.mark.parametrize("alarm", metrics.ALARMS, ids=lambda alarm: alarm.name)
def test_alarm_watches_a_metric_that_is_published(alarm):
    assert alarm.metric in metrics.METRICS


def test_metrics_have_names_of_their_own():
    keys = [(metric.component, metric.name) for metric in metrics.METRICS]
    assert len(keys) == len(set(keys))
