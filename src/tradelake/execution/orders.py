"""The life of orders at the venue: sent, ended, brackets and what fills do to them (O1 to O5).

Compiled. What happens on arrival is in :mod:`tradelake.execution.arrivals`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.account import price_of
from tradelake.execution.compiled import inlined, lean
from tradelake.execution.draws import CANCEL, ENTRY, latency
from tradelake.execution.layout import CASH_UNITS, NONE, OrderType, Reason, Side, Sizing, Status
from tradelake.execution.state import State
from tradelake.execution.terms import Terms

MOST_ID: Final = 2**31 - 1
"""Of what a row of an order names: an order, a symbol."""


@lean
def _code(number: int) -> int:
    """Return a code as the row of an order holds it: what fits no byte stays no code (O2)."""
    return min(max(number, -128), 127)


@inlined
def _write(
    state: State,
    now_ns: int,
    arrives_ns: int,
    symbol: int,
    side: int,
    kind: int,
    tif: int,
    sizing: int,
    amount: float,
    limit: float,
    stop: float,
    trail: float,
    parent: int,
) -> int:
    """Write the row of an order that is nowhere yet, and return it; there must be room."""
    counters = state.counters[0]
    order = counters.orders
    row = state.orders[order]
    row.symbol, row.side, row.type = min(max(symbol, NONE), MOST_ID), _code(side), _code(kind)
    row.tif, row.sizing = _code(tif), _code(sizing)
    row.status, row.reason, row.parent, row.group = Status.SENT, 0, parent, parent
    row.replaces, row.quantity, row.filled, row.value, row.promised = NONE, 0, 0, 0, 0
    row.fills, row.triggered, row.submitted_ns, row.arrives_ns = 0, 0, now_ns, arrives_ns
    row.ended_ns, row.cancel_ns, row.step = NONE, NONE, 1
    row.amount, row.limit, row.stop, row.trail = amount, limit, stop, trail
    row.water, row.ahead = np.nan, 0.0
    counters.orders = order + 1
    return int(order)


@lean
def new_order(state: State, now_ns: int, symbol: int, side: int) -> int:
    """Write the row of a market order that is nowhere yet, and return it; there must be room."""
    nan = np.nan
    return _write(state, now_ns, now_ns, symbol, side, 0, 0, 0, nan, nan, nan, nan, NONE)


@lean
def send(
    state: State,
    terms: Terms,
    now_ns: int,
    symbol: int,
    side: int,
    kind: int,
    tif: int,
    sizing: int,
    amount: float,
    limit: float,
    stop: float,
    trail: float,
) -> int:
    """Send an order and return its row; there must be room for it."""
    counters = state.counters[0]
    at = now_ns + latency(terms.latency, ENTRY, terms.seed, counters.orders, ENTRY)
    order = _write(
        state, now_ns, at, symbol, side, kind, tif, sizing, amount, limit, stop, trail, NONE
    )
    state.sent[counters.sent] = order
    counters.sent += 1
    counters.next_ns = min(counters.next_ns, at)
    return order


@lean
def send_exit(state: State, entry: int, kind: int, limit: float, stop: float, trail: float) -> int:
    """Send an exit along with the entry that was sent last; the stop comes before the target."""
    row = state.orders[entry]
    state.counters[0].exits += 1
    return _write(
        state,
        row.submitted_ns,
        row.arrives_ns,
        row.symbol,
        -row.side,
        kind,
        0,
        0,
        np.nan,
        limit,
        stop,
        trail,
        entry,
    )


@lean
def send_bracket(
    state: State,
    terms: Terms,
    now_ns: int,
    symbol: int,
    side: int,
    kind: int,
    tif: int,
    sizing: int,
    amount: float,
    limit: float,
    stop: float,
    trail: float,
    exit_stop: float,
    exit_trail: float,
    target: float,
) -> int:
    """Send an entry with a stop (or trailing stop) and a target; NaN leaves one out (O3)."""
    entry = send(state, terms, now_ns, symbol, side, kind, tif, sizing, amount, limit, stop, trail)
    if not np.isnan(exit_stop) or not np.isnan(exit_trail):
        stop_kind = OrderType.STOP.value
        if not np.isnan(exit_trail):
            stop_kind = OrderType.TRAILING_STOP.value
        send_exit(state, entry, stop_kind, np.nan, exit_stop, exit_trail)
    if not np.isnan(target):
        send_exit(state, entry, OrderType.LIMIT.value, target, np.nan, np.nan)
    return entry


@lean
def send_replace(
    state: State,
    terms: Terms,
    now_ns: int,
    replaced: int,
    amount: float,
    limit: float,
    stop: float,
    trail: float,
) -> int:
    """Send an order that shall take another's place; NaN leaves something as it is (O4)."""
    old = state.orders[replaced]
    order = send(
        state,
        terms,
        now_ns,
        old.symbol,
        old.side,
        old.type,
        old.tif,
        old.sizing,
        amount,
        limit,
        stop,
        trail,
    )
    state.orders[order].replaces = replaced
    return order


