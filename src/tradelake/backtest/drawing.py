"""A picture of an account: equity above, drawdown beneath, as one SVG that needs nothing else."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from tradelake.market.arrays import FloatArray, IntArray

WIDTH: Final = 900
_LEFT: Final = 76
_GROWTH: Final = (28, 250)
_DRAWDOWN: Final = (282, 366)
_HEIGHT: Final = 396
_POINTS: Final = 800
_LINE: Final = "#2563a8"
_LOSS: Final = "#b3423a"
_GRID: Final = "#8888"


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG that notebooks show.

    Attributes
    ----------
    svg : str
        The whole of it.
    """

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg


def draw(title: str, ts_ns: IntArray, equity: FloatArray, start: float) -> Picture:
    """Return the picture of an equity curve.

    Parameters
    ----------
    title : str
        Above it; escaped.
    ts_ns : IntArray, shape (n,)
        Instants, ns since 1970 UTC, increasing; n >= 1.
    equity : FloatArray, shape (n,)
        Quote units. Where points are too many, the lowest and the highest of each part stay.
    start : float
        Equity before the first instant: counts as a peak.
    """
    peaks = np.maximum(np.maximum.accumulate(equity), start)
    falls = equity / peaks - 1.0
    kept = _extremes(equity)
    along = _LEFT + (WIDTH - _LEFT - 12) * _share(ts_ns[kept].astype(np.float64))
    low, high = float(equity.min()), float(equity.max())
    deepest = min(float(falls.min()), -1e-4)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_HEIGHT}" width="100%" '
            'role="img" font-family="sans-serif" font-size="12" fill="currentColor">'
        ),
        f"<title>{escape(title)}</title>",
        f'<text x="{_LEFT}" y="16" font-weight="bold">{escape(title)}</text>',
        *_axis(_GROWTH, low, high, "{:,.6g}"),
        *_axis(_DRAWDOWN, deepest * 100.0, 0.0, "{:.4g} %"),
        _path(along, _heights(equity[kept], low, high, _GROWTH), _LINE),
        _path(along, _heights(falls[kept], deepest, 0.0, _DRAWDOWN), _LOSS),
        f'<text x="{_LEFT}" y="{_DRAWDOWN[0] - 6}" opacity="0.7">drawdown</text>',
        *_dates(ts_ns),
        "</svg>",
    ]
    return Picture("".join(parts))


def _extremes(values: FloatArray) -> IntArray:
    """Places of the lowest and the highest value of each part, first and last among them."""
    size = len(values)
    if size <= _POINTS:
        return np.arange(size)
    edges = np.linspace(0, size, _POINTS // 2 + 1).astype(np.int64)
    kept = {0, size - 1}
    for first, last in itertools.pairwise(edges):
        part = values[first:last]
        kept |= {int(first + np.argmin(part)), int(first + np.argmax(part))}
    return np.array(sorted(kept))


def _share(values: FloatArray) -> FloatArray:
    span = float(values[-1] - values[0])
    return (values - values[0]) / span if span > 0.0 else np.zeros(len(values))


def _heights(values: FloatArray, low: float, high: float, box: tuple[int, int]) -> FloatArray:
    span = high - low if high > low else 1.0
    heights: FloatArray = box[1] - (values - low) / span * (box[1] - box[0])
    return heights


def _path(along: FloatArray, heights: FloatArray, colour: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(along, heights, strict=True))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>'


def _axis(box: tuple[int, int], low: float, high: float, form: str) -> list[str]:
    lines = []
    for value in np.linspace(low, high, 4 if box is _GROWTH else 3):
        y = float(_heights(np.array([value]), low, high, box)[0])
        lines.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{form.format(value)}</text>'
        )
    return lines


def _dates(ts_ns: IntArray) -> list[str]:
    texts = []
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        ts = int(ts_ns[0] + share * (int(ts_ns[-1]) - int(ts_ns[0])))
        date = str(np.datetime64(ts, "ns").astype("datetime64[m]")).replace("T", " ")
        x = _LEFT + share * (WIDTH - _LEFT - 12)
        texts.append(f'<text x="{x:.0f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{date}</text>')
    return texts
