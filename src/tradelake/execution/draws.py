"""Randomness as a hash of what it is for, so that one draw never depends on another (T3).

Compiled; :mod:`tradelake.execution.twin` has the same in plain Python.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.compiled import lean
from tradelake.execution.terms import Draw
from tradelake.market.arrays import IntArray

FEED: Final = 0
ENTRY: Final = 1
RESPONSE: Final = 2
CANCEL: Final = 3
"""A cancel travels as an order does, with a draw of its own."""
PARTIAL: Final = 8
"""And upwards by two: whether a fill is cut, and to what fraction (C3)."""

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_30: Final = np.uint64(30)
_27: Final = np.uint64(27)
_31: Final = np.uint64(31)
_11: Final = np.uint64(11)
_TO_UNIT: Final = 2.0**-53


@lean
def mix(number: np.uint64) -> np.uint64:
    """One round of splitmix64 (Steele, Lea, Flood 2014)."""
    z = number + _STEP
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@lean
def uniform(seed: int, order: int, which: int) -> float:
    """Return a draw in [0, 1) that depends on the three numbers alone."""
    bits = mix(mix(mix(np.uint64(seed)) ^ np.uint64(order)) ^ np.uint64(which))
    return np.float64(bits >> _11) * _TO_UNIT


@lean
def latency(rows: IntArray, leg: int, seed: int, order: int, which: int) -> int:
    """Return whole ns of one of the three legs (rows of ``rows``: kind, constant, scale)."""
    constant = int(rows[leg, 1])
    if rows[leg, 0] == Draw.CONSTANT:
        return constant
    drawn = uniform(seed, order, which)
    if rows[leg, 0] == Draw.EXPONENTIAL:
        drawn = -np.log(1.0 - drawn)
    return constant + int(np.rint(drawn * rows[leg, 2]))