@lean
def send_cancel(state: State, terms: Terms, now_ns: int, order: int) -> bool:
    """Send a cancel; False where the order has ended or a cancel is on its way already."""
    row = state.orders[order]
    if row.status >= Status.FILLED or row.cancel_ns != NONE:
        return False
    row.cancel_ns = now_ns + latency(terms.latency, ENTRY, terms.seed, order, CANCEL)
    state.counters[0].next_ns = min(state.counters[0].next_ns, row.cancel_ns)
    return True


@lean
def is_working(status: int, quantity: int) -> bool:
    """Return whether an order can still fill: also an exit fed inside the bar at work (B4)."""
    return bool(status == Status.WORKING or (status == Status.WAITING and quantity > 0))


@lean
def _holds_promise(state: State, order: int) -> bool:
    """Return whether an exit is the one of its group that promises for all (O2)."""
    group = state.orders[order].group
    for place in range(state.counters[0].live):
        other = state.live[place]
        row = state.orders[other]
        if row.group == group and is_working(row.status, row.quantity):
            return bool(other == order)
    return False


@inlined
def wanted_promise(state: State, terms: Terms, order: int) -> int:
    """Return what an order promises now: cash units of a buy, units of a sell (O2)."""
    row = state.orders[order]
    if not is_working(row.status, row.quantity) or row.type == OrderType.MARKET:
        return 0
    if row.side == Side.SELL:
        if row.parent != NONE and not _holds_promise(state, order):
            return 0
        return int(row.quantity - row.filled)
    if row.parent != NONE or (row.type != OrderType.LIMIT and row.type != OrderType.STOP_LIMIT):
        return 0
    rate = state.counters[0].taker if terms.fee_in_quote else 0.0
    if row.quantity > 0:
        unit = state.positions[row.symbol].unit
        return price_of(row.quantity - row.filled, unit, row.limit, rate)
    if row.sizing != Sizing.NOTIONAL:
        return 0
    budget = int(np.rint(row.amount * CASH_UNITS))
    return budget + int(np.rint(budget * rate))


@lean
def promise(state: State, terms: Terms, order: int) -> None:
    """Bring what is promised up to date after an order, or its group, has changed."""
    row = state.orders[order]
    change = wanted_promise(state, terms, order) - row.promised
    row.promised += change
    if row.side == Side.SELL:
        state.positions[row.symbol].promised += change
    else:
        state.account[0].promised += change


@lean
def promise_group(state: State, terms: Terms, group: int) -> None:
    """Bring the promises of all exits of an entry up to date."""
    for place in range(state.counters[0].live):
        other = state.live[place]
        if state.orders[other].group == group:
            promise(state, terms, other)


@lean
def own_promise(state: State, order: int) -> int:
    """Return what the order and the exits of its group have promised together."""
    row = state.orders[order]
    if row.parent == NONE:
        return int(row.promised)
    total = 0
    for place in range(state.counters[0].live):
        other = state.orders[state.live[place]]
        if other.group == row.group:
            total += other.promised
    return total


