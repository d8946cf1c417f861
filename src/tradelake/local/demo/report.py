"""Turns what the demo found into the report."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from tradelake.adapters.system import code_version
from tradelake.lake.reader import TableFacts
from tradelake.local.demo.outcome import Outcome
from tradelake.local.demo.studies import SEED, TIMEFRAME
from tradelake.research import report
from tradelake.usecases.sweeps import RunResult
from tradelake.usecases.train import RegisteredModel

BUDGET_P99_MS: Final = 50.0
"""The user's floor for receipt to durable."""
_BENCHMARK: Final = "buy_and_hold"
_METRICS: Final = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "turnover",
    "fees",
)
_PACKAGES: Final = ("msgspec", "numpy", "pyarrow", "pyiceberg", "duckdb", "xgboost", "moto")


def build_report(outcome: Outcome, facts: Sequence[TableFacts], stages: Mapping[str, float]) -> str:
    """Return the report of a finished run as one HTML page."""
    study = outcome.study
    assert study is not None
    data = report.ReportData(
        title="tradelake demo",
        generated_at_ns=time.time_ns(),
        source=outcome.description,
        provenance=report.Provenance(
            code_version=code_version(),
            snapshots={fact.name: fact.snapshot_id for fact in facts if fact.snapshot_id},
            seed=SEED,
            details={"model": f"{study.model.name} {study.model.version}"},
        ),
        environment={
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            **{name: version(name) for name in _PACKAGES},
        },
        stages=tuple(report.Stage(name, seconds) for name, seconds in stages.items() if seconds),
        throughput=_throughput(outcome),
        reconciliation=tuple(
            report.Reconciliation(
                channel=line.channel,
                symbol=line.symbol,
                sent=line.sent,
                stored=line.stored,
                quarantined=line.quarantined,
                duplicates=line.duplicates,
                unrecoverable=line.unrecoverable,
                unexplained=line.unexplained,
                doubled=line.doubled,
            )
            for line in outcome.lines
        ),
        tables=tuple(
            report.LakeTable(
                fact.name, fact.rows, fact.files, fact.bytes, fact.first_ns, fact.last_ns
            )
            for fact in facts
        ),
        runs=tuple(_run(result) for result in study.results),
        benchmarks={
            result.manifest.spec.symbol: result.equity
            for result in study.results
            if result.manifest.spec.strategy == _BENCHMARK
        },
        models=(_model(study.model),),
        trials=study.count,
        warnings=_warnings(),
    )
    return report.render(data)


def _throughput(outcome: Outcome) -> report.Throughput:
    latency = outcome.health.latency_ms
    return report.Throughput(
        points_sent=sum(line.sent for line in outcome.lines),
        points_durable=outcome.durable,
        rows_stored=sum(line.stored for line in outcome.lines),
        seconds=outcome.stream_s + outcome.history_s,
        p50_ms=latency.get("p50"),
        p99_ms=latency.get("p99"),
        budget_p99_ms=BUDGET_P99_MS,
    )


def _run(result: RunResult) -> report.Run:
    spec = result.manifest.spec
    found = result.metrics
    metrics = None
    if found is not None:
        trades = found.get("trades")
        metrics = report.RunMetrics(
            **{name: found.get(name) for name in _METRICS},
            trades=None if trades is None else int(trades),
        )
    return report.Run(
        run_id=spec.run_id,
        strategy=spec.strategy,
        symbol=spec.symbol,
        timeframe=spec.timeframe,
        params=dict(spec.params),
        status="succeeded" if result.status == "succeeded" else "failed",
        metrics=metrics,
        error=result.error,
        equity=result.equity,
    )


def _model(model: RegisteredModel) -> report.Model:
    meta = model.metadata
    held_out = {
        name.removeprefix("test_"): value
        for name, value in meta.metrics.items()
        if name.startswith("test_")
    }
    cross = {
        name.removeprefix("cv_"): value
        for name, value in meta.metrics.items()
        if name.startswith("cv_")
    }
    return report.Model(
        name=f"{model.name} {model.version}",
        feature_set=meta.feature_set,
        rows=meta.trained_rows,
        train_start_ns=meta.train_start_ns,
        train_end_ns=meta.train_end_ns,
        folds=(report.Fold("purged cross-validation, mean", meta.trained_rows, dict(cross)),),
        out_of_sample=dict(held_out),
        details={
            "label": meta.label,
            "horizon": f"{meta.horizon} bars of {meta.timeframe}",
            "symbols": ", ".join(meta.symbols),
            "data snapshot": meta.data_snapshot,
        },
    )


def _warnings() -> tuple[str, ...]:
    fills = (
        f"Fills are at the next {TIMEFRAME} bar's open with a fixed fee and slippage; order size "
        "is not limited by volume."
    )
    return (fills,)
