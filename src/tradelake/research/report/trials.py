"""How the Sharpe ratios of all trials are spread, and what luck alone would have given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, stdev
from typing import Final

from tradelake.research.report.axes import Scale, Tick, nice_step, number_ticks
from tradelake.research.report.records import ReportData
from tradelake.research.report.runs import sharpes
from tradelake.research.report.text import number, plural
from tradelake.research.selection import expected_maximum_normal, expected_maximum_sharpe

HISTOGRAM_HEIGHT: Final = 220
_BINS: Final = 24


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """A bin: position and width in per cent, top and height in pixels."""

    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Trials:
    """The distribution over the trials and the Sharpe ratio luck alone would give the best one."""

    count: int
    with_sharpe: int
    best: float
    centre: float
    spread: float
    expected_normal: float
    expected: float
    bars: tuple[HistogramBar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    zero_at: float
    expected_at: float
    best_at: float

    @property
    def beats_luck(self) -> bool:
        """Whether the best trial is above what luck alone would have given."""
        return self.best > self.expected


def trials(data: ReportData) -> Trials | None:
    """The distribution, or None when fewer than two runs have a Sharpe ratio."""
    known = sharpes(data.runs)
    if len(known) < 2:
        return None
    count = max(data.trials or 0, len(known))
    expected = expected_maximum_sharpe(known, count)
    edges = _edges(known, expected)
    counts = _counts(known, edges)
    across = Scale(edges[0], edges[-1], 0, 100)
    up = Scale(0, max(counts) * 1.12, HISTOGRAM_HEIGHT, 0)
    width = 100 / (len(edges) - 1)
    return Trials(
        count=count,
        with_sharpe=len(known),
        best=max(known),
        centre=median(known),
        spread=stdev(known),
        expected_normal=expected_maximum_normal(count),
        expected=expected,
        bars=tuple(
            HistogramBar(
                x=across(low),
                width=round(width, 2),
                y=up(n),
                height=round(HISTOGRAM_HEIGHT - up(n), 2),
                title=f"{number(low)} to {number(high)}: {plural(n, 'trial')}",
            )
            for low, high, n in zip(edges, edges[1:], counts, strict=False)
        ),
        x_ticks=number_ticks(across, 10),
        y_ticks=tuple(tick for tick in number_ticks(up, 4) if "." not in tick.label),
        zero_at=across(0.0),
        expected_at=across(expected),
        best_at=across(max(known)),
    )


def _edges(known: Sequence[float], expected: float) -> list[float]:
    low, high = min(*known, 0.0), max(*known, 0.0, expected)
    step = nice_step((high - low) or 1.0, _BINS)
    first = math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) + 1
    return [index * step for index in range(first, last + 1)]


def _counts(known: Sequence[float], edges: Sequence[float]) -> list[int]:
    step = edges[1] - edges[0]
    counts = [0] * (len(edges) - 1)
    for sharpe in known:
        counts[min(int((sharpe - edges[0]) / step), len(counts) - 1)] += 1
    return counts
