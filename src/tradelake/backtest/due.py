"""What a strategy is still to be told beside its fills: timers that ring, orders refused."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradelake.execution.layout import Status
from tradelake.market.arrays import IntArray

NEVER: Final = np.iinfo(np.int64).max
_FILLED, _REJECTED = int(Status.FILLED), int(Status.REJECTED)


class Timers:
    """Instants at which a strategy wants to be called, by name."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, str, int]] = []
        self._current: dict[str, int] = {}
        self._count = 0

    @property
    def next_ns(self) -> int:
        """Instant of the next one; :data:`NEVER` without any."""
        while self._due and self._current.get(self._due[0][2]) != self._due[0][1]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else NEVER

    def put(self, name: str, at_ns: int, every_ns: int) -> None:
        """Take a timer in the place of one of the same name."""
        self._count += 1
        self._current[name] = self._count
        heapq.heappush(self._due, (at_ns, self._count, name, every_ns))

    def pop(self) -> tuple[int, str]:
        """Return the next one's instant and name; one that comes again is put back."""
        at_ns, number, name, every_ns = heapq.heappop(self._due)
        if every_ns:
            heapq.heappush(self._due, (at_ns + every_ns, number, name, every_ns))
        else:
            del self._current[name]
        return at_ns, name


class Rejects:
    """Orders that the venue refused, until the strategy is told of them.

    Attributes
    ----------
    judged : int
        Orders at which somebody looked.
    """

    def __init__(self) -> None:
        self.judged = 0
        self._due: list[tuple[int, int]] = []
        self._pending: IntArray = np.empty(0, np.int64)

    @property
    def next_ns(self) -> int:
        """When the next one is told; :data:`NEVER` without any."""
        return self._due[0][0] if self._due else NEVER

    def judge(self, orders: npt.NDArray[Any], response_ns: Callable[[int], int]) -> None:
        """Take up the refused ones among the orders that had not ended before.

        Parameters
        ----------
        orders : ORDER rows
            All so far.
        response_ns : callable
            How long the answer to an order is under way.
        """
        maybe = np.append(self._pending, np.arange(self.judged, len(orders)))
        status = orders["status"][maybe]
        for order in maybe[status == _REJECTED].tolist():
            heapq.heappush(self._due, (int(orders["ended_ns"][order]) + response_ns(order), order))
        self._pending, self.judged = maybe[status < _FILLED], len(orders)

    def pop(self) -> int:
        """Return the id of the next one."""
        return heapq.heappop(self._due)[1]
