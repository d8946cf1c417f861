"""Sharpe ratio over the grid of a strategy's two most swept parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tradelake.research.report.records import Parameter, Run
from tradelake.research.report.runs import sharpe_of
from tradelake.research.report.text import DASH, number, parameter, plural

_STEPS: Final = 5
_PANELS: Final = 6
_TITLE_ALL: Final = "Median over all symbols"


@dataclass(frozen=True, slots=True)
class HeatCell:
    """Median Sharpe ratio of the runs at one point of the grid."""

    text: str
    css: str
    title: str


@dataclass(frozen=True, slots=True)
class HeatPanel:
    """One grid: parameter values across and down."""

    title: str
    across: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The grids of one strategy, coloured on one scale of ``-limit .. limit``."""

    strategy: str
    x_name: str
    y_name: str
    folded: tuple[str, ...]
    limit: str
    panels: tuple[HeatPanel, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class _Grid:
    x_name: str
    y_name: str
    limit: float


def heat_maps(runs: Sequence[Run]) -> tuple[HeatMap, ...]:
    """A heat map for each strategy with two or more swept parameters.

    Of more than two, those with the most values span the grid and a cell is the median over the
    others. With more than six panels the first shows the median over all symbols and the next the
    best ones.
    """
    by_strategy: dict[str, list[Run]] = {}
    for run in runs:
        by_strategy.setdefault(run.strategy, []).append(run)
    maps = (_heat_map(strategy, own) for strategy, own in by_strategy.items())
    return tuple(heat_map for heat_map in maps if heat_map is not None)


def swept(runs: Sequence[Run]) -> dict[str, list[Parameter]]:
    """Parameters with two or more values, in order; those with the most values come first."""
    values: dict[str, dict[Parameter, None]] = {}
    for run in runs:
        for name, value in run.params.items():
            values.setdefault(name, {})[value] = None
    several = {name: sorted(seen, key=_order) for name, seen in values.items() if len(seen) > 1}
    return dict(sorted(several.items(), key=lambda item: -len(item[1])))


def _heat_map(strategy: str, runs: Sequence[Run]) -> HeatMap | None:
    values = swept(runs)
    if len(values) < 2:
        return None
    x_name, y_name, *folded = values
    limit = _limit([sharpe for run in runs if (sharpe := sharpe_of(run)) is not None])
    grid = _Grid(x_name, y_name, limit)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(f"{run.symbol} · {run.timeframe}", []).append(run)
    ranked = sorted(groups.items(), key=lambda item: -_best(item[1]))
    left_out = 0
    if len(ranked) > _PANELS:
        left_out = len(ranked) - (_PANELS - 1)
        ranked = [(_TITLE_ALL, list(runs)), *ranked[: _PANELS - 1]]
    return HeatMap(
        strategy=strategy,
        x_name=x_name,
        y_name=y_name,
        folded=tuple(folded),
        limit=number(limit, 1),
        panels=tuple(_panel(title, own, values, grid) for title, own in ranked),
        left_out=left_out,
    )


def _panel(
    title: str, runs: Sequence[Run], values: Mapping[str, Sequence[Parameter]], grid: _Grid
) -> HeatPanel:
    at: dict[tuple[Parameter | None, Parameter | None], list[Run]] = {}
    for run in runs:
        at.setdefault((run.params.get(grid.x_name), run.params.get(grid.y_name)), []).append(run)
    levels = {point: level for point, own in at.items() if (level := _level(own)) is not None}
    best = max(levels, key=lambda point: levels[point], default=None)
    rows = []
    for y in values[grid.y_name]:
        cells = tuple(
            _cell(at.get((x, y), ()), levels.get((x, y)), grid.limit, is_best=(x, y) == best)
            for x in values[grid.x_name]
        )
        rows.append((parameter(y), cells))
    return HeatPanel(title, tuple(parameter(x) for x in values[grid.x_name]), tuple(rows))


def _cell(runs: Sequence[Run], level: float | None, limit: float, *, is_best: bool) -> HeatCell:
    if not runs:
        return HeatCell("", "absent", "not tried")
    if level is None:
        return HeatCell(DASH, "failed", f"{plural(len(runs), 'run')}, none with a Sharpe ratio")
    step = max(-_STEPS, min(_STEPS, round(level / limit * _STEPS)))
    css = f"h{'n' if step < 0 else 'p' if step else ''}{abs(step)}"
    return HeatCell(
        number(level),
        f"{css} best" if is_best else css,
        f"Sharpe {number(level)}, {plural(len(runs), 'run')}",
    )


def _level(runs: Sequence[Run]) -> float | None:
    known = [sharpe for run in runs if (sharpe := sharpe_of(run)) is not None]
    return median(known) if known else None


def _best(runs: Sequence[Run]) -> float:
    return max((s for run in runs if (s := sharpe_of(run)) is not None), default=-math.inf)


def _limit(known: Sequence[float]) -> float:
    highest = max((abs(sharpe) for sharpe in known), default=0.0)
    return math.ceil(highest * 2) / 2 or 1.0


def _order(value: Parameter) -> tuple[int, float, str]:
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), "")
