"""Compiled venues with bars of one symbol, and short ways to order from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.execution.scenarios import MINUTE_NS, START_NS, instruments, terms
from tradelake.execution.clock import merged
from tradelake.execution.layout import Side
from tradelake.execution.machine import Machine
from tradelake.market.arrays import BarArrays


def machine(
    *bars: tuple[float, ...], cash: float = 100_000.0, rows: Any = None, **changes: Any
) -> Machine:
    """A venue with bars of one symbol: open, high, low, close and, where it matters, volume."""
    table = np.array([bar if len(bar) == 5 else (*bar, 1_000.0) for bar in bars])
    made = Machine(
        ["BTC/USD"],
        instruments() if rows is None else rows,
        terms(**changes),
        round(cash * 1e8),
    )
    opens = START_NS // MINUTE_NS * MINUTE_NS + np.arange(len(bars)) * MINUTE_NS
    made.load(merged([BarArrays("BTC/USD", "1m", opens, *table.T)]))
    return made


def place(made: Machine, side: int = Side.BUY, amount: float = 1.0, **order: Any) -> int:
    return made.place("BTC/USD", side, amount, now_ns=START_NS // MINUTE_NS * MINUTE_NS, **order)


def play(made: Machine) -> Machine:
    made.advance(0, len(made.bars), stops=False)
    return made


def prices(made: Machine) -> list[float]:
    return made.fills["price"].tolist()


def statuses(made: Machine) -> list[int]:
    return made.orders["status"].tolist()
