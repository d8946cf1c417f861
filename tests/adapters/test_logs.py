"""What a component reports is one line, and its metrics are in that line."""

from __future__ import annotations

import json

import msgspec
import pytest

from tradelake.adapters.aws.logs import log_batch
from tradelake.topology import metrics, names
from tradelake.usecases.aggregate import Aggregated
from tradelake.usecases.backfill import Backfilled
from tradelake.usecases.cross_check import Checked
from tradelake.usecases.deliver import Delivered
from tradelake.usecases.rebuild_bars import Maintained, Rebuilt
from tradelake.usecases.transform import Transformed
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


def test_metrics_of_nested_outcomes_are_found_by_their_path(capsys):
    outcome = Maintained(rebuilt=Rebuilt(bars=7), checked=Checked(opened=2, unexplained=1))
    log_batch("rebuild_bars", "request-1", outcome)
    line = json.loads(capsys.readouterr().out)
    assert line["BarsRebuilt"] == [7.0]
    assert (line["CrossSourceMismatches"], line["CrossSourceUnexplained"]) == ([2.0], [1.0])


@pytest.mark.parametrize(
    ("component", "outcome"),
    [
        ("validate", Validated),
        ("aggregate", Aggregated),
        ("deliver", Delivered),
        ("transform", Transformed),
        ("backfill", Backfilled),
        ("rebuild_bars", Maintained),
    ],
)
def test_every_metric_is_a_field_of_what_its_function_reports(component, outcome):
    for metric in metrics.of_component(component):
        kind = outcome
        for name in metric.field.split("."):
            fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
            assert name in fields, metric.field
            kind = fields[name]


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
