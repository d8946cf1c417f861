"""Runs targets that are known for all bars: the venue is left alone between changes of a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tradelake.backtest.clock import Clock
from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE, Side, Sizing, Status
from tradelake.execution.machine import Machine
from tradelake.market.arrays import FloatArray, IntArray

_BUY: Final = int(Side.BUY)


def follow(
    machine: Machine,
    clock: Clock,
    names: Sequence[str],
    targets: Sequence[FloatArray],
    most_orders: int,
) -> None:
    """Send an order wherever a target changes, and match all bars.

    An order that still works when the next target comes is cancelled by it.

    Parameters
    ----------
    machine : Machine
        With the clock's bars loaded and nothing matched.
    clock : Clock
        Of all symbols.
    names : sequence of str
        Symbols in the order of their numbers.
    targets : sequence of FloatArray
        Of each symbol, one for each of its bars: fractions of equity.
    most_orders : int
        More are refused.

    Raises
    ------
    InvalidData
        Rule ``limit``: too many orders.
    """
    events, symbols, wanted = _changes(clock, targets)
    last = [NONE] * len(names)
    at, ends = 0, clock.ends
    for place in range(len(events)):
        event, symbol = int(events[place]), int(symbols[place])
        end = int(ends[event])
        if end > at:
            machine.advance(at, end, stops=False)
            at = end
        now_ns = clock.decision_ns(machine, event)
        before = last[symbol]
        if before != NONE and machine.state.orders[before]["status"] < Status.FILLED:
            machine.cancel(before, now_ns=now_ns)
        if len(machine.orders) >= most_orders:
            raise InvalidData(
                "limit", f"{names[symbol]} at {now_ns} ns: more than {most_orders} orders were sent"
            )
        last[symbol] = machine.place(
            names[symbol], _BUY, float(wanted[place]), now_ns=now_ns, sizing=Sizing.TARGET
        )
    if at < len(clock):
        machine.advance(at, len(clock), stops=False)


def _changes(clock: Clock, targets: Sequence[FloatArray]) -> tuple[IntArray, IntArray, FloatArray]:
    """Events at which a target differs from the one before, their symbols and the targets."""
    found = []
    for symbol, wanted in enumerate(targets):
        rows = np.flatnonzero(np.diff(wanted, prepend=0.0))
        events = clock.events_of(symbol)[rows]
        found.append(np.column_stack((events, np.full(len(rows), symbol), rows)))
    table = np.concatenate(found).astype(np.int64)
    # What is decided at one instant is sent in the order of symbols, when all of it is known.
    order = np.lexsort((table[:, 1], clock.ends[table[:, 0]]))
    table = table[order]
    values = np.empty(len(table))
    for symbol, wanted in enumerate(targets):
        mine = table[:, 1] == symbol
        values[mine] = wanted[table[mine, 2]]
    return table[:, 0], table[:, 1], values
