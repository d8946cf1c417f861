"""What reaches the venue of the twin: orders, cancels and replacements; rules T4, O2 and O4."""

from __future__ import annotations

import math

from tradelake.execution.layout import NONE, OrderType, Reason, Sizing, Status
from tradelake.execution.twin.orders import (
    check,
    check_bracket,
    check_promises,
    check_terms,
    end,
    promise,
    release,
    siblings,
    tell,
)
from tradelake.execution.twin.state import Order, State


def cancel_on_arrival(state: State, order: Order, ts_ns: int) -> None:
    """T4: a cancel reaches the venue; one that overtakes its order ends it all the same."""
    order.cancel_ns = min(order.cancel_ns, ts_ns)
    end(state, order, Status.CANCELLED, Reason.BY_STRATEGY, ts_ns)


def arrive(state: State, order: Order, ts_ns: int) -> None:
    """O2: an order reaches the venue."""
    order.turn = (order.arrives_ns, order.id, 0)
    if order.replaces != NONE:
        arrive_as_replacement(state, order, state.orders[order.replaces], ts_ns)
        return
    reason = check_bracket(state, order, ts_ns)
    if reason != Reason.NONE:
        end(state, order, Status.REJECTED, reason, ts_ns)
        return
    start(state, order, ts_ns)
    for row in order.exits:
        child = state.orders[row]
        if child.ended:
            continue
        child.turn = (order.arrives_ns, order.id, child.id)
        child.step = order.step
        child.status = Status.WAITING
        tell(state, child, ts_ns)


def start(state: State, order: Order, ts_ns: int) -> None:
    """Let an order that passed its checks work."""
    order.status = Status.WORKING
    if order.type == OrderType.TRAILING_STOP and not order.is_exit:
        order.follow(state.positions[order.symbol].price)
    promise(state, order, ts_ns)
    tell(state, order, ts_ns)


def arrive_as_replacement(state: State, order: Order, old: Order, ts_ns: int) -> None:
    """O4: take the place of ``old``, or be refused and leave it as it is."""
    if old.ended or old.status == Status.SENT:
        end(state, order, Status.REJECTED, Reason.PARENT_ENDED, ts_ns)
        return
    keeps_terms = all(math.isnan(price) for price in (order.limit, order.stop, order.trail))
    inherit(state, order, old)
    freed = old.promised + sum(other.promised for other in siblings(state, old))
    waits, listing = old.status == Status.WAITING, state.listing(order.symbol, ts_ns)
    if waits and listing is not None:
        reason = check_terms(state, order, listing)
    else:
        reason = check(state, order, ts_ns)
    reason = reason or check_promises(state, order, ts_ns, freed)
    if reason != Reason.NONE:
        order.group = order.parent = NONE
        end(state, order, Status.REJECTED, reason, ts_ns)
        return
    if waits or (keeps_terms and order.quantity <= old.rest):
        order.turn, order.ahead = old.turn, old.ahead
        order.rests, order.queued = old.rests, old.queued
    hand_over(state, order, old)
    order.status, status = old.status, old.status
    release(state, old)
    old.status, old.reason, old.ended_ns = Status.CANCELLED, Reason.REPLACED, ts_ns
    tell(state, old, ts_ns)
    order.status = status
    for member in (order, *siblings(state, order)):
        promise(state, member, ts_ns)
    tell(state, order, ts_ns)


def hand_over(state: State, order: Order, old: Order) -> None:
    """O4: exits follow to the new entry, behind it as they stood; an exit stays in its group."""
    order.exits, old.exits = old.exits, []
    alive = [state.orders[row] for row in order.exits if not state.orders[row].ended]
    for place, child in enumerate(sorted(alive, key=lambda one: one.turn)):
        child.parent = child.group = order.id
        if order.turn != old.turn:
            child.turn = (order.turn[0], order.turn[1], 1 + place)
    if order.is_exit:
        entry = state.orders[order.parent]
        entry.exits = [order.id if row == old.id else row for row in entry.exits]
        old.group = NONE


def inherit(state: State, order: Order, old: Order) -> None:
    """O4: what a replacement does not say stays as it was."""
    order.symbol, order.side, order.type, order.tif = old.symbol, old.side, old.type, old.tif
    order.parent, order.group = old.parent, old.group
    order.limit = old.limit if math.isnan(order.limit) else order.limit
    if math.isnan(order.stop) or order.type == OrderType.TRAILING_STOP:
        order.stop, order.triggered = old.stop, old.triggered
    if math.isnan(order.trail):
        order.trail, order.water = old.trail, old.water
    if not math.isnan(order.amount):
        order.sizing = Sizing.QUANTITY
    elif old.quantity > 0:
        order.sizing, order.quantity = Sizing.QUANTITY, old.rest
        order.amount = float(old.rest) * state.positions[old.symbol].unit
    else:
        order.sizing, order.amount = old.sizing, old.amount
    if old.status == Status.WAITING:
        order.quantity = old.quantity