@lean
def end(state: State, terms: Terms, order: int, status: int, reason: int, ts_ns: int) -> None:
    """End an order and, with it, what depends on it (O3). It leaves ``live`` in :func:`compact`."""
    _end_one(state, terms, order, status, reason, ts_ns)
    if state.counters[0].exits == 0:
        return
    row = state.orders[order]
    for place in range(state.counters[0].live):
        other = state.live[place]
        dependent = state.orders[other]
        if dependent.status >= Status.FILLED:
            continue
        if row.parent != NONE and dependent.group == row.group:
            _end_one(state, terms, other, Status.CANCELLED.value, Reason.OCO.value, ts_ns)
        elif dependent.parent == order:
            _entry_ended(state, terms, other, row.filled, ts_ns)


@lean
def _entry_ended(state: State, terms: Terms, order: int, fed: int, ts_ns: int) -> None:
    """End an exit that has nothing left to fill when its entry ends."""
    row = state.orders[order]
    if row.quantity == 0 and fed == 0:
        _end_one(state, terms, order, Status.CANCELLED.value, Reason.PARENT_ENDED.value, ts_ns)
    elif row.quantity == row.filled:
        filled = row.filled > 0
        status = Status.FILLED.value if filled else Status.CANCELLED.value
        _end_one(state, terms, order, status, 0 if filled else Reason.OCO.value, ts_ns)


@inlined
def _end_one(state: State, terms: Terms, order: int, status: int, reason: int, ts_ns: int) -> None:
    row = state.orders[order]
    row.status, row.ended_ns = status, ts_ns
    if reason != Reason.NONE:
        row.reason = reason
    if np.isnan(row.ahead):  # a replacement that ends before it could join a queue
        row.ahead = 0.0
    if status == Status.REJECTED:
        state.account[0].rejects += 1
    promise(state, terms, order)
    state.counters[0].changes += 1
    state.counters[0].stale, state.counters[0].untidy = 1, 1


@lean
def compact(state: State) -> None:
    """Take what has ended out of ``live``; exits that were fed inside a bar work from now on."""
    counters, kept = state.counters[0], 0
    if counters.untidy == 0:
        return
    counters.untidy = 0
    for place in range(counters.live):
        order = state.live[place]
        row = state.orders[order]
        row.triggered = min(row.triggered, 1)
        if row.status >= Status.FILLED:
            continue
        if row.status == Status.WAITING and row.quantity > 0:
            row.status = Status.WORKING
        state.live[kept] = order
        kept += 1
    counters.live = kept


@lean
def after_fill(
    state: State,
    terms: Terms,
    order: int,
    quantity: int,
    moved: int,
    reference: float,
    inside: bool,
    ts_ns: int,
) -> None:
    """Let a fill reach the exits it feeds or the exit it rivals, and end what is full (O3)."""
    row = state.orders[order]
    if state.counters[0].exits == 0:
        promise(state, terms, order)
        if row.filled == row.quantity:
            end(state, terms, order, Status.FILLED.value, row.reason, ts_ns)
        return
    entry_ended = True
    for place in range(state.counters[0].live):
        other = state.live[place]
        dependent = state.orders[other]
        if dependent.status >= Status.FILLED or other == order:
            continue
        if row.parent != NONE and dependent.group == row.group:
            dependent.quantity = max(dependent.quantity - quantity, dependent.filled)
        elif dependent.parent == order:
            _feed(state, other, moved, reference, inside)
        entry_ended = entry_ended and other != row.parent
    promise(state, terms, order)
    promise_group(state, terms, order if row.parent == NONE else row.group)
    if row.filled == row.quantity and entry_ended:
        end(state, terms, order, Status.FILLED.value, row.reason, ts_ns)


@lean
def _feed(state: State, order: int, moved: int, reference: float, inside: bool) -> None:
    """Give an exit what its entry has filled; inside a bar it goes on waiting until its end."""
    row = state.orders[order]
    row.quantity += moved
    state.counters[0].untidy = 1
    if not inside:
        row.status = Status.WORKING
    if row.type == OrderType.TRAILING_STOP and np.isnan(row.water):
        row.water = reference
        row.stop = trailed(row.side, row.water, row.trail)


@lean
def trailed(side: int, water: float, trail: float) -> float:
    """Return the stop that belongs to a water mark (O5)."""
    if trail < 0.0:
        return water * (1.0 + side * -trail)
    return water + side * trail
