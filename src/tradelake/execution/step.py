"""The compiled matching core: targets decided at a close are filled at the next open.

:mod:`tradelake.execution.reference` is the same broker in plain Python; property tests hold the
two together. The account is a flat array of floats because compiled code keeps that in registers.

Rung of realism: one market order a bar, filled whole at the next open, proportional slippage and
fee. No spread, impact, partial fill, latency or limit order.
"""

from __future__ import annotations

import numpy as np

from tradelake.execution.compiled import compiled
from tradelake.execution.outcome import RoundTrips, Simulation
from tradelake.execution.rules import ROUNDING, Rules
from tradelake.market.arrays import FloatArray

# The account's cells.
CASH, QUANTITY, TARGET, FEES, NOTIONAL, FILLS, REJECTS = range(7)
# The trip in progress.
ENTRY_BAR, IN_QUANTITY, IN_VALUE, OUT_QUANTITY, OUT_VALUE, TRIP_FEES, TRIPS = range(7, 14)
CELLS = 14
# Columns of the trips.
COLUMNS = 7
_NUMBERS = {"quantity": 2, "entry_price": 3, "exit_price": 4, "pnl": 5, "fees": 6}


@compiled
def _fill(account: FloatArray, bar: int, ordered: float, price: float, fee: float) -> None:
    """Book a fill: ``ordered`` base units, positive buys.

    The fee is taken from what is received.
    """
    before = account[QUANTITY]
    if before == 0.0:
        account[ENTRY_BAR] = bar
        account[IN_QUANTITY : TRIP_FEES + 1] = 0.0
    value = abs(ordered) * price
    cost = value * fee
    if ordered > 0.0:
        account[CASH] -= value
        moved = ordered * (1.0 - fee)
    else:
        account[CASH] += value - cost
        moved = ordered
    if before * ordered >= 0.0:
        account[IN_QUANTITY] += moved
        account[IN_VALUE] += moved * price
    else:
        account[OUT_QUANTITY] += moved
        account[OUT_VALUE] += moved * price
    account[QUANTITY] = before + moved
    account[FEES] += cost
    account[TRIP_FEES] += cost
    account[NOTIONAL] += value
    account[FILLS] += 1.0


@compiled
def _record(account: FloatArray, trips: FloatArray, bar: int, price: float) -> None:
    """Write the trip in progress, what is still held of it valued at ``price``."""
    held = account[QUANTITY]
    out_quantity = account[OUT_QUANTITY] - held
    out_value = account[OUT_VALUE] - held * price
    row = trips[int(account[TRIPS])]
    row[0] = account[ENTRY_BAR]
    row[1] = bar
    row[2] = account[IN_QUANTITY]
    row[3] = account[IN_VALUE] / account[IN_QUANTITY]
    row[4] = out_value / out_quantity
    row[5] = -(account[IN_VALUE] + out_value)
    row[6] = account[TRIP_FEES]
    account[TRIPS] += 1.0


@compiled
def _close(
    account: FloatArray, trips: FloatArray, bar: int, price: float, fee: float, slippage: float
) -> None:
    held = account[QUANTITY]
    if held > 0.0:
        _fill(account, bar, -held, price * (1.0 - slippage), fee)
    else:
        _fill(account, bar, -held / (1.0 - fee), price * (1.0 + slippage), fee)
    account[QUANTITY] = 0.0
    _record(account, trips, bar, price)


@compiled
def _resize(
    account: FloatArray,
    trips: FloatArray,
    bar: int,
    price: float,
    target: float,
    fee: float,
    slippage: float,
    quantity_step: float,
) -> None:
    """Trade towards ``target`` (not 0, and not across flat) times the equity at the open."""
    held = account[QUANTITY]
    change = target * (account[CASH] + held * price) - held * price
    fill_price = price * (1.0 + slippage) if change > 0.0 else price * (1.0 - slippage)
    if change * target > 0.0:
        if change > 0.0:
            change = min(change, account[CASH])
        ordered = abs(change) / fill_price
    else:
        ordered = min(abs(change) / price, abs(held))
    if quantity_step > 0.0:
        ordered = np.floor(ordered / quantity_step * ROUNDING) * quantity_step
        if change * target < 0.0:
            ordered = min(ordered, abs(held))
    if change > 0.0 and target > 0.0 and ordered * fill_price > account[CASH]:
        ordered -= quantity_step
    if ordered <= 0.0:
        account[REJECTS] += 1.0
        return
    _fill(account, bar, ordered if change > 0.0 else -ordered, fill_price, fee)
    if account[QUANTITY] == 0.0:
        _record(account, trips, bar, price)


