"""One JSON line a report on standard output, where Lambda and Fargate collect it.

Fields that :mod:`tradelake.topology.metrics` names become CloudWatch metrics of the same line
(embedded metric format): no call to CloudWatch is on anybody's path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec
from aws_lambda_powertools.metrics import EphemeralMetrics

from tradelake.topology import names
from tradelake.topology.metrics import (
    DIMENSION_COMPONENT,
    DIMENSION_ENVIRONMENT,
    NAMESPACE,
    of_component,
)


def log_batch(function: str, request_id: str, fields: Any) -> None:  # noqa: ANN401 - any struct or mapping
    """Write one line: the component's name, the correlation id, the fields and the metrics.

    Parameters
    ----------
    function : str
        Logical name of the component.
    request_id : str
        Lambda's request id, empty where there is none.
    fields : msgspec.Struct or mapping
        Counts. Never secrets.
    """
    values: dict[str, Any] = msgspec.to_builtins(fields)
    line = {"function": function, "request_id": request_id, **values}
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    measured = False
    for metric in of_component(function):
        value = _number(values, metric.field)
        if value is not None:
            metrics.add_metric(metric.name, metric.unit, value)
            measured = True
    if not measured:
        print(msgspec.json.encode(line).decode(), flush=True)  # noqa: T201 - where lines go
        return
    metrics.add_dimension(DIMENSION_COMPONENT, function)
    metrics.add_dimension(DIMENSION_ENVIRONMENT, os.environ.get(names.ENV_ENVIRONMENT) or "unknown")
    for name, value in line.items():
        metrics.add_metadata(name, value)
    metrics.flush_metrics()


def _number(values: Mapping[str, Any], path: str) -> float | None:
    """Return the number at a path; the sum where an object of numbers is there; else None."""
    found: Any = values
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        found = sum(value for value in found.values() if isinstance(value, int | float))
    if isinstance(found, bool):
        return float(found)
    return found if isinstance(found, int | float) else None
