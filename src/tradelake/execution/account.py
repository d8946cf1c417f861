"""The account in integers: values, fees and the booking of fills (M1 to M6, C4). Compiled."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.compiled import inlined, lean
from tradelake.execution.layout import CASH_UNITS, MOST_OF_A_DAY
from tradelake.execution.state import DAY_NS, DAYS, TIER_DAYS, State
from tradelake.execution.terms import Terms

WHOLE: Final = 1.0 + 1e-12
"""2 / 1e-9 is 1999999999.9999998 in floats; such a quotient still counts as whole."""
MOST: Final = 4e18
"""Units: what is beyond does not fit 63 bits (O2)."""
MOST_VALUE: Final = 9.2e18
"""Cash units, for the same reason."""


@inlined
def value_of(quantity: int, unit: float, price: float) -> int:
    """Return what units are worth at a price, cash units (M2)."""
    return int(np.rint(quantity * unit * price * CASH_UNITS))


@lean
def units_of(amount: float, unit: float, increment: int) -> int:
    """Return base units as whole units, rounded down to the increment, at most the most (O1)."""
    units = amount / unit
    quantity = int(min(np.floor(units * WHOLE), np.rint(units), MOST))
    return quantity - quantity % increment if increment > 1 else quantity


@inlined
def price_of(quantity: int, unit: float, price: float, rate: float) -> int:
    """Return what buying costs in cash when a fee of ``rate`` is paid on top."""
    value = value_of(quantity, unit, price)
    return value + int(np.rint(value * rate))


@inlined
def _suffices(budget: int, quantity: int, unit: float, price: float, rate: float) -> bool:
    """Return whether a budget pays for units; what does not fit 63 bits is beyond any."""
    if quantity > MOST or quantity * unit * price * CASH_UNITS * (1.0 + rate) >= MOST_VALUE:
        return False
    return bool(price_of(quantity, unit, price, rate) <= budget)


@inlined
def affordable(budget: int, unit: float, price: float, increment: int, rate: float) -> int:
    """Return the largest multiple of the increment, up to the most, that the budget pays for."""
    if budget <= 0:
        return 0
    step = max(increment, 1)
    steps = int(min(np.floor(budget / CASH_UNITS / (1.0 + rate) / price / unit), MOST)) // step
    width = 1
    while steps > 0 and not _suffices(budget, steps * step, unit, price, rate):
        steps, width = max(steps - width, 0), 2 * width
    width = 1
    while _suffices(budget, (steps + width) * step, unit, price, rate):
        steps, width = steps + width, 2 * width
    while width > 0:
        if _suffices(budget, (steps + width) * step, unit, price, rate):
            steps += width
        width //= 2
    return steps * step


@lean
def grossed_up(quantity: int, rate: float) -> int:
    """Return the smallest order of which so many units are left after a fee in base."""
    ordered = int(np.ceil(quantity / (1.0 - rate)))
    while ordered - int(np.rint(ordered * rate)) < quantity:
        ordered += 1
    while ordered > 1 and ordered - 1 - int(np.rint((ordered - 1) * rate)) >= quantity:
        ordered -= 1
    return ordered


@lean
def equity_at(state: State, symbol: int, price: float) -> float:
    """Return the equity, quote units, with one symbol at a price of its own (M6)."""
    equity = state.account[0].cash / CASH_UNITS
    for other in range(state.positions.shape[0]):
        position = state.positions[other]
        if position.quantity != 0:
            at = price if other == symbol else position.price
            equity += position.quantity * position.unit * at
    return float(equity)


@lean
def set_day(state: State, terms: Terms, day: int) -> None:
    """Make the fee tier that of a UTC day: by the notional of the 30 days before it (C4).

    A bar may open on the day before one that was matched up to its close: what is known reaches
    back for that day too, and no further.
    """
    counters, notional = state.counters[0], state.notional
    day = max(day, counters.newest_day - 1)
    if day == counters.day:
        return
    newest = counters.newest_day
    for empty in range(max(newest + 1, day - DAYS + 1) if newest >= 0 else day - DAYS + 1, day + 1):
        notional[empty % DAYS] = 0
    counters.day, counters.newest_day = day, max(newest, day)
    total = 0
    for before in range(day - TIER_DAYS, day):
        total += notional[before % DAYS]
    tiers, at = terms.tiers, day * DAY_NS
    counters.maker, counters.taker = 0.0, 0.0
    valid = tiers[0, 0] if tiers.shape[0] else 0.0
    for row in range(tiers.shape[0]):
        if tiers[row, 0] <= at:
            valid = tiers[row, 0]
    chosen = False
    for row in range(tiers.shape[0]):
        if tiers[row, 0] == valid and (not chosen or tiers[row, 1] <= total):
            counters.maker, counters.taker = tiers[row, 2], tiers[row, 3]
            chosen = True


@lean
def equity_now(state: State) -> float:
    """Return the equity at the last known prices, quote units (M6)."""
    equity = state.account[0].cash / CASH_UNITS
    for number in range(state.positions.shape[0]):
        position = state.positions[number]
        if position.quantity != 0:
            equity += position.quantity * position.unit * position.price
    return float(equity)


@lean
def taker_rate(state: State, terms: Terms, ts_ns: int) -> float:
    """Return the fee's fraction of what a taker fills at an instant."""
    set_day(state, terms, ts_ns // DAY_NS)
    return float(state.counters[0].taker)


@inlined
def rate_at(state: State, terms: Terms, ts_ns: int, maker: bool) -> float:
    """Return the fee's fraction of a fill at an instant."""
    counters = state.counters[0]
    if ts_ns // DAY_NS != counters.day:
        set_day(state, terms, ts_ns // DAY_NS)
    return float(counters.maker if maker else counters.taker)


@lean
def to_flat(state: State, terms: Terms, symbol: int, side: int, rate: float) -> int:
    """Return how many units of an order of that side close what is held; 0 on the same side."""
    held = state.positions[symbol].quantity
    if held * side >= 0:
        return 0
    if side > 0 and not terms.fee_in_quote:
        return grossed_up(-held, rate)
    return int(abs(held))


@lean
def book(
    state: State,
    terms: Terms,
    order: int,
    side: int,
    quantity: int,
    price: float,
    maker: bool,
    ts_ns: int,
) -> int:
    """Book a fill, as two where it crosses flat (M5); return the units received, or given."""
    rate = rate_at(state, terms, ts_ns, maker)
    closing = to_flat(state, terms, state.orders[order].symbol, side, rate)
    if 0 < closing < quantity:
        moved = book_one(state, terms, order, side, closing, price, maker, ts_ns, rate)
        quantity -= closing
        return moved + book_one(state, terms, order, side, quantity, price, maker, ts_ns, rate)
    return book_one(state, terms, order, side, quantity, price, maker, ts_ns, rate)


@inlined
def book_one(
    state: State,
    terms: Terms,
    order: int,
    side: int,
    quantity: int,
    price: float,
    maker: bool,
    ts_ns: int,
    rate: float,
) -> int:
    """Book a fill that stays on one side of flat, with the fee of a rate (M3)."""
    unit = state.positions[state.orders[order].symbol].unit
    in_base = side > 0 and not terms.fee_in_quote
    of = quantity if in_base else value_of(quantity, unit, price)
    fee = int(np.rint(of * rate))
    return book_paid(state, order, side, quantity, price, maker, ts_ns, fee, in_base)


@inlined
def book_paid(
    state: State,
    order: int,
    side: int,
    quantity: int,
    price: float,
    maker: bool,
    ts_ns: int,
    fee: int,
    in_base: bool,
) -> int:
    """Book a fill that stays on one side of flat, with a fee in units or in cash units."""
    row, account, counters = state.orders[order], state.account[0], state.counters[0]
    position = state.positions[row.symbol]
    value = value_of(quantity, position.unit, price)
    fee_value = value_of(fee, position.unit, price) if in_base else fee
    moved = quantity - side * fee if in_base else quantity
    paid = value if in_base else value + side * fee
    realised = _move(state, row.symbol, side, moved, paid)
    if np.isnan(position.price):
        position.price = price
    if in_base:
        position.fees_base += fee
    else:
        account.fees_cash += fee
    account.cash -= side * paid
    account.fees_value += fee_value
    account.turnover += float(value)
    account.fills += 1
    position.turnover += float(value)
    slot = counters.day % DAYS
    state.notional[slot] = min(state.notional[slot] + value, MOST_OF_A_DAY)
    row.filled += quantity
    row.value += value
    row.fills += 1
    fill = state.fills[counters.fills]
    fill.order, fill.symbol, fill.side = order, row.symbol, side
    fill.maker, fill.event, fill.ts_ns = maker, counters.event, ts_ns
    fill.quantity, fill.value, fill.fee = quantity, value, fee
    fill.fee_in_base, fill.fee_value = in_base, fee_value
    fill.realised, fill.price = realised, price
    counters.fills += 1
    counters.changes += 1
    counters.stale = 1
    return moved


@inlined
def removed_cost(state: State, symbol: int, quantity: int) -> int:
    """Return the cost that leaves with units of what is held, or owed (M5)."""
    position = state.positions[symbol]
    held = abs(position.quantity)
    if quantity == held:
        return int(position.cost)
    return int(np.rint(np.float64(position.cost) * quantity / held))


@inlined
def _move(state: State, symbol: int, side: int, moved: int, paid: int) -> int:
    """Move a position by units for which cash was paid (got, of a sell); return what it realised.

    Going away from flat adds to the cost; towards it removes the share that leaves (M5).
    """
    position = state.positions[symbol]
    held = position.quantity
    if held * side >= 0:
        position.quantity = held + side * moved
        position.cost += side * paid
        return 0
    removed = removed_cost(state, symbol, moved)
    position.quantity = held + side * moved
    position.cost -= removed
    realised = -side * paid - removed
    position.realised += realised
    return int(realised)
