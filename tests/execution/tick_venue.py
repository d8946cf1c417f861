"""A compiled venue over rows of ticks, and short ways to write them."""

from __future__ import annotations

import numpy as np

from tradelake.execution.layout import NONE
from tradelake.execution.terms import INSTRUMENT, Rung, Terms
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.tape import TICK, TickKind

UNIT = 1e-6
CASH = 10**13
"""100,000 in cash units."""
NAN = float("nan")


def terms(rung: int = Rung.QUOTES, *, entry_ns: int = 0, fee: float = 0.0, **changes) -> Terms:
    latency = np.zeros((3, 3), np.int64)
    latency[1, 1] = entry_ns
    values = {
        "rung": rung,
        "seed": 7,
        "allow_short": False,
        "fee_in_quote": False,
        "halt_waits": True,
        "types_offered": 31,
        "tifs_offered": 3,
        "cap": 0,
        "tiers": np.array([[0.0, 0.0, fee, fee]]),
        "latency": latency,
        "half_spread": 0.0,
        "slippage_kind": 0,
        "slippage": 0.0,
        "participation": 0.0,
        "touch": False,
        "beyond_top": False,
        "own_trades_stay": False,
        "queue_pro_rata": True,
        "partial_probability": 0.0,
        "impact_kind": 0,
        "impact": 0.0,
        "impact_power": 0.5,
        "impact_permanent": 0.0,
        "impact_half_life_ns": 0.0,
        "impact_window": 10,
        "delisting_haircut": 0.0,
    }
    return Terms(**(values | changes))


def listing(symbols: int = 1):
    rows = np.zeros(symbols, INSTRUMENT)
    rows["symbol"], rows["renamed_to"], rows["unit"] = np.arange(symbols), NONE, UNIT
    return rows


def quote(ts: int, bid: float, bid_size: float, ask: float, ask_size: float, symbol: int = 0):
    return (ts, symbol, TickKind.QUOTE, 0, bid, bid_size, ask, ask_size, -1)


def trade(ts: int, price: float, size: float, side: int = 0, symbol: int = 0):
    return (ts, symbol, TickKind.TRADE, side, price, size, 0.0, 0.0, -1)


def level(ts: int, side: int, price: float, size: float, kind: int = TickKind.LEVEL):
    return (ts, 0, kind, side, price, size, 0.0, 0.0, -1)


def tape(*rows):
    ticks = np.array(list(rows), TICK)
    for symbol in np.unique(ticks["symbol"]):
        newest = -1
        for row in np.flatnonzero(ticks["symbol"] == symbol):
            ticks["before"][row] = newest
            if ticks["kind"][row] == TickKind.TRADE:
                newest = row
    return ticks


class Venue:
    """A machine whose orders are placed between ticks."""

    def __init__(self, rules: Terms, *rows, symbols: int = 1) -> None:
        self.machine = TickMachine([f"S{n}" for n in range(symbols)], listing(symbols), rules, CASH)
        self.machine.load(tape(*rows))
        self.at = 0

    def to(self, event: int) -> Venue:
        self.machine.advance(self.at, event, stops=False)
        self.at = event
        return self

    def end(self) -> Venue:
        return self.to(len(self.machine.market.tape))

    def buy(self, amount: float, side: int = 1, now_ns: int | None = None, **said) -> int:
        now = self.now_ns if now_ns is None else now_ns
        return self.machine.place("S0", side, amount, now_ns=now, **said)

    @property
    def now_ns(self) -> int:
        return int(self.machine.market.tape["ts_ns"][self.at - 1]) if self.at else 0

    def fills(self) -> list[tuple[float, float, int, int]]:
        """Quantity in base units, price, maker and time of each fill."""
        rows = self.machine.fills
        return [
            (round(row["quantity"] * UNIT, 9), row["price"], int(row["maker"]), int(row["ts_ns"]))
            for row in rows
        ]

    def order(self, number: int):
        return self.machine.orders[number]
