"""Why the venue refuses an order on its arrival (O2). Compiled."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.account import grossed_up, price_of, units_of
from tradelake.execution.compiled import inlined, lean
from tradelake.execution.layout import (
    CASH_UNITS,
    LEAST_PRICE,
    MOST_PRICE,
    NONE,
    OrderType,
    Reason,
    Side,
    Sizing,
    TimeInForce,
)
from tradelake.execution.state import State
from tradelake.execution.terms import Terms, Trading

MOST_UNITS: Final = 4e18
"""More does not fit an integer of 63 bits."""
MOST_TARGET: Final = 1_000.0
"""Times the equity: what is beyond is no honest target."""


@lean
def has_limit(kind: int) -> bool:
    """Return whether an order of the type has a limit."""
    return bool(kind == OrderType.LIMIT or kind == OrderType.STOP_LIMIT)


@lean
def has_stop(kind: int) -> bool:
    """Return whether an order of the type is given a stop."""
    return bool(kind == OrderType.STOP or kind == OrderType.STOP_LIMIT)


@lean
def _is_bad(number: float) -> bool:
    return bool(not np.isfinite(number) or number <= 0.0)


@lean
def _is_bad_price(price: float) -> bool:
    return not LEAST_PRICE <= price <= MOST_PRICE


@lean
def _is_off(price: float, tick: float) -> bool:
    if tick <= 0.0:
        return False
    ratio = price / tick
    return bool(abs(ratio - np.rint(ratio)) > 1e-6 + 1e-15 * ratio)


@inlined
def check_terms(state: State, terms: Terms, order: int) -> int:
    """Return why prices or type are refused, or 0: all that is asked of exits (O2)."""
    row = state.orders[order]
    symbol = state.symbols[row.symbol]
    limited, stopped = has_limit(row.type), has_stop(row.type)
    if (limited and _is_bad_price(row.limit)) or (stopped and _is_bad_price(row.stop)):
        return Reason.BAD_PRICE.value
    if row.type == OrderType.TRAILING_STOP and (
        not np.isfinite(row.trail) or row.trail == 0.0 or row.trail <= -1.0
    ):
        return Reason.BAD_PRICE.value
    if (limited and _is_off(row.limit, symbol.tick)) or (
        stopped and _is_off(row.stop, symbol.tick)
    ):
        return Reason.OFF_INCREMENT.value
    if symbol.trading == Trading.DELISTED:
        return Reason.DELISTED.value
    if symbol.trading == Trading.HALTED:
        return Reason.HALTED.value
    known = (
        abs(row.side) == 1
        and 0 <= row.type <= OrderType.TRAILING_STOP
        and 0 <= row.tif <= TimeInForce.IOC
        and 0 <= row.sizing <= Sizing.CLOSE
    )
    offered = known and (terms.types_offered >> row.type) & (terms.tifs_offered >> row.tif) & 1
    return Reason.NONE.value if offered else Reason.UNSUPPORTED.value


@inlined
def _check_amount(state: State, order: int) -> int:
    row = state.orders[order]
    if row.sizing == Sizing.CLOSE or (row.parent != NONE and row.quantity > 0):
        return Reason.NONE.value
    if row.sizing == Sizing.TARGET:
        fits = np.isfinite(row.amount) and abs(row.amount) <= MOST_TARGET
        return Reason.NONE.value if fits else Reason.BAD_QUANTITY.value
    scale = CASH_UNITS
    if row.sizing == Sizing.QUANTITY:
        scale = 1.0 / state.positions[row.symbol].unit
    if _is_bad(row.amount) or row.amount * scale >= MOST_UNITS:
        return Reason.BAD_QUANTITY.value
    return Reason.NONE.value


@lean
def check(state: State, terms: Terms, order: int) -> int:
    """Return why the venue refuses an order, or 0, in the order of O2; sets its quantity."""
    row = state.orders[order]
    if not 0 <= row.symbol < state.symbols.shape[0]:
        return Reason.UNKNOWN_SYMBOL.value
    if state.symbols[row.symbol].renamed_to != NONE:
        return Reason.UNKNOWN_SYMBOL.value
    reason = _check_amount(state, order)
    if reason == Reason.NONE:
        reason = check_terms(state, terms, order)
    if reason == Reason.NONE:
        row.step = max(state.symbols[row.symbol].increment, 1)
        if row.sizing <= Sizing.NOTIONAL:
            reason = _check_size(state, terms, order)
    return reason


@inlined
def _check_size(state: State, terms: Terms, order: int) -> int:
    """Return why a quantity or notional is too small or too large, or 0; sets the quantity."""
    row = state.orders[order]
    position, symbol = state.positions[row.symbol], state.symbols[row.symbol]
    value = row.amount * CASH_UNITS
    may_open = row.side == Side.BUY or terms.allow_short
    if row.sizing == Sizing.QUANTITY:
        if row.quantity == 0:
            row.quantity = units_of(row.amount, position.unit, row.step)
        if row.quantity < max(symbol.minimum, 1):
            return Reason.BELOW_MINIMUM.value
        price = row.limit if has_limit(row.type) else position.price
        if row.type == OrderType.STOP:
            price = row.stop
        value = row.quantity * position.unit * price * CASH_UNITS
    if np.isnan(value):
        return Reason.NONE.value
    if value >= MOST_UNITS:
        return Reason.BAD_QUANTITY.value
    if may_open and np.rint(value) < symbol.minimum_value:
        return Reason.BELOW_MINIMUM.value
    if 0 < terms.cap < np.rint(value):
        return Reason.ABOVE_CAP.value
    return Reason.NONE.value


@inlined
def check_promises(state: State, terms: Terms, order: int, freed: int) -> int:
    """Return why holdings or cash do not suffice, or 0; ``freed`` is what a replace gives back."""
    row = state.orders[order]
    position, account = state.positions[row.symbol], state.account[0]
    if row.side == Side.SELL:
        free = position.quantity - position.promised + freed
        if not terms.allow_short and row.quantity > free:
            return Reason.INSUFFICIENT_QUANTITY.value
        return Reason.NONE.value
    if row.parent != NONE or not has_limit(row.type) or row.sizing > Sizing.NOTIONAL:
        return Reason.NONE.value
    rate = state.counters[0].taker if terms.fee_in_quote else 0.0
    if row.quantity > 0:
        opens = row.quantity
        if position.quantity < 0:
            base_rate = 0.0 if terms.fee_in_quote else state.counters[0].taker
            opens = max(opens - grossed_up(-position.quantity, base_rate), 0)
        needed = price_of(opens, position.unit, row.limit, rate)
    else:
        budget = int(np.rint(row.amount * CASH_UNITS))
        needed = budget + int(np.rint(budget * rate))
    if needed > account.cash - account.promised + freed:
        return Reason.INSUFFICIENT_BALANCE.value
    return Reason.NONE.value
