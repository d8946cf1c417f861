"""Life of an order in the twin: arrival checks, promises, ends; rules O1 to O4."""

from __future__ import annotations

import math

from tradelake.execution.layout import (
    CASH_UNITS,
    NONE,
    OrderType,
    Reason,
    Side,
    Sizing,
    Status,
    TimeInForce,
)
from tradelake.execution.terms import Trading
from tradelake.execution.twin import draws
from tradelake.execution.twin.money import (
    LARGEST,
    cash_needed,
    fee_of,
    fee_rates,
    to_flat,
    units_of,
)
from tradelake.execution.twin.state import Answer, Listing, Order, State

TICK_ERROR = 1e-6
LARGEST_TARGET = 1_000.0
"""Times the equity: what is beyond is no honest target (O2)."""
TICK_ERROR_GROWTH = 1e-15
LEAST_PRICE, LARGEST_PRICE = 1e-15, 1e15
"""What is outside is no honest price (O2)."""


def tell(state: State, order: Order, ts_ns: int, cash: int = 0, position: int = 0) -> None:
    """T2: what the venue says of an order, heard one response latency after it happened."""
    delay = draws.latency_ns(state.terms, draws.RESPONSE, order.id, draws.RESPONSE)
    state.answers.append(
        Answer(
            ts_ns + delay,
            order.id,
            order.status,
            order.reason,
            order.quantity,
            order.filled,
            order.value,
            cash,
            position,
            order.symbol,
        )
    )


def is_good_quantity(order: Order, unit: float) -> bool:
    """O2: whether the amount is one that can be ordered at all."""
    if order.sizing == Sizing.CLOSE or (order.is_exit and order.quantity > 0):
        return True
    if not math.isfinite(order.amount):
        return False
    if order.sizing == Sizing.TARGET:
        return abs(order.amount) <= LARGEST_TARGET
    scale = 1.0 / unit if order.sizing == Sizing.QUANTITY else CASH_UNITS
    return order.amount > 0.0 and order.amount * scale < LARGEST


def prices_of(order: Order) -> list[float]:
    """Return the prices that an order names."""
    prices = [order.limit] if order.has_limit else []
    if order.type in (OrderType.STOP, OrderType.STOP_LIMIT):
        prices.append(order.stop)
    return prices


def is_good_price(price: float) -> bool:
    """O2: whether a price is one that somebody could mean."""
    return LEAST_PRICE <= price <= LARGEST_PRICE


def is_good_trail(order: Order) -> bool:
    """O1: whether a trailing stop has a distance: an amount, or minus a fraction below 1."""
    if order.type != OrderType.TRAILING_STOP:
        return True
    return math.isfinite(order.trail) and order.trail != 0.0 and order.trail > -1.0


def is_on_tick(price: float, tick: float) -> bool:
    """O2: whether a price is a multiple of the price increment."""
    if not tick > 0.0:
        return True
    ticks = price / tick
    return abs(ticks - round(ticks)) <= TICK_ERROR + TICK_ERROR_GROWTH * ticks


def is_offered(state: State, order: Order) -> bool:
    """O2: whether the venue has this kind of order."""
    known = (
        order.side in (Side.BUY, Side.SELL)
        and order.type in tuple(OrderType)
        and order.tif in tuple(TimeInForce)
        and order.sizing in tuple(Sizing)
    )
    terms = state.terms
    return (
        known
        and bool(terms.types_offered >> order.type & 1)
        and bool(terms.tifs_offered >> order.tif & 1)
    )


def worth(state: State, order: Order, quantity: int) -> float:
    """O2: quote units an order is about: its notional, else at limit, stop or last price."""
    if order.sizing == Sizing.NOTIONAL:
        return order.amount
    position = state.positions[order.symbol]
    price = position.price
    if order.has_limit:
        price = order.limit
    elif order.type == OrderType.STOP:
        price = order.stop
    return float(quantity) * position.unit * price


def check_size(state: State, order: Order) -> Reason:
    """O2: minimum and cap, of orders that say how much."""
    if order.sizing not in (Sizing.QUANTITY, Sizing.NOTIONAL):
        return Reason.NONE
    may_open = order.side == Side.BUY or state.terms.allow_short
    minimum_value = order.minimum_value if may_open else 0
    if order.sizing == Sizing.QUANTITY and order.quantity < max(order.minimum, 1):
        return Reason.BELOW_MINIMUM
    cash_units = worth(state, order, order.quantity) * CASH_UNITS
    if math.isnan(cash_units):
        return Reason.NONE
    if cash_units >= LARGEST:
        return Reason.BAD_QUANTITY
    if round(cash_units) < minimum_value:
        return Reason.BELOW_MINIMUM
    if 0 < state.terms.cap < round(cash_units):
        return Reason.ABOVE_CAP
    return Reason.NONE


def check_promises(state: State, order: Order, ts_ns: int, freed: int = 0) -> Reason:
    """O2: whether holdings and cash that are not promised suffice; a replacement frees some."""
    terms, position = state.terms, state.positions[order.symbol]
    if order.side == Side.SELL:
        free = position.quantity - position.promised + freed
        if order.quantity > free and not terms.allow_short:
            return Reason.INSUFFICIENT_QUANTITY
        return Reason.NONE
    if order.is_exit or not order.has_limit:
        return Reason.NONE
    _, taker = fee_rates(terms, state.account, ts_ns)
    if order.quantity > 0:
        covering = to_flat(terms, position, Side.BUY, taker)
        opening = max(order.quantity - covering, 0)
        needed = cash_needed(terms, opening, order.limit, position.unit, taker)
    elif order.sizing == Sizing.NOTIONAL:
        value = round(order.amount * CASH_UNITS)
        needed = value + (fee_of(value, taker) if terms.fee_in_quote else 0)
    else:
        return Reason.NONE
    short_of_cash = needed > state.account.cash - state.account.promised + freed
    return Reason.INSUFFICIENT_BALANCE if short_of_cash else Reason.NONE


