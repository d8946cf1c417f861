"""How an order fills against an offer of the market: sizes, cuts and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tradelake.execution.layout import CASH_UNITS, Reason, Side, Sizing, Status
from tradelake.execution.twin import draws
from tradelake.execution.twin.costs import leave_permanent, taker_price
from tradelake.execution.twin.money import (
    LARGEST,
    Booked,
    book,
    cash_needed,
    equity,
    fee_of,
    fee_rates,
    largest_within,
    to_flat,
    units_of,
    value_of,
)
from tradelake.execution.twin.orders import end, promise, siblings, tell
from tradelake.execution.twin.state import Fill, Order, State


@dataclass
class Offer:
    """What the market offers an order at one instant."""

    reference: float
    """Price before costs; of a maker its limit."""
    maker: bool
    ts_ns: int
    event: int
    room: int | None = None
    """Units there are; None: as many as one wants."""
    spread: float = 0.0
    volume: float = math.nan
    """Base units of which C1 takes its share."""
    done: int = 0
    """Units that own fills took of that volume before this one."""
    inside: bool = False
    """B4: whether it is a fill somewhere inside a bar."""


def price_for(state: State, order: Order, offer: Offer, quantity: int) -> float:
    """B5: the price of so many units; a maker gets its limit."""
    if offer.maker:
        return offer.reference
    limit = order.limit if order.has_limit else math.nan
    return worsened(state, order.symbol, order.side, quantity, offer, limit)


def worsened(
    state: State, symbol: int, side: int, quantity: int, offer: Offer, limit: float
) -> float:
    """B5: what a taker pays for so many units, never beyond ``limit`` where that is a price."""
    unit, share = state.positions[symbol].unit, math.inf
    if offer.volume > 0.0:
        share = float(offer.done + quantity) * unit / offer.volume
    price = taker_price(
        state.terms,
        state.markets[symbol],
        side,
        offer.reference,
        offer.spread,
        share,
        float(quantity) * unit,
        offer.ts_ns,
    )
    if side == Side.BUY and price > limit:
        return limit
    return limit if side == Side.SELL and price < limit else price


def rate_for(state: State, offer: Offer) -> float:
    """C4: the fee rate of a fill."""
    maker, taker = fee_rates(state.terms, state.account, offer.ts_ns)
    return maker if offer.maker else taker


def own_promise(state: State, order: Order) -> int:
    """O2: what an order and the exits it shares a promise with have promised."""
    return order.promised + sum(other.promised for other in siblings(state, order))


def free_cash(state: State, order: Order) -> int:
    """Cash units that an order may spend: what others did not promise."""
    own = order.promised if order.side == Side.BUY else 0
    return state.account.cash - state.account.promised + own


def most_allowed(state: State, order: Order, offer: Offer, price: float) -> int:
    """O2: units of what is left that cash, or the position of one who cannot go short, allows."""
    terms, position, rate = state.terms, state.positions[order.symbol], rate_for(state, offer)
    if order.side == Side.SELL:
        free = position.quantity - position.promised + own_promise(state, order)
        return order.rest if terms.allow_short else max(min(order.rest, free), 0)
    covering = to_flat(terms, position, order.side, rate)
    if order.rest <= covering:
        return order.rest
    cash = free_cash(state, order)
    if covering > 0:
        cash -= cash_needed(terms, covering, price, position.unit, rate)
    if cash_needed(terms, order.rest - covering, price, position.unit, rate) <= cash:
        return order.rest
    return covering + largest_within(terms, cash, price, position.unit, order.step, rate)


def size(state: State, order: Order, offer: Offer) -> Reason:
    """O1: give an order that says something else its quantity; return why there is none."""
    if order.sizing == Sizing.NOTIONAL:
        order.quantity = size_notional(state, order, offer)
        return Reason.BELOW_MINIMUM
    if order.sizing == Sizing.CLOSE:
        order.quantity = size_close(state, order, offer)
        return Reason.INSUFFICIENT_QUANTITY
    return size_target(state, order, offer)


def size_notional(state: State, order: Order, offer: Offer) -> int:
    """O1: the largest quantity whose value at the fill price is no more than the notional."""
    unit, cash = state.positions[order.symbol].unit, round(order.amount * CASH_UNITS)
    price = price_for(state, order, offer, units_of(order.amount / offer.reference, unit))
    of_value = state.terms._replace(fee_in_quote=False)
    return largest_within(of_value, cash, price, unit, order.step, 0.0)


def size_close(state: State, order: Order, offer: Offer) -> int:
    """O1: the whole position, whatever the increment; the side follows from it."""
    position = state.positions[order.symbol]
    order.side = Side.SELL if position.quantity > 0 else Side.BUY
    _, taker = fee_rates(state.terms, state.account, offer.ts_ns)
    return to_flat(state.terms, position, order.side, taker)


def size_target(state: State, order: Order, offer: Offer) -> Reason:
    """O1: close what is held on the wrong side, then go to the wanted part of the equity."""
    position, weight = state.positions[order.symbol], order.amount
    if weight < 0.0 and not state.terms.allow_short:
        state.account.rejects += 1
        order.reason, weight = Reason.INSUFFICIENT_QUANTITY, 0.0
    cash, held, closing = state.account.cash, position.quantity, 0
    worth = equity(state.account, state.positions, order.symbol, offer.reference)
    if held != 0 and held * weight <= 0.0:
        closing = size_close(state, order, offer)
        after = cash_after_closing(state, order, offer, closing)
        worth = worth - float(held) * position.unit * offer.reference + (after - cash) / CASH_UNITS
        cash, held = after, 0
    order.quantity = closing
    if weight == 0.0:
        return Reason.NONE
    if not worth > 0.0:
        return Reason.INSUFFICIENT_BALANCE
    change = weight * worth - float(held) * position.unit * offer.reference
    if change == 0.0:
        return Reason.NONE
    order.side = Side.BUY if change > 0.0 else Side.SELL
    if change * weight < 0.0:
        missing = units_of(abs(change) / offer.reference, position.unit, order.step)
        order.quantity = min(missing, abs(held))
        return Reason.BELOW_MINIMUM
    opening = size_away(state, order, offer, change, cash)
    if opening == 0 and closing > 0:
        state.account.rejects += 1
    order.quantity = closing + opening
    return Reason.BELOW_MINIMUM


def cash_after_closing(state: State, order: Order, offer: Offer, closing: int) -> int:
    """O1: the cash there will be when the wrong side is closed, fee and all."""
    price = price_for(state, order, offer, closing)
    _, rate = fee_rates(state.terms, state.account, offer.ts_ns)
    value = value_of(closing, price, state.positions[order.symbol].unit)
    pays_cash = order.side == Side.SELL or state.terms.fee_in_quote
    fee = fee_of(value, rate) if pays_cash else 0
    return state.account.cash - order.side * value - fee


def size_away(state: State, order: Order, offer: Offer, change: float, cash: int) -> int:
    """O1: units that ``change`` quote units buy, or sell short, at the worsened price."""
    unit = state.positions[order.symbol].unit
    price = price_for(state, order, offer, units_of(abs(change) / offer.reference, unit))
    if order.side == Side.SELL:
        return units_of(-change / price, unit, order.step)
    free = cash - state.account.promised + order.promised
    budget = min(round(change * CASH_UNITS), free)
    _, rate = fee_rates(state.terms, state.account, offer.ts_ns)
    return largest_within(state.terms, budget, price, unit, order.step, rate)


def fill(state: State, order: Order, offer: Offer) -> int:
    """Fill what can be filled of an order and return the units."""
    if order.quantity == 0 and not is_sized(state, order, offer):
        return 0
    quantity = order.rest if offer.room is None else min(order.rest, offer.room)
    quantity = cut_by_chance(state, order, quantity)
    if quantity <= 0:
        return 0
    price = price_for(state, order, offer, quantity)
    if float(order.rest) * state.positions[order.symbol].unit * price * CASH_UNITS >= LARGEST:
        status = Status.CANCELLED if order.filled > 0 else Status.REJECTED
        end(state, order, status, Reason.BAD_QUANTITY, offer.ts_ns)
        return 0
    allowed = most_allowed(state, order, offer, price)
    if allowed < order.rest:
        buys = order.side == Side.BUY
        order.reason = Reason.INSUFFICIENT_BALANCE if buys else Reason.INSUFFICIENT_QUANTITY
        order.quantity = order.filled + allowed
        quantity = min(quantity, allowed)
    if quantity == 0:
        status = Status.CANCELLED if order.filled > 0 else Status.REJECTED
        end(state, order, status, Reason(order.reason), offer.ts_ns)
        return 0
    settle(state, order, offer, quantity, price)
    finish(state, order, offer.ts_ns)
    return quantity


def is_sized(state: State, order: Order, offer: Offer) -> bool:
    """O1: size an order at its first chance; one with nothing to do ends."""
    side = order.side
    reason = size(state, order, offer)
    if order.has_limit and order.side != side:
        order.side, order.quantity, reason = side, 0, Reason.UNSUPPORTED
    unit = state.positions[order.symbol].unit
    if order.has_limit and float(order.quantity) * unit * order.limit * CASH_UNITS >= LARGEST:
        order.quantity, reason = 0, Reason.BAD_QUANTITY
    if order.quantity > 0:
        return True
    status = Status.FILLED if reason == Reason.NONE else Status.REJECTED
    end(state, order, status, reason, offer.ts_ns)
    return False


def cut_by_chance(state: State, order: Order, quantity: int) -> int:
    """C3: the quantity, or as often as the venue does so, a random part of it."""
    kept = draws.kept_share(state.terms, order.id, order.fills)
    if kept == 1.0:
        return quantity
    cut = math.floor(float(quantity) * kept)
    return cut - cut % order.step or quantity


def settle(state: State, order: Order, offer: Offer, quantity: int, price: float) -> None:
    """M5: book a fill, as two where it crosses flat, and let it reach the bracket."""
    position, rate = state.positions[order.symbol], rate_for(state, offer)
    closing = to_flat(state.terms, position, order.side, rate)
    parts = [closing, quantity - closing] if 0 < closing < quantity else [quantity]
    moved = 0
    for part in parts:
        booked = book(
            state.terms, state.account, position, offer.ts_ns, order.side, part, price, rate
        )
        order.filled += part
        order.value += booked.value
        order.fills += 1
        moved += booked.moved
        record(state, order, offer, booked, price)
    if math.isnan(position.price):
        position.price = price
    market, size_moved = state.markets[order.symbol], float(quantity) * position.unit
    leave_permanent(state.terms, market, order.side, size_moved, offer.ts_ns)
    follow_fill(state, order, quantity, moved, offer)
    promise(state, order, offer.ts_ns)


def record(state: State, order: Order, offer: Offer, booked: Booked, price: float) -> None:
    """Write a fill down, and tell the strategy of it."""
    state.fills.append(
        Fill(
            order.id,
            order.symbol,
            order.side,
            int(offer.maker),
            offer.event,
            offer.ts_ns,
            booked.quantity,
            booked.value,
            booked.fee,
            int(booked.fee_in_base),
            booked.fee_value,
            booked.realised,
            price,
        )
    )
    fee_cash = 0 if booked.fee_in_base else booked.fee
    cash = -order.side * booked.value - fee_cash
    tell(state, order, offer.ts_ns, cash, order.side * booked.moved)


def follow_fill(state: State, order: Order, quantity: int, moved: int, offer: Offer) -> None:
    """O3: feed the exits of an entry; take from the exit that one that filled rivals."""
    for row in order.exits:
        child = state.orders[row]
        if not child.ended:
            child.quantity += moved
            if not offer.inside:
                child.status = Status.WORKING
            if math.isnan(child.water):
                child.follow(offer.reference)
    for other in siblings(state, order):
        other.quantity -= min(quantity, other.rest)
    for row in order.exits:
        promise(state, state.orders[row], offer.ts_ns)
    for other in siblings(state, order):
        promise(state, other, offer.ts_ns)


def finish(state: State, order: Order, ts_ns: int) -> None:
    """End an order that has filled; an exit whose entry still works waits for more (O3)."""
    if order.ended or order.rest > 0:
        return
    if order.is_exit and not state.orders[order.parent].ended:
        return
    end(state, order, Status.FILLED, Reason.NONE, ts_ns)
