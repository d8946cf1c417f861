"""Compiled signals: what a strategy of the library says, block by block and without a curve.

A strategy names its kernel by a dotted name (``kernel``, for instance
``"tradelake.backtest.kernels:SMA_CROSS"``), so that it needs no compiler itself. A kernel gives bit
for bit the targets of the strategy's ``signals``; what many combinations of parameters share
(running sums of the closes) is computed once for all of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.errors import ConfigError
from tradelake.execution.compiled import compiled
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import Value

Columns: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
"""Open, high, low, close and volume, each of shape (n,)."""
Sides: TypeAlias = npt.NDArray[np.int8]
Fill: TypeAlias = Callable[
    [Columns, FloatArray, FloatArray, FloatArray, int, int, FloatArray], None
]

BLOCK: Final = 1 << 15
"""Bars whose targets are made at once: they and what makes them fit a core's own cache."""
TIE: Final = 1e-9
"""Averages closer than this fraction of the price are equal, as in the library."""

_WORD: Final = 8
"""Sides in one number of 64 bits; where all of them are -1 or 0 that is the number, too."""
_ALL_ABOVE: Final = 0x0101010101010101


@dataclass(frozen=True, slots=True)
class Kernel:
    """How a strategy's targets are computed.

    Parameters
    ----------
    parameters : tuple of str
        The strategy's parameters in the order in which ``fill`` reads them.
    shared : callable
        Columns to what all combinations share, shape (k, n).
    state : int
        Cells that a combination carries from block to block, 0 before the first.
    fill : callable
        ``fill(columns, shared, parameters, state, first, last, targets)``, compiled: writes the
        targets decided at the closes of bars ``first`` to ``last - 1`` to ``targets[0]`` and on,
        in [-1, 1]. Blocks come in order, from bar 0 on; nothing from ``last`` on may be read.
    """

    parameters: tuple[str, ...]
    shared: Callable[[Columns], FloatArray]
    state: int
    fill: Fill

    def values(self, given: Mapping[str, Value]) -> FloatArray:
        """Return a combination's parameters as ``fill`` reads them."""
        return np.array([given[name] for name in self.parameters], dtype=np.float64)

    def blocks(
        self, columns: Columns, shared: FloatArray, values: FloatArray
    ) -> Iterator[tuple[FloatArray, int, int]]:
        """Yield the targets of a block of bars, its first bar and one past its last.

        All bars but the last are in one. The array is the same each time: it stays in the cache.
        """
        size = columns[3].shape[0]
        state, targets = np.zeros(self.state), np.empty(min(BLOCK, size))
        for first in range(0, size - 1, BLOCK):
            last = min(first + BLOCK, size - 1)
            self.fill(columns, shared, values, state, first, last, targets)
            yield targets, first, last


def kernel_of(name: str) -> Kernel:
    """Return the kernel with a dotted name, ``module:ATTRIBUTE``.

    Raises
    ------
    ConfigError
        There is no such kernel.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError):
        found = None
    if not isinstance(found, Kernel):
        raise ConfigError(f"kernel: expected module:NAME of a kernel; found {name!r}")
    return found


def columns_of(bars: BarArrays) -> Columns:
    """Return the columns that kernels read."""
    return bars.open, bars.high, bars.low, bars.close, bars.volume


def targets_of(bars: BarArrays, kernel: Kernel, given: Mapping[str, Value]) -> FloatArray:
    """Return the targets of all bars, shape (n,): what the strategy's ``signals`` gives."""
    columns, size, targets = columns_of(bars), len(bars), np.empty(len(bars))
    state, shared, values = np.zeros(kernel.state), kernel.shared(columns), kernel.values(given)
    for first in range(0, size, BLOCK):
        last = min(first + BLOCK, size)
        kernel.fill(columns, shared, values, state, first, last, targets[first:last])
    return targets


@compiled
def _running_close(columns: Columns) -> FloatArray:
    """Running sums of the closes less the first: those of ``features.rolling.rolling_mean``."""
    close = columns[3]
    sums, total = np.empty((1, close.shape[0])), 0.0
    for row in range(close.shape[0]):
        total += close[row] - close[0]
        sums[0, row] = total
    return sums


@compiled
def _mean(
    total: FloatArray, origin: float, window: int, first: int, last: int, out: FloatArray
) -> None:
    """Rolling means of rows ``first`` to ``last - 1`` from running sums; NaN before the first."""
    ready = min(max(window, first), last)
    out[: max(0, min(window - 1, last) - first)] = np.nan
    if first < window <= last:
        out[window - 1 - first] = total[window - 1] / window + origin
    new, old = total[ready:last], total[ready - window : last - window]
    rest = out[ready - first : last - first]
    for row in range(new.shape[0]):
        rest[row] = (new[row] - old[row]) / window + origin


@compiled
def _sides(fast: FloatArray, slow: FloatArray, side: Sides) -> None:
    """1 where the fast average is above the slow one, -1 below, 0 where they tie or are NaN."""
    for row in range(side.shape[0]):
        gap, tie = fast[row] - slow[row], slow[row] * TIE
        side[row] = np.int8(gap > tie) - np.int8(gap < -tie)


@compiled
def _sides_of(
    total: FloatArray, origin: float, fast: int, slow: int, first: int, last: int, side: Sides
) -> None:
    """As :func:`_sides`, of averages that are made on the way: those of :func:`_mean`."""
    new = total[first:last]
    old_fast, old_slow = total[first - fast : last - fast], total[first - slow : last - slow]
    for row in range(new.shape[0]):
        slow_mean = (new[row] - old_slow[row]) / slow + origin
        gap, tie = (new[row] - old_fast[row]) / fast + origin - slow_mean, slow_mean * TIE
        side[row] = np.int8(gap > tie) - np.int8(gap < -tie)


@compiled
def _take_sides(side: Sides, below: float, state: FloatArray, targets: FloatArray) -> None:
    """Write the targets of sides: eight bars at once where none of them changes the side."""
    size, now, target = side.shape[0], int(state[0]), state[1]
    words = side[: size - size % _WORD].view(np.int64)
    for first in range(0, size, _WORD):
        last = min(first + _WORD, size)
        if last - first == _WORD and words[first // _WORD] == (_ALL_ABOVE if now > 0 else now):
            for row in range(_WORD):
                targets[first + row] = target
            continue
        for row in range(first, last):
            if side[row] != now and side[row] != 0:
                if now != 0:
                    target = 1.0 if side[row] > 0 else below
                now = int(side[row])
            targets[row] = target
    state[0], state[1] = now, target


@compiled
def _sma_cross(
    columns: Columns,
    shared: FloatArray,
    parameters: FloatArray,
    state: FloatArray,
    first: int,
    last: int,
    targets: FloatArray,
) -> None:
    """Cells of ``state``: the side (1 up, -1 down, 0 unknown) and the target."""
    origin, size, total = columns[3][0], last - first, shared[0]
    fast, slow = int(parameters[0]), int(parameters[1])
    side = np.empty(size, np.int8)
    known = min(max(fast, slow, first), last)  # both averages reach back within the bars
    if known > first:
        slow_mean = np.empty(known - first)
        _mean(total, origin, fast, first, known, targets)
        _mean(total, origin, slow, first, known, slow_mean)
        _sides(targets, slow_mean, side[: known - first])
    _sides_of(total, origin, fast, slow, known, last, side[known - first :])
    _take_sides(side, parameters[2], state, targets)


SMA_CROSS: Final = Kernel(("fast", "slow", "below"), _running_close, 2, _sma_cross)
