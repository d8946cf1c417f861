"""Equity against buy-and-hold and the drawdown beneath it, one figure a symbol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from tradelake.research.report.axes import Scale, Tick, number_ticks, percent_ticks, time_ticks
from tradelake.research.report.records import Curve, ReportData, Run
from tradelake.research.report.runs import best_runs, describe, sharpe_of
from tradelake.research.report.text import is_known, moment, number, percent

POINTS: Final = 500
GROWTH_HEIGHT: Final = 280
DRAWDOWN_HEIGHT: Final = 120
_SYMBOLS: Final = 12
_SERIES: Final = 6


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a figure and its drawdown, as SVG paths 1000 units wide."""

    label: str
    detail: str
    css: str
    growth: str
    drawdown: str
    final: str
    sharpe: str


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """All that the template draws for one symbol; ``payload`` is what the crosshair reads."""

    symbol: str
    series: tuple[Series, ...]
    growth_ticks: tuple[Tick, ...]
    drawdown_ticks: tuple[Tick, ...]
    time_ticks: tuple[Tick, ...]
    base: float
    period: str
    summary: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CurveSection:
    """Figures of the symbols with the best Sharpe ratios; ``left_out`` counts the others."""

    figures: tuple[CurveFigure, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    detail: str
    css: str
    sharpe: str
    times: tuple[int, ...]
    growth: tuple[float, ...]

    def drawdown(self) -> list[float]:
        return [g / peak - 1 for g, peak in zip(self.growth, _peaks(self.growth), strict=True)]


def thin(curve: Sequence[tuple[int, float]], limit: int = POINTS) -> Curve:
    """At most ``limit`` points of a curve that keep its ends and its extremes.

    The inner points are cut into equal blocks and each block keeps its lowest and its highest
    point, so the deepest drawdown seen in the picture is that of the data, but for points that
    share a block. A point that is not finite is dropped.

    Raises
    ------
    ValueError
        ``limit`` is less than 4.

    >>> thin([(0, 1.0), (1, 5.0), (2, 2.0), (3, 0.5), (4, 3.0), (5, 1.0)], limit=4)
    ((0, 1.0), (1, 5.0), (3, 0.5), (5, 1.0))
    """
    if limit < 4:
        raise ValueError(f"expected a limit of at least 4 points; found {limit}")
    points = [(ts, value) for ts, value in curve if math.isfinite(value)]
    if len(points) <= limit:
        return tuple(points)
    inner = range(1, len(points) - 1)
    blocks = (limit - 2) // 2
    kept = {0, len(points) - 1}
    for block in range(blocks):
        part = inner[len(inner) * block // blocks : len(inner) * (block + 1) // blocks]
        kept |= {
            min(part, key=lambda i: points[i][1]),
            max(part, key=lambda i: points[i][1]),
        }
    return tuple(points[index] for index in sorted(kept))


def curve_section(data: ReportData) -> CurveSection:
    """Figures for the (at most twelve) symbols with the best Sharpe ratios, best first."""
    by_symbol: dict[str, list[Run]] = {}
    for run in best_runs([run for run in data.runs if _line_points(run.equity)]):
        by_symbol.setdefault(run.symbol, []).append(run)
    colours = _colours(data.runs)
    figures = [
        _figure(symbol, runs[:_SERIES], colours, data.benchmarks.get(symbol, ()))
        for symbol, runs in list(by_symbol.items())[:_SYMBOLS]
    ]
    return CurveSection(tuple(figures), len(by_symbol) - len(figures))


def sparkline(curve: Curve, points: int = 40) -> str:
    """SVG path of an equity curve, 100 by 20, or nothing when there is no curve."""
    usable = _line_points(thin(curve, points))
    if not usable:
        return ""
    values = [value for _, value in usable]
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or 1.0
    scale = Scale(low - margin, high + margin, 20, 0)
    first, last = usable[0][0], usable[-1][0]
    return _path([(100 * (ts - first) / (last - first), scale(v)) for ts, v in usable])


def _line_points(curve: Curve) -> Curve:
    points = tuple((ts, value) for ts, value in curve if math.isfinite(value))
    drawable = len(points) > 1 and points[0][1] > 0 and points[-1][0] > points[0][0]
    return points if drawable else ()


def _colours(runs: Sequence[Run]) -> dict[str, str]:
    """Colour class of each strategy, the same in every figure; none when they are too many."""
    strategies = dict.fromkeys(run.strategy for run in runs)
    if len(strategies) > _SERIES:
        return {}
    return {strategy: f"s{index}" for index, strategy in enumerate(strategies)}


def _figure(
    symbol: str, runs: Sequence[Run], colours: Mapping[str, str], benchmark: Curve
) -> CurveFigure:
    lines = [
        _line(
            run.strategy,
            describe(run),
            colours.get(run.strategy, f"s{index}"),
            run.equity,
            sharpe_of(run),
        )
        for index, run in enumerate(runs)
    ]
    if _line_points(benchmark):
        lines.append(_line("Buy and hold", symbol, "bench", benchmark, None))
    low_ns = min(line.times[0] for line in lines)
    high_ns = max(line.times[-1] for line in lines)
    growth = _padded(
        min(min(line.growth) for line in lines),
        max(max(line.growth) for line in lines),
        GROWTH_HEIGHT,
    )
    deepest = min(min(line.drawdown()) for line in lines)
    drawdown = Scale(min(deepest * 1.06, -1e-4), 0.0, DRAWDOWN_HEIGHT, 0)
    return CurveFigure(
        symbol=symbol,
        series=tuple(_series(line, low_ns, high_ns, growth, drawdown) for line in lines),
        growth_ticks=number_ticks(growth, 6),
        drawdown_ticks=percent_ticks(drawdown, 4),
        time_ticks=time_ticks(low_ns, high_ns),
        base=growth(1.0),
        period=f"{moment(low_ns, '%Y-%m-%d %H:%M')} to {moment(high_ns, '%Y-%m-%d %H:%M')} UTC",
        summary="; ".join(f"{line.label} {percent(line.growth[-1] - 1)}" for line in lines),
        payload=_payload(lines, low_ns, high_ns),
    )


def _line(label: str, detail: str, css: str, equity: Curve, sharpe: float | None) -> _Line:
    points = _line_points(thin(equity))
    start = points[0][1]
    return _Line(
        label=label,
        detail=detail,
        css=css,
        sharpe=f"Sharpe {number(sharpe)}" if is_known(sharpe) else "",
        times=tuple(ts for ts, _ in points),
        growth=tuple(value / start for _, value in points),
    )


def _series(line: _Line, low_ns: int, high_ns: int, growth: Scale, drawdown: Scale) -> Series:
    along = [1000 * (ts - low_ns) / (high_ns - low_ns) for ts in line.times]
    return Series(
        label=line.label,
        detail=line.detail,
        css=line.css,
        growth=_path([(x, growth(v)) for x, v in zip(along, line.growth, strict=True)]),
        drawdown=_path([(x, drawdown(v)) for x, v in zip(along, line.drawdown(), strict=True)]),
        final=percent(line.growth[-1] - 1),
        sharpe=line.sharpe,
    )


def _padded(low: float, high: float, height: int) -> Scale:
    margin = (max(high, 1.0) - min(low, 1.0)) * 0.06 or 0.01
    return Scale(min(low, 1.0) - margin, max(high, 1.0) + margin, height, 0)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " ".join(f"{x:.4g},{y:.4g}" for x, y in points)


def _peaks(values: Sequence[float]) -> list[float]:
    return list(accumulate(values, max))


def _payload(lines: Sequence[_Line], low_ns: int, high_ns: int) -> dict[str, Any]:
    return {
        "start": low_ns // 1_000_000,
        "end": high_ns // 1_000_000,
        "series": [
            {
                "label": line.label,
                "css": line.css,
                "offset": [(ts - low_ns) // 1_000_000 for ts in line.times],
                "growth": [round(value, 5) for value in line.growth],
            }
            for line in lines
        ],
    }
