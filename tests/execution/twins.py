"""Twins with a bar or two, and short ways to order from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.execution.scenarios import MINUTE_NS, START_NS, instruments, terms
from tradelake.execution.layout import OrderType, Reason, Side, Sizing, Status, TimeInForce
from tradelake.execution.terms import Rung
from tradelake.execution.twin import Twin

BUY, SELL = int(Side.BUY), int(Side.SELL)
CASH = 10**8
BASE = 10**8
"""Units in one of the base asset, of the instrument the tests use."""
FEES = np.array([[0.0, 0.0, 0.0015, 0.0025]])


def twin(cash: float = 1_000_000.0, rows: Any = None, **changes: Any) -> Twin:
    rows = instruments() if rows is None else rows
    names = [f"S{number}" for number in range(int(rows["symbol"].max()) + 1)]
    return Twin(names, rows, terms(**changes), round(cash * CASH))


def place(core: Twin, side: int = BUY, amount: float = 1.0, at: int = 0, **more: Any) -> int:
    arguments = {"type": OrderType.MARKET, "tif": TimeInForce.GTC, "sizing": Sizing.QUANTITY}
    arguments.update(more)
    symbol = arguments.pop("symbol", 0)
    return core.place(START_NS + at * MINUTE_NS, symbol, side, amount=amount, **arguments)


def bar(
    core: Twin,
    at: int,
    prices: tuple[float, float, float, float],
    volume: float = 1e6,
    symbol: int = 0,
) -> None:
    open_ns = START_NS + at * MINUTE_NS
    core.bar(symbol, open_ns, open_ns + MINUTE_NS, *prices, volume, at)


def flat(core: Twin, at: int, price: float, volume: float = 1e6) -> None:
    bar(core, at, (price, price, price, price), volume)


def holding(amount: float = 1.0, price: float = 100.0, **changes: Any) -> Twin:
    core = twin(**changes)
    place(core, BUY, amount)
    flat(core, 0, price)
    return core


def outcome(core: Twin, order: int) -> tuple[Status, Reason]:
    row = core.orders[order]
    return Status(row["status"]), Reason(row["reason"])


def queued(**changes: Any) -> tuple[Twin, int]:
    core = twin(rung=Rung.BOOK, **changes)
    core.book_reset(0, START_NS)
    core.book_level(0, START_NS, BUY, 10.0, 100.0, 0)
    core.book_level(0, START_NS, SELL, 10.1, 100.0, 0)
    order = place(core, BUY, 50.0, type=OrderType.LIMIT, limit=10.0)
    core.advance(START_NS)
    return core, order