@compiled
def step(
    account: FloatArray,
    trips: FloatArray,
    bar: int,
    price: float,
    target: float,
    fee: float,
    slippage: float,
    quantity_step: float,
    allow_short: bool,
) -> None:
    """Follow a target at a bar's open.

    A target equal to the last one keeps the position as it is: nothing is rebalanced as prices
    drift. A short whose equity is used up is closed.
    """
    held = account[QUANTITY]
    if held < 0.0 and account[CASH] + held * price <= 0.0:
        _close(account, trips, bar, price, fee, slippage)
        held = 0.0
    if target == account[TARGET]:
        return
    account[TARGET] = target
    if target < 0.0 and not allow_short:
        account[REJECTS] += 1.0
        target = 0.0
    if held != 0.0 and held * target <= 0.0:
        _close(account, trips, bar, price, fee, slippage)
    if target == 0.0:
        return
    if account[CASH] + account[QUANTITY] * price <= 0.0:
        account[REJECTS] += 1.0
        return
    _resize(account, trips, bar, price, target, fee, slippage, quantity_step)


@compiled
def _run(
    open_: FloatArray,
    close: FloatArray,
    targets: FloatArray,
    cash: float,
    fee: float,
    slippage: float,
    quantity_step: float,
    allow_short: bool,
    equity: FloatArray,
    position: FloatArray,
    trips: FloatArray,
) -> FloatArray:
    account = np.zeros(CELLS)
    account[CASH] = cash
    equity[0] = cash
    position[0] = 0.0
    last, bar = close.shape[0] - 1, 1
    while bar <= last:
        target = targets[bar - 1]
        if target != account[TARGET] or account[QUANTITY] < 0.0:
            step(
                account,
                trips,
                bar,
                open_[bar],
                target,
                fee,
                slippage,
                quantity_step,
                allow_short,
            )
        money, held, after = account[CASH], account[QUANTITY], bar + 1
        while after <= last and targets[after - 1] == target and held >= 0.0:
            after += 1
        marks, curve = close[bar:after], equity[bar:after]
        for row in range(marks.shape[0]):
            curve[row] = money + held * marks[row]
        position[bar:after] = held
        bar = after
    if account[QUANTITY] != 0.0:
        _record(account, trips, last, close[last])
    return account


def simulate(
    open_: FloatArray, close: FloatArray, targets: FloatArray, cash: float, rules: Rules
) -> Simulation:
    """Return the account that follows ``targets``.

    Parameters
    ----------
    open_, close : FloatArray, shape (n,), n >= 1
        Prices, quote units, positive.
    targets : FloatArray, shape (n,)
        Position wanted as a fraction of equity in [-1, 1], decided at each close and filled at the
        next open. The last one is never filled. No NaN.
    cash : float
        Quote units at the start.
    rules : Rules
        Costs and limits.

    Notes
    -----
    A buy spends ``target x equity`` (never more than the cash), so fee and slippage come out of
    the position rather than out of borrowed money.
    """
    size = close.shape[0]
    equity, position = np.empty(size), np.empty(size)
    trips = np.empty((_trips_at_most(targets), COLUMNS))
    account = _run(
        open_,
        close,
        targets,
        float(cash),
        rules.fee,
        rules.slippage,
        float(rules.quantity_step),
        rules.allow_short,
        equity,
        position,
        trips,
    )
    table = trips[: int(account[TRIPS])]
    is_open = np.zeros(len(table), dtype=np.bool_)
    if account[QUANTITY] != 0.0:
        is_open[-1] = True
    return Simulation(
        equity,
        position,
        RoundTrips(
            table[:, 0].astype(np.int64),
            table[:, 1].astype(np.int64),
            is_open=is_open,
            **{name: table[:, column].copy() for name, column in _NUMBERS.items()},
        ),
        float(account[FEES]),
        float(account[NOTIONAL]),
        int(account[FILLS]),
        int(account[REJECTS]),
    )


def _trips_at_most(targets: FloatArray) -> int:
    """A trip opens only where the target changes."""
    return int(np.count_nonzero(targets[1:] != targets[:-1])) + 2
