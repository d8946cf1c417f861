"""The report: one self-contained HTML page of a piece of research, from data to trials. Pure.

Nothing is read but the templates of this package.
"""

from __future__ import annotations

from tradelake.research.report.curves import thin
from tradelake.research.report.records import (
    Curve,
    FeatureImportance,
    Fold,
    LakeTable,
    Model,
    Parameter,
    Provenance,
    Reconciliation,
    ReportData,
    Run,
    RunMetrics,
    Stage,
    Throughput,
)
from tradelake.research.report.rendering import render

__all__ = [
    "Curve",
    "FeatureImportance",
    "Fold",
    "LakeTable",
    "Model",
    "Parameter",
    "Provenance",
    "Reconciliation",
    "ReportData",
    "Run",
    "RunMetrics",
    "Stage",
    "Throughput",
    "render",
    "thin",
]
