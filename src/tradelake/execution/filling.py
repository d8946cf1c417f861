"""Turning an order that may fill into a fill: size, price, what suffices (O1, B5, B6, C3).

Compiled; the same for bars, quotes and books, which differ in reference price and room.
"""

from __future__ import annotations

import numpy as np

from tradelake.execution.account import (
    affordable,
    book,
    equity_at,
    grossed_up,
    price_of,
    rate_at,
    taker_rate,
    to_flat,
    units_of,
    value_of,
)
from tradelake.execution.checks import MOST_UNITS, has_limit
from tradelake.execution.compiled import lean
from tradelake.execution.draws import PARTIAL, uniform
from tradelake.execution.layout import CASH_UNITS, Reason, Side, Sizing, Status
from tradelake.execution.orders import after_fill, end, own_promise
from tradelake.execution.pricing import leave_impact, taken_price
from tradelake.execution.state import State
from tradelake.execution.terms import Terms


@lean
def own_limit(state: State, order: int) -> float:
    """Return the price an order does not go beyond, NaN where there is none."""
    row = state.orders[order]
    return float(row.limit) if has_limit(row.type) else np.nan


@lean
def price_for(
    state: State,
    terms: Terms,
    order: int,
    quantity: int,
    reference: float,
    maker: bool,
    ts_ns: int,
) -> float:
    """Return the price at which an order fills so many units; makers get the reference itself."""
    if maker:
        return reference
    row = state.orders[order]
    limit = own_limit(state, order)
    return taken_price(state, terms, row.symbol, row.side, quantity, reference, limit, ts_ns)


@lean
def size(state: State, terms: Terms, order: int, reference: float, maker: bool, ts_ns: int) -> bool:
    """Give quantity and side to what is not a quantity (O1); False where that ended the order."""
    row = state.orders[order]
    position = state.positions[row.symbol]
    rate, side = taker_rate(state, terms, ts_ns), row.side
    if row.sizing == Sizing.NOTIONAL:
        rough = units_of(row.amount / reference, position.unit, 1)
        price = price_for(state, terms, order, rough, reference, maker, ts_ns)
        budget = int(np.rint(row.amount * CASH_UNITS))
        increment = row.step
        row.quantity = affordable(budget, position.unit, price, increment, 0.0)
        reason = Reason.BELOW_MINIMUM.value
    elif row.sizing == Sizing.CLOSE:
        row.side = Side.SELL.value if position.quantity > 0 else Side.BUY.value
        row.quantity = to_flat(state, terms, row.symbol, row.side, rate)
        reason = Reason.INSUFFICIENT_QUANTITY.value
    else:
        reason = _size_target(state, terms, order, reference, maker, rate, ts_ns)
        if row.quantity == 0 and reason == Reason.NONE and row.side == side:
            end(state, terms, order, Status.FILLED.value, row.reason, ts_ns)
            return False
    if has_limit(row.type) and row.side != side:
        row.side, row.quantity, reason = side, 0, Reason.UNSUPPORTED.value
    if row.quantity * position.unit * own_limit(state, order) * CASH_UNITS >= MOST_UNITS:
        row.quantity, reason = 0, Reason.BAD_QUANTITY.value
    if row.quantity == 0:
        end(state, terms, order, Status.REJECTED.value, reason, ts_ns)
        return False
    return True


@lean
def _size_target(
    state: State,
    terms: Terms,
    order: int,
    reference: float,
    maker: bool,
    rate: float,
    ts_ns: int,
) -> int:
    """Size an order for a fraction of the equity; return why there is nothing to do, or 0."""
    row = state.orders[order]
    position = state.positions[row.symbol]
    target, held, unit = row.amount, position.quantity, position.unit
    if target < 0.0 and not terms.allow_short:
        row.reason = Reason.INSUFFICIENT_QUANTITY
        state.account[0].rejects += 1
        target = 0.0
    cash, closing = state.account[0].cash, 0
    equity = equity_at(state, row.symbol, reference)
    if held != 0 and held * target <= 0.0:
        row.side = Side.SELL.value if held > 0 else Side.BUY.value
        closing = to_flat(state, terms, row.symbol, row.side, rate)
        price = price_for(state, terms, order, closing, reference, maker, ts_ns)
        value = value_of(closing, unit, price)
        fee = int(np.rint(value * rate)) if row.side < 0 or terms.fee_in_quote else 0
        after = cash - row.side * value - fee
        equity = equity - held * unit * reference + (after - cash) / CASH_UNITS
        cash, held = after, 0
    row.quantity = closing
    if target == 0.0:
        return Reason.NONE.value
    if equity <= 0.0:
        return Reason.INSUFFICIENT_BALANCE.value
    change = target * equity - held * unit * reference
    if change == 0.0:
        return Reason.NONE.value
    row.side = Side.BUY.value if change > 0.0 else Side.SELL.value
    opened = _change_in_units(
        state, terms, order, change, target, reference, held, cash, maker, rate, ts_ns
    )
    row.quantity = closing + opened
    if opened == 0:
        state.account[0].rejects += 1 if closing > 0 else 0
        return Reason.BELOW_MINIMUM.value
    return Reason.NONE.value


