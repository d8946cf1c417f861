"""The one clock of a run: bars of all symbols, grouped by the instants at which they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tradelake.execution.clock import merged
from tradelake.execution.machine import Machine
from tradelake.execution.terms import Draw
from tradelake.market.arrays import BarArrays, IntArray

FEED = 0
"""Row of the latencies."""


class Clock:
    """Bars of several symbols in the order in which they are known.

    Parameters
    ----------
    columns : sequence of BarArrays
        One for each symbol, in the order of symbols.

    Attributes
    ----------
    bars : BAR rows, shape (m,)
        Sorted by close, then symbol.
    starts, ends : IntArray, shape (m,)
        First bar that is known at the same instant, and one past the last: all of
        these are matched before anybody decides (T4).
    """

    def __init__(self, columns: Sequence[BarArrays]) -> None:
        self.bars: npt.NDArray[Any] = merged(columns)
        later = np.diff(self.bars["close_ns"], prepend=-1) != 0
        later[:1] = True
        firsts, instant = np.flatnonzero(later), np.cumsum(later) - 1
        self.starts: IntArray = firsts[instant]
        self.ends: IntArray = np.append(firsts[1:], len(later))[instant]
        self._single = len(columns) == 1

    def __len__(self) -> int:
        return len(self.bars)

    def events_of(self, symbol: int) -> IntArray:
        """Return the places of a symbol's bars."""
        if self._single:
            return np.arange(len(self.bars))
        return np.flatnonzero(self.bars["symbol"] == symbol)

    def decision_ns(self, machine: Machine, event: int) -> int:
        """Return when a strategy that was told of a bar decides: its close, and the feed (T1)."""
        return int(self.bars["close_ns"][event]) + feed_ns(machine, len(machine.orders))


def feed_ns(machine: Machine, order: int) -> int:
    """Return how late the data came on which an order was decided (T3)."""
    terms = machine.terms
    kind, constant_ns, _ = terms.latency[FEED].tolist()
    if kind == Draw.CONSTANT:
        return int(constant_ns)
    from tradelake.execution import draws  # compiled: loaded by those who draw

    return int(draws.latency(terms.latency, FEED, terms.seed, order, FEED))
