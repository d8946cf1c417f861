"""The figures one reads first, what to be careful about, and where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tradelake.market.timeframes import SECOND_NS, TIMEFRAMES
from tradelake.research.report.pipeline import Balance, Tone
from tradelake.research.report.records import ReportData, Run, Stage
from tradelake.research.report.runs import by_sharpe, sharpe_of
from tradelake.research.report.text import count, duration, is_known, number, plural, size
from tradelake.research.report.trials import Trials
from tradelake.research.selection import sharpe_standard_error

_YEAR_NS: Final = 365 * 86_400 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with what it means."""

    label: str
    value: str
    note: str
    tone: Tone = "neutral"


@dataclass(frozen=True, slots=True)
class Caution:
    """Something to be careful about."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A labelled bar, its width in per cent of the longest."""

    label: str
    width: float
    value: str


def tiles(data: ReportData, checked: Balance | None, spread: Trials | None) -> tuple[Tile, ...]:
    """The key figures; those that are not known are left out or shown as a dash."""
    return tuple(_tiles(data, checked, spread))


def _tiles(data: ReportData, checked: Balance | None, spread: Trials | None) -> Iterator[Tile]:
    flows = data.throughput
    sent = checked.total.sent if checked else flows.points_sent if flows else None
    yield Tile("Records sent", count(sent), plural(checked.symbols, "symbol") if checked else "")
    if flows is not None:
        rate = flows.points_durable / flows.seconds if flows.seconds else None
        yield Tile("Durable", count(flows.points_durable), f"{number(rate, 0)} a second")
        yield _latency(flows.p50_ms, flows.p99_ms, flows.budget_p99_ms)
    yield Tile(
        "Rows in the lake",
        count(sum(table.rows for table in data.tables)),
        f"{plural(len(data.tables), 'table')}, {size(sum(t.size_bytes for t in data.tables))}",
    )
    failed = sum(run.status == "failed" for run in data.runs)
    yield Tile(
        "Backtests",
        count(len(data.runs)),
        plural(failed, "failed run") if failed else "none failed",
        "bad" if failed else "neutral",
    )
    best = next(iter(by_sharpe(data.runs)), None)
    note = best.strategy if best and sharpe_of(best) is not None else ""
    if spread is not None:
        note = f"luck alone: {number(spread.expected)}"
    yield Tile("Best Sharpe", number(sharpe_of(best) if best else None), note)
    yield Tile(
        "Total time",
        duration(sum(stage.seconds for stage in data.stages)) if data.stages else "–",
        plural(len(data.stages), "stage"),
    )


def _latency(p50_ms: float | None, p99_ms: float | None, budget_ms: float | None) -> Tile:
    note = f"p50 {number(p50_ms, 1)} ms"
    tone: Tone = "neutral"
    if budget_ms is not None and p99_ms is not None and is_known(p99_ms):
        note += f", budget {number(budget_ms, 0)} ms"
        tone = "good" if p99_ms < budget_ms else "bad"
    value = f"{number(p99_ms, 1)}\u00a0ms" if is_known(p99_ms) else "–"
    return Tile("p99 until durable", value, note, tone)


def cautions(data: ReportData, spread: Trials | None) -> tuple[Caution, ...]:
    """What follows from the figures, then what the caller warns of."""
    derived = (_selection(spread), _span(data.runs), _failures(data.runs))
    given = (Caution("", text) for text in data.warnings)
    return (*(caution for caution in derived if caution is not None), *given)


def _selection(spread: Trials | None) -> Caution | None:
    if spread is None:
        return None
    relation = "above" if spread.beats_luck else "not above"
    return Caution(
        f"The best of {count(spread.count)} trials is biased upwards.",
        f"With no edge at all, the best of N = {count(spread.count)} independent trials whose "
        f"Sharpe ratios scatter like these (standard deviation {number(spread.spread)}) would be "
        f"expected to reach {number(spread.expected)}. The best here reached "
        f"{number(spread.best)}: {relation} what luck gives.",
    )


def _span(runs: Sequence[Run]) -> Caution | None:
    best = next((run for run in by_sharpe(runs) if sharpe_of(run) is not None), None)
    sharpe = sharpe_of(best) if best else None
    if best is None or sharpe is None or len(best.equity) < 2:
        return None
    years = (best.equity[-1][0] - best.equity[0][0]) / _YEAR_NS
    if years <= 0:
        return None
    per_year = _YEAR_NS / TIMEFRAMES.get(best.timeframe, TIMEFRAMES["1d"])
    error = sharpe_standard_error(sharpe, years, per_year)
    return Caution(
        f"{duration_of(years)} of data.",
        f"The best run's annualised Sharpe ratio of {number(sharpe)} has a standard error of about "
        f"{number(error)} (independent returns assumed; autocorrelation and fat tails make it "
        "larger).",
    )


def duration_of(years: float) -> str:
    """A span of data in years or days.

    >>> duration_of(2.5), duration_of(0.1)
    ('2.5 years', '36.5 days')
    """
    return f"{number(years, 1)} years" if years >= 1 else f"{number(years * 365, 1)} days"


def _failures(runs: Sequence[Run]) -> Caution | None:
    failed = sum(run.status == "failed" for run in runs)
    if not failed:
        return None
    return Caution(
        f"{plural(failed, 'run')} failed.",
        "They are in the table with their errors, and in no average, picture or count of trials.",
    )


def stage_bars(stages: Sequence[Stage]) -> tuple[Bar, ...]:
    """A bar for each stage, in the given order."""
    longest = max((stage.seconds for stage in stages), default=0.0) or 1.0
    return tuple(
        Bar(stage.name, round(100 * stage.seconds / longest, 2), duration(stage.seconds))
        for stage in stages
    )
