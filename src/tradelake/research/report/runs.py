"""The runs: which is best, how one is described, and the rows of their table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tradelake.research.report.records import Run, RunMetrics
from tradelake.research.report.text import count, number, parameter, percent

_NO_METRICS: Final = RunMetrics()


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure and the value it sorts by; what is not known sorts last, whichever way."""

    text: str
    key: float | None
    css: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures, its unit and the order a first click gives."""

    title: str
    unit: str
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A run as the table shows it."""

    run: Run
    params: str
    cells: tuple[Cell, ...]

    @property
    def failed(self) -> bool:
        """Whether the run gave no result."""
        return self.run.status == "failed"


COLUMNS: Final = (
    Column("Sharpe", "365 d"),
    Column("Sortino", "365 d"),
    Column("Return", "%"),
    Column("CAGR", "% a year"),
    Column("Volatility", "% a year", descending=False),
    Column("Max drawdown", "%"),
    Column("Turnover", "× equity", descending=False),
    Column("Fees", "quote units", descending=False),
    Column("Trades", "round trips"),
)


def sharpe_of(run: Run) -> float | None:
    """Sharpe ratio of a run that succeeded, None when there is none or it is not finite."""
    sharpe = run.metrics.sharpe if run.status == "succeeded" and run.metrics else None
    return sharpe if sharpe is not None and math.isfinite(sharpe) else None


def sharpes(runs: Iterable[Run]) -> list[float]:
    """Every Sharpe ratio there is, in the order of the runs."""
    return [sharpe for run in runs if (sharpe := sharpe_of(run)) is not None]


def by_sharpe(runs: Iterable[Run]) -> list[Run]:
    """Runs with the best Sharpe ratio first, those without one last, otherwise in order."""

    def key(run: Run) -> tuple[int, float]:
        sharpe = sharpe_of(run)
        return (1, 0.0) if sharpe is None else (0, -sharpe)

    return sorted(runs, key=key)


def best_runs(runs: Iterable[Run]) -> list[Run]:
    """Best run of every strategy on every symbol that succeeded, best first."""
    best: dict[tuple[str, str], Run] = {}
    for run in by_sharpe(run for run in runs if run.status == "succeeded"):
        best.setdefault((run.strategy, run.symbol), run)
    return list(best.values())


def describe(run: Run) -> str:
    """Timeframe and parameters of a run."""
    return " · ".join(part for part in (run.timeframe, describe_parameters(run)) if part)


def describe_parameters(run: Run) -> str:
    """Parameters of a run, as they were given."""
    return ", ".join(f"{name} {parameter(value)}" for name, value in run.params.items())


def rows(runs: Sequence[Run]) -> tuple[Row, ...]:
    """Rows of the table, best Sharpe ratio first, failed runs last."""
    return tuple(Row(run, describe_parameters(run), _cells(run)) for run in by_sharpe(runs))


def _cells(run: Run) -> tuple[Cell, ...]:
    metrics = (run.metrics if run.status == "succeeded" else None) or _NO_METRICS
    return (
        _cell(metrics.sharpe, number(metrics.sharpe), signed=True),
        _cell(metrics.sortino, number(metrics.sortino), signed=True),
        _cell(metrics.total_return, percent(metrics.total_return), signed=True),
        _cell(metrics.cagr, percent(metrics.cagr, 1), signed=True),
        _cell(metrics.volatility, percent(metrics.volatility, 1)),
        _cell(metrics.max_drawdown, percent(metrics.max_drawdown)),
        _cell(metrics.turnover, number(metrics.turnover, 1)),
        _cell(metrics.fees, number(metrics.fees)),
        _cell(metrics.trades, count(metrics.trades)),
    )


def _cell(value: float | None, text: str, *, signed: bool = False) -> Cell:
    if value is None or not math.isfinite(value):
        return Cell(text, None, "none")
    return Cell(text, value, "negative" if signed and value < 0 else "")
