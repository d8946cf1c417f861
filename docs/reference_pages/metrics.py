"""Metrics and alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reference_pages.markdown import code, table
from tradelake.topology import metrics


def metrics_page() -> str:
    """Return every metric with the field it is made of, and every alarm on one."""
    components = dict.fromkeys(metric.component for metric in metrics.METRICS)
    parts = [
        (
            "# Metrics and alarms\n\nA component writes one JSON line a report; the fields below"
            f" are CloudWatch metrics of that line, in the namespace `{metrics.NAMESPACE}`, under"
            f" the dimensions {code(metrics.DIMENSION_COMPONENT, metrics.DIMENSION_ENVIRONMENT)}."
            " Where a field is an object of numbers, the metric is their sum; a field without a"
            " value is left out.\n\nReceipt is the moment at which the ingester had read a record"
            " from its socket. Stages measure the live lane only, from the receipt of a batch's"
            " first record until the end of their invocation.\n"
        ),
        *_metrics(components),
        (
            "## Alarms on them\n\nAn alarm rings when the statistic of a minute is on the wrong"
            " side of the threshold for so many minutes in a row.\n"
        ),
        table(
            ("alarm", "rings when", "minutes", "no data", "meaning"),
            (
                (
                    code(alarm.name),
                    _condition(alarm),
                    alarm.minutes,
                    "rings" if alarm.silence_rings else "is fine",
                    alarm.doc,
                )
                for alarm in metrics.ALARMS
            ),
        ),
        (
            "CDK adds alarms on what AWS itself measures: errors, throttles and iterator age of"
            " every function, schedules that do not run, refused records of every stream, throttles"
            " of every key table, the number of running ingesters, failed workflows, and records"
            " that a mapping gave up (`infra/monitoring.py`).\n"
        ),
    ]
    return "\n".join(parts)


def _condition(alarm: metrics.Alarm) -> str:
    sign = "≥" if alarm.when == "at_least" else "≤"
    return f"{alarm.statistic} {sign} {alarm.threshold:g} {alarm.metric.unit}"


def _metrics(components: Iterable[str]) -> Iterator[str]:
    for component in components:
        yield f"## `{component}`\n"
        yield table(
            ("metric", "field", "unit", "meaning"),
            (
                (code(metric.name), code(metric.field), metric.unit, metric.doc)
                for metric in metrics.of_component(component)
            ),
        )
