"""From what enters and what leaves to targets."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.market.arrays import FloatArray

BoolArray: TypeAlias = npt.NDArray[np.bool_]

TIE: Final = 1e-9
"""Averages closer than this fraction of the price are equal.

Rounding of flat prices must not look like a cross.
"""


def turns(up: BoolArray, down: BoolArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int8]]:
    """Return the bars at which the side changes, and the side (1 up, -1 down) from there on.

    A bar that is neither keeps the side before it. Only the few bars that change are touched, which
    is what makes this several times quicker than carrying values forward.
    """
    side = up.astype(np.int8) - down.astype(np.int8)
    points = np.flatnonzero(np.concatenate(([True], side[1:] != side[:-1]))[: side.size])
    points = points[side[points] != 0]
    sides = side[points]
    kept = np.concatenate(([True], sides[1:] != sides[:-1]))[: sides.size]
    return points[kept], sides[kept]


def staircase(size: int, points: npt.NDArray[np.intp], targets: FloatArray) -> FloatArray:
    """Return flat, then each target from its point on, shape (size,)."""
    lengths = np.diff(np.concatenate(([0], points, [size])))
    return np.repeat(np.concatenate(([0.0], targets)), lengths)


def held(up: BoolArray, down: BoolArray, below: float = 0.0) -> FloatArray:
    """Return 1 from a bar that is up until one that is down, ``below`` from there on."""
    points, sides = turns(up, down)
    return staircase(up.size, points, np.where(sides > 0, 1.0, below))


def crossed(up: BoolArray, down: BoolArray, below: float = 0.0) -> FloatArray:
    """Return :func:`held` without the first side, which is where a series starts, not a cross."""
    points, sides = turns(up, down)
    return staircase(up.size, points[1:], np.where(sides[1:] > 0, 1.0, below))


def previous(values: FloatArray, lag: int = 1) -> FloatArray:
    """Return the values ``lag`` rows before, NaN where there are none."""
    moved = np.full(values.shape, np.nan)
    moved[lag:] = values[: max(0, len(values) - lag)]
    return moved
