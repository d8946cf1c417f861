"""The matching core in plain Python, written for reading.

The twin that the compiled one is tested against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tradelake.execution.outcome import RoundTrips, Simulation
from tradelake.execution.rules import ROUNDING, Rules
from tradelake.market.arrays import FloatArray


@dataclass(slots=True)
class _Trip:
    entry_bar: int
    bought: float = 0.0
    bought_value: float = 0.0
    sold: float = 0.0
    sold_value: float = 0.0
    fees: float = 0.0
    exit_bar: int = -1
    is_open: bool = False
    is_short: bool = False

    def row(self) -> tuple[float, ...]:
        """quantity, entry price, exit price, pnl, fees."""
        bought = self.bought_value / self.bought
        sold = self.sold_value / self.sold
        pnl = self.sold_value - self.bought_value
        if self.is_short:
            return -self.sold, sold, bought, pnl, self.fees
        return self.bought, bought, sold, pnl, self.fees


@dataclass(slots=True)
class Broker:
    """One account at a broker that fills market orders whole.

    Parameters
    ----------
    rules : Rules
        Costs and limits.
    cash : float
        Quote units.
    """

    rules: Rules
    cash: float
    quantity: float = 0.0
    target: float = 0.0
    fees: float = 0.0
    notional: float = 0.0
    fills: int = 0
    rejects: int = 0
    trips: list[_Trip] = field(default_factory=list)

    def equity(self, price: float) -> float:
        """Cash plus position at a price."""
        return self.cash + self.quantity * price

    def follow(self, bar: int, price: float, target: float) -> None:
        """Trade at the open of ``bar`` so that the position is ``target`` times the equity."""
        if self.quantity < 0.0 and self.equity(price) <= 0.0:
            self._close(bar, price)
        if target == self.target:
            return
        self.target = target
        if target < 0.0 and not self.rules.allow_short:
            self.rejects += 1
            target = 0.0
        wrong_side = self.quantity * target <= 0.0
        if self.quantity != 0.0 and wrong_side:
            self._close(bar, price)
        if target != 0.0:
            self._resize(bar, price, target)

    def _resize(self, bar: int, price: float, target: float) -> None:
        equity = self.equity(price)
        wanted = target * equity - self.quantity * price
        fill_price = self._fill_price(price, wanted)
        if equity <= 0.0:
            ordered = 0.0
        elif wanted * target > 0.0:
            budget = min(wanted, self.cash) if wanted > 0.0 else -wanted
            ordered = self._round_down(budget / fill_price)
            if wanted > 0.0 and ordered * fill_price > self.cash:
                ordered -= self.rules.quantity_step
        else:
            ordered = min(self._round_down(abs(wanted) / price), abs(self.quantity))
        if ordered <= 0.0:
            self.rejects += 1
            return
        self._fill(bar, math.copysign(ordered, wanted), fill_price)
        if self.quantity == 0.0:
            self.trips[-1].exit_bar = bar

    def _close(self, bar: int, price: float) -> None:
        order = -self.quantity
        if order > 0.0:
            order /= 1.0 - self.rules.fee
        self._fill(bar, order, self._fill_price(price, order))
        self.quantity = 0.0
        self.trips[-1].exit_bar = bar

    def _fill(self, bar: int, order: float, price: float) -> None:
        if self.quantity == 0.0:
            self.trips.append(_Trip(bar, is_short=order < 0.0))
        trip = self.trips[-1]
        value = abs(order) * price
        cost = value * self.rules.fee
        if order > 0.0:
            received = order * (1.0 - self.rules.fee)
            self.cash -= value
            self.quantity += received
            trip.bought += received
            trip.bought_value += received * price
        else:
            self.cash += value - cost
            self.quantity += order
            trip.sold -= order
            trip.sold_value -= order * price
        trip.fees += cost
        self.fees += cost
        self.notional += value
        self.fills += 1

    def _fill_price(self, price: float, order: float) -> float:
        worse = self.rules.slippage if order > 0.0 else -self.rules.slippage
        return price * (1.0 + worse)

    def _round_down(self, quantity: float) -> float:
        step = self.rules.quantity_step
        return math.floor(quantity / step * ROUNDING) * step if step > 0.0 else quantity

    def mark_open_trip(self, bar: int, price: float) -> None:
        """Value what is still held at ``price`` and end its trip there, without an order."""
        trip = self.trips[-1]
        trip.exit_bar, trip.is_open = bar, True
        if self.quantity > 0.0:
            trip.sold += self.quantity
            trip.sold_value += self.quantity * price
        else:
            trip.bought -= self.quantity
            trip.bought_value -= self.quantity * price


def simulate(
    open_: FloatArray, close: FloatArray, targets: FloatArray, cash: float, rules: Rules
) -> Simulation:
    """Return what :func:`tradelake.execution.step.simulate` returns, slowly."""
    broker = Broker(rules, float(cash))
    equity, position = [float(cash)], [0.0]
    for bar in range(1, len(close)):
        broker.follow(bar, float(open_[bar]), float(targets[bar - 1]))
        equity.append(broker.equity(float(close[bar])))
        position.append(broker.quantity)
    if broker.quantity != 0.0:
        broker.mark_open_trip(len(close) - 1, float(close[-1]))
    rows = np.array([trip.row() for trip in broker.trips], dtype=np.float64).reshape(-1, 5)
    return Simulation(
        np.array(equity),
        np.array(position),
        RoundTrips(
            np.array([trip.entry_bar for trip in broker.trips], dtype=np.int64),
            np.array([trip.exit_bar for trip in broker.trips], dtype=np.int64),
            quantity=rows[:, 0].copy(),
            entry_price=rows[:, 1].copy(),
            exit_price=rows[:, 2].copy(),
            pnl=rows[:, 3].copy(),
            fees=rows[:, 4].copy(),
            is_open=np.array([trip.is_open for trip in broker.trips], dtype=np.bool_),
        ),
        broker.fees,
        broker.notional,
        broker.fills,
        broker.rejects,
    )