@lean
def _change_in_units(
    state: State,
    terms: Terms,
    order: int,
    change: float,
    target: float,
    reference: float,
    held: int,
    cash: int,
    maker: bool,
    rate: float,
    ts_ns: int,
) -> int:
    """Return how many units bring the position nearer to the target by ``change`` quote units."""
    row = state.orders[order]
    unit = state.positions[row.symbol].unit
    increment = row.step
    if change * target < 0.0:
        return min(units_of(abs(change) / reference, unit, increment), abs(held))
    rough = units_of(abs(change) / reference, unit, 1)
    price = price_for(state, terms, order, rough, reference, maker, ts_ns)
    if change < 0.0:
        return units_of(-change / price, unit, increment)
    free = cash - state.account[0].promised + row.promised
    budget = min(int(np.rint(change * CASH_UNITS)), free)
    quote_rate = rate if terms.fee_in_quote else 0.0
    return affordable(budget, unit, price, increment, quote_rate)


@lean
def _cut_by_chance(state: State, terms: Terms, order: int, quantity: int) -> int:
    """Return the quantity, or a fraction of it as often as the venue cuts fills (C3)."""
    row = state.orders[order]
    which = PARTIAL + 2 * row.fills
    if uniform(terms.seed, order, which) >= terms.partial_probability:
        return quantity
    cut = int(np.floor(quantity * uniform(terms.seed, order, which + 1)))
    cut -= cut % row.step
    return cut if cut > 0 else quantity


@lean
def _sufficient(
    state: State, terms: Terms, order: int, rest: int, price: float, rate: float
) -> int:
    """Return how much of the rest cash or holdings suffice for, others' promises kept (O2)."""
    row = state.orders[order]
    position = state.positions[row.symbol]
    if row.side == Side.SELL:
        if terms.allow_short:
            return rest
        free = position.quantity - position.promised + own_promise(state, order)
        return int(max(min(rest, free), 0))
    closing = 0
    if position.quantity < 0:
        closing = -position.quantity if terms.fee_in_quote else grossed_up(-position.quantity, rate)
    if rest <= closing:
        return rest
    quote_rate = rate if terms.fee_in_quote else 0.0
    free = state.account[0].cash - state.account[0].promised + row.promised
    if closing > 0:
        free -= price_of(closing, position.unit, price, quote_rate)
    if price_of(rest - closing, position.unit, price, quote_rate) <= free:
        return rest
    increment = row.step
    return closing + affordable(free, position.unit, price, increment, quote_rate)


@lean
def fill(
    state: State,
    terms: Terms,
    order: int,
    reference: float,
    room: int,
    maker: bool,
    inside: bool,
    ts_ns: int,
) -> int:
    """Fill an order as far as it goes against a reference price; return the units filled.

    ``room`` is how many units the market has. Makers fill at the reference price itself.
    ``inside`` says that the fill is not at the open of a bar (B4).
    """
    row = state.orders[order]
    if row.quantity == 0 and not size(state, terms, order, reference, maker, ts_ns):
        return 0
    rest = row.quantity - row.filled
    quantity = min(rest, room)
    if quantity > 0 and terms.partial_probability > 0.0:
        quantity = _cut_by_chance(state, terms, order, quantity)
    if quantity <= 0:
        return 0
    side, symbol = row.side, row.symbol
    price = price_for(state, terms, order, quantity, reference, maker, ts_ns)
    if rest * state.positions[symbol].unit * price * CASH_UNITS >= MOST_UNITS:
        status = Status.CANCELLED.value if row.filled > 0 else Status.REJECTED.value
        end(state, terms, order, status, Reason.BAD_QUANTITY.value, ts_ns)
        return 0
    rate = rate_at(state, terms, ts_ns, maker)
    enough = _sufficient(state, terms, order, rest, price, rate)
    if enough < rest:
        row.reason = (
            Reason.INSUFFICIENT_QUANTITY.value if side < 0 else Reason.INSUFFICIENT_BALANCE.value
        )
        row.quantity = row.filled + enough
        quantity = min(quantity, enough)
        if enough == 0:
            status = Status.CANCELLED.value if row.filled > 0 else Status.REJECTED.value
            end(state, terms, order, status, row.reason, ts_ns)
            return 0
    moved = book(state, terms, order, side, quantity, price, maker, ts_ns)
    state.symbols[symbol].done += quantity
    leave_impact(state, terms, symbol, side, quantity, ts_ns)
    after_fill(state, terms, order, quantity, moved, reference, inside, ts_ns)
    return int(quantity)