def check(state: State, order: Order, ts_ns: int) -> Reason:
    """O2: the first thing that is wrong with an order that arrives, but for promises."""
    listing = state.listing(order.symbol, ts_ns)
    if listing is None or listing.renamed_to != NONE:
        return Reason.UNKNOWN_SYMBOL
    if not is_good_quantity(order, listing.unit):
        return Reason.BAD_QUANTITY
    reason = check_terms(state, order, listing)
    if reason != Reason.NONE:
        return reason
    admit_size(order, listing)
    return check_size(state, order)


def check_terms(state: State, order: Order, listing: Listing) -> Reason:
    """O2: prices, trading and kind of an order; all that is asked of an exit that waits."""
    prices = prices_of(order)
    if not all(is_good_price(price) for price in prices) or not is_good_trail(order):
        return Reason.BAD_PRICE
    if not all(is_on_tick(price, listing.tick) for price in prices):
        return Reason.OFF_INCREMENT
    if listing.trading == Trading.DELISTED:
        return Reason.DELISTED
    if listing.trading == Trading.HALTED:
        return Reason.HALTED
    return Reason.NONE if is_offered(state, order) else Reason.UNSUPPORTED


def check_bracket(state: State, order: Order, ts_ns: int) -> Reason:
    """O2: an entry and its exits are checked as one, promises last."""
    reason = check(state, order, ts_ns)
    listing = state.listing(order.symbol, ts_ns)
    for row in order.exits:
        child = state.orders[row]
        if reason == Reason.NONE and listing is not None and not child.ended:
            reason = check_terms(state, child, listing)
    return reason or check_promises(state, order, ts_ns)


def admit_size(order: Order, listing: Listing) -> None:
    """I1: note the increment and minima in force, and the quantity where that is what was said."""
    order.step = max(listing.increment, 1)
    order.minimum, order.minimum_value = listing.minimum, listing.minimum_value
    if order.sizing == Sizing.QUANTITY and order.quantity == 0:
        order.quantity = units_of(order.amount, listing.unit, order.step)


def promise_of(state: State, order: Order, ts_ns: int) -> int:
    """O2: cash units that a working buy, or units that a working sell keeps from others."""
    if order.side == Side.SELL:
        if order.type == OrderType.MARKET or not is_first_of_group(state, order):
            return 0
        return order.rest
    if order.is_exit or not order.has_limit:
        return 0
    _, taker = fee_rates(state.terms, state.account, ts_ns)
    unit = state.positions[order.symbol].unit
    if order.sized:
        return cash_needed(state.terms, order.rest, order.limit, unit, taker)
    if order.sizing == Sizing.NOTIONAL:
        value = round(order.amount * CASH_UNITS)
        return value + (fee_of(value, taker) if state.terms.fee_in_quote else 0)
    return 0


def is_first_of_group(state: State, order: Order) -> bool:
    """O2: whether the promise that two exits share is told at this one's row."""
    return all(order.turn < other.turn for other in siblings(state, order) if other.can_fill)


def siblings(state: State, order: Order) -> list[Order]:
    """O3: the exits that live and end with this one."""
    if order.group == NONE:
        return []
    return [
        other
        for other in state.orders
        if other.group == order.group and other.id != order.id and not other.ended
    ]


def promise(state: State, order: Order, ts_ns: int) -> None:
    """Bring what an order promises up to date."""
    now = 0
    if order.can_fill:
        now = promise_of(state, order, ts_ns)
    if order.side == Side.BUY:
        state.account.promised += now - order.promised
    else:
        state.positions[order.symbol].promised += now - order.promised
    order.promised = now


def release(state: State, order: Order) -> None:
    """Take back what an order promises."""
    if order.promised == 0:
        return
    if order.side == Side.BUY:
        state.account.promised -= order.promised
    else:
        state.positions[order.symbol].promised -= order.promised
    order.promised = 0


def end(state: State, order: Order, status: Status, reason: Reason, ts_ns: int) -> None:
    """End an order, and with it what depends on it (O3)."""
    end_alone(state, order, status, reason, ts_ns)
    for row in order.exits:
        end_exit_of(state, order, state.orders[row], ts_ns)
    for other in siblings(state, order):
        end_alone(state, other, Status.CANCELLED, Reason.OCO, ts_ns)


def end_alone(state: State, order: Order, status: Status, reason: Reason, ts_ns: int) -> None:
    """End an order and let go what it promised."""
    release(state, order)
    order.status, order.ended_ns = status, ts_ns
    order.reason = reason if reason != Reason.NONE else order.reason
    if status == Status.REJECTED:
        state.account.rejects += 1
    tell(state, order, ts_ns)


def end_exit_of(state: State, entry: Order, child: Order, ts_ns: int) -> None:
    """O3: what the end of an entry does to one of its exits; what it filled keeps them."""
    if child.ended or (child.quantity > 0 and child.rest > 0):
        return
    status, reason = Status.CANCELLED, Reason.OCO
    if child.quantity == 0 and entry.filled == 0:
        reason = Reason.PARENT_ENDED
    elif child.filled > 0:
        status, reason = Status.FILLED, Reason.NONE
    end_alone(state, child, status, reason, ts_ns)
