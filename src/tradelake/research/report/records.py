"""What a report is made of. Everything is passed in; nothing reads a clock or environment.

Times are ``int`` nanoseconds since 1970 UTC, returns and drawdowns are fractions, a Sharpe ratio is
annualised over 365 days. A figure that is not known is None; NaN and infinities are shown the same
way.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Parameter = bool | int | float | str
Curve = tuple[tuple[int, float], ...]
"""(ts_ns, equity in quote units), oldest first."""


class Reconciliation(msgspec.Struct, frozen=True):
    """What became of the records of one channel and symbol.

    ``stored`` counts distinct records, so that sent = stored + quarantined + duplicates +
    unrecoverable + unexplained; ``doubled`` counts rows beyond the first of one identity. Both
    ``unexplained`` and ``doubled`` must be 0.
    """

    channel: str
    symbol: str
    sent: int
    stored: int
    quarantined: int = 0
    duplicates: int = 0
    unrecoverable: int = 0
    unexplained: int = 0
    doubled: int = 0

    @property
    def balances(self) -> bool:
        """Whether the equation holds as stated."""
        explained = self.stored + self.quarantined + self.duplicates + self.unrecoverable
        return self.sent == explained + self.unexplained

    @property
    def is_clean(self) -> bool:
        """Whether every record is accounted for, once."""
        return self.balances and self.unexplained == 0 and self.doubled == 0


class Throughput(msgspec.Struct, frozen=True):
    """What went through the pipeline in ``seconds``; latencies are from receipt to durable."""

    points_sent: int
    points_durable: int
    rows_stored: int
    seconds: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    budget_p99_ms: float | None = None


class Stage(msgspec.Struct, frozen=True):
    """One stage of the work and how long it took."""

    name: str
    seconds: float


class LakeTable(msgspec.Struct, frozen=True):
    """One table of the lake; event times are None when it is empty."""

    name: str
    rows: int
    files: int
    size_bytes: int
    min_event_ns: int | None = None
    max_event_ns: int | None = None


class RunMetrics(msgspec.Struct, frozen=True):
    """Metrics of one backtest as the trial ledger keeps them; fees are in quote units."""

    total_return: float | None = None
    cagr: float | None = None
    volatility: float | None = None
    sharpe: float | None = None
    sortino: float | None = None
    max_drawdown: float | None = None
    turnover: float | None = None
    fees: float | None = None
    trades: int | None = None


class Run(msgspec.Struct, frozen=True):
    """One trial. ``equity`` is for drawing only: at most 500 points, see ``thin``."""

    run_id: str
    strategy: str
    symbol: str
    timeframe: str
    params: dict[str, Parameter]
    status: Literal["succeeded", "failed"] = "succeeded"
    metrics: RunMetrics | None = None
    error: str | None = None
    equity: Curve = ()


class FeatureImportance(msgspec.Struct, frozen=True):
    """A feature and its share of the importance, in any unit that is not negative."""

    name: str
    importance: float


class Fold(msgspec.Struct, frozen=True):
    """One fold of a purged cross-validation: where it was tested and what came out."""

    name: str
    rows: int
    metrics: dict[str, float | None]
    test_start_ns: int | None = None
    test_end_ns: int | None = None


class Model(msgspec.Struct, frozen=True):
    """A trained model, what it was trained on and how it did inside and outside of that."""

    name: str
    feature_set: str
    rows: int
    train_start_ns: int
    train_end_ns: int
    features: tuple[FeatureImportance, ...] = ()
    folds: tuple[Fold, ...] = ()
    out_of_sample: dict[str, float | None] = {}
    out_of_sample_rows: int | None = None
    details: dict[str, str] = {}


class Provenance(msgspec.Struct, frozen=True):
    """What one needs to make the same report again: code, snapshot of each table, seed, more."""

    code_version: str
    snapshots: dict[str, str] = {}
    seed: int | None = None
    details: dict[str, str] = {}


class ReportData(msgspec.Struct, frozen=True, kw_only=True):
    """All of a report.

    ``trials`` is the number of trials the trial ledger knows for this research, where it is more
    than the runs shown: selection bias grows with every trial that was ever made. ``benchmarks`` is
    buy-and-hold equity by symbol.
    """

    title: str
    generated_at_ns: int
    source: str
    provenance: Provenance
    environment: dict[str, str] = {}
    stages: tuple[Stage, ...] = ()
    throughput: Throughput | None = None
    reconciliation: tuple[Reconciliation, ...] = ()
    tables: tuple[LakeTable, ...] = ()
    runs: tuple[Run, ...] = ()
    benchmarks: dict[str, Curve] = {}
    models: tuple[Model, ...] = ()
    trials: int | None = None
    warnings: tuple[str, ...] = ()
