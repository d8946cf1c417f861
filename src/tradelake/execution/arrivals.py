"""What happens when an order, a cancel or a replace reaches the venue (T4, O2, O4). Compiled."""

from __future__ import annotations

import numpy as np

from tradelake.execution.account import taker_rate
from tradelake.execution.checks import check, check_promises, check_terms
from tradelake.execution.compiled import inlined, lean
from tradelake.execution.layout import NONE, OrderType, Reason, Sizing, Status
from tradelake.execution.orders import end, own_promise, promise, promise_group, trailed
from tradelake.execution.state import NEVER, State
from tradelake.execution.terms import Rung, Terms


@lean
def arrive(state: State, terms: Terms, until_ns: int) -> None:
    """Handle everything that reaches the venue up to an instant, in order (T4)."""
    counters = state.counters[0]
    while counters.next_ns <= until_ns:
        at, later, cancels = _next(state)
        counters.next_ns = at
        if at == NEVER or at > until_ns:
            return
        for _ in range(cancels):
            order = _first_cancel(state, at)
            if order != NONE:
                _cancel(state, terms, order, at)
        if _let_in(state, terms, at):
            counters.next_ns = later


@inlined
def _next(state: State) -> tuple[int, int, int]:
    """Return when something arrives, when something else does, and how many cancels at first."""
    counters = state.counters[0]
    at, later, cancels = NEVER, NEVER, 0
    for place in range(counters.sent + counters.live):
        is_sent = place < counters.sent
        order = state.sent[place] if is_sent else state.live[place - counters.sent]
        row = state.orders[order]
        if is_sent:
            if row.arrives_ns < at:
                at, later, cancels = row.arrives_ns, at, 0
            elif row.arrives_ns > at:
                later = min(later, row.arrives_ns)
        if row.cancel_ns == NONE or row.status >= Status.FILLED:
            continue
        if row.cancel_ns < at:
            at, later, cancels = row.cancel_ns, at, 1
        elif row.cancel_ns == at:
            cancels += 1
        else:
            later = min(later, row.cancel_ns)
    return at, later, cancels


@inlined
def _first_cancel(state: State, at: int) -> int:
    """Return the lowest order whose cancel arrives at an instant, ``NONE`` without any."""
    counters, chosen = state.counters[0], NONE
    for place in range(counters.sent + counters.live):
        is_sent = place < counters.sent
        order = state.sent[place] if is_sent else state.live[place - counters.sent]
        row = state.orders[order]
        if row.cancel_ns == at and row.status < Status.FILLED and (chosen < 0 or order < chosen):
            chosen = order
    return int(chosen)


@inlined
def _let_in(state: State, terms: Terms, at: int) -> bool:
    """Let in what arrives at an instant, the lowest order first.

    False where exits came with one: their cancels may be due before the next.
    """
    counters = state.counters[0]
    while True:
        first, order = NONE, 0
        for place in range(counters.sent):
            other = state.sent[place]
            if state.orders[other].arrives_ns == at and (first == NONE or other < order):
                first, order = place, other
        if first == NONE:
            return True
        counters.sent -= 1
        state.sent[first] = state.sent[counters.sent]
        live = counters.live
        _arrive_one(state, terms, order, at)
        if counters.live > live + 1:
            return False


@lean
def _unsend(state: State, order: int) -> None:
    counters = state.counters[0]
    for place in range(counters.sent):
        if state.sent[place] == order:
            counters.sent -= 1
            state.sent[place] = state.sent[counters.sent]
            return


@inlined
def _cancel(state: State, terms: Terms, order: int, ts_ns: int) -> None:
    if state.orders[order].status == Status.SENT:
        _unsend(state, order)
        _end_unborn_exits(state, terms, order, ts_ns)
    end(state, terms, order, Status.CANCELLED.value, Reason.BY_STRATEGY.value, ts_ns)


@lean
def _end_unborn_exits(state: State, terms: Terms, entry: int, ts_ns: int) -> None:
    """End the exits that came with an entry that will not work; they follow it in the table."""
    order = entry + 1
    while order < state.counters[0].orders and state.orders[order].parent == entry:
        if state.orders[order].status == Status.SENT:
            end(state, terms, order, Status.CANCELLED.value, Reason.PARENT_ENDED.value, ts_ns)
        order += 1


@lean
def _arrive_one(state: State, terms: Terms, order: int, ts_ns: int) -> None:
    row = state.orders[order]
    taker_rate(state, terms, ts_ns)
    if row.replaces != NONE:
        _replace(state, terms, order, ts_ns)
        return
    reason = check(state, terms, order)
    exit_order = order + 1
    while exit_order < state.counters[0].orders and state.orders[exit_order].parent == order:
        if reason == Reason.NONE and state.orders[exit_order].status == Status.SENT:
            reason = check_terms(state, terms, exit_order)
        exit_order += 1
    if reason == Reason.NONE:
        reason = check_promises(state, terms, order, row.promised)
    if reason != Reason.NONE:
        _end_unborn_exits(state, terms, order, ts_ns)
        end(state, terms, order, Status.REJECTED.value, reason, ts_ns)
        return
    _join(state, terms, order)
    for later in range(order + 1, exit_order):
        if state.orders[later].status == Status.SENT:
            state.orders[later].status, state.orders[later].step = Status.WAITING, row.step
            state.live[state.counters[0].live] = later
            state.counters[0].live += 1


@inlined
def _join(state: State, terms: Terms, order: int) -> None:
    """Let an order work: behind all others, its promise made, its water mark set."""
    row, counters = state.orders[order], state.counters[0]
    row.status = Status.WORKING
    state.live[counters.live] = order
    counters.live += 1
    counters.stale = 1
    if row.type == OrderType.TRAILING_STOP and np.isnan(row.water):
        row.water = state.positions[row.symbol].price
        row.stop = trailed(row.side, row.water, row.trail)
    promise(state, terms, order)


@lean
def _inherit(state: State, order: int) -> bool:
    """Fill in what a replace did not say; return whether it only makes the order smaller (O4)."""
    row = state.orders[order]
    old = state.orders[row.replaces]
    row.symbol, row.side, row.type, row.tif = old.symbol, old.side, old.type, old.tif
    row.parent, row.group = old.parent, old.group
    keeps_place = np.isnan(row.limit) and np.isnan(row.stop) and np.isnan(row.trail)
    row.limit = old.limit if np.isnan(row.limit) else row.limit
    if np.isnan(row.stop) or row.type == OrderType.TRAILING_STOP:
        row.stop, row.triggered = old.stop, old.triggered
    if np.isnan(row.trail):
        row.trail, row.water = old.trail, old.water
    rest = old.quantity - old.filled
    if not np.isnan(row.amount):
        row.sizing = Sizing.QUANTITY
    elif old.quantity > 0:
        row.sizing, row.quantity = Sizing.QUANTITY, rest
        row.amount = rest * state.positions[old.symbol].unit
    else:
        row.sizing, row.amount = old.sizing, old.amount
    return bool(keeps_place)


@lean
def _replace(state: State, terms: Terms, order: int, ts_ns: int) -> None:
    """Let an order take another's place, or reject it and leave the other alone (O4)."""
    row = state.orders[order]
    replaced = row.replaces
    old = state.orders[replaced]
    if old.status >= Status.FILLED or old.status == Status.SENT:
        end(state, terms, order, Status.REJECTED.value, Reason.PARENT_ENDED.value, ts_ns)
        return
    keeps_place = _inherit(state, order)
    waits = old.status == Status.WAITING
    if waits:
        row.quantity = old.quantity
        reason = check_terms(state, terms, order)
    else:
        reason = check(state, terms, order)
    if reason == Reason.NONE:
        reason = check_promises(state, terms, order, own_promise(state, replaced))
    if reason != Reason.NONE:
        row.parent, row.group = NONE, NONE
        end(state, terms, order, Status.REJECTED.value, reason, ts_ns)
        return
    smaller = keeps_place and row.quantity <= old.quantity - old.filled
    _take_place(state, terms, order, replaced, smaller or waits, ts_ns)


@lean
def _take_place(
    state: State, terms: Terms, order: int, replaced: int, in_place: bool, ts_ns: int
) -> None:
    row, old, counters = state.orders[order], state.orders[replaced], state.counters[0]
    row.status = old.status
    old.group = NONE
    old.status, old.reason, old.ended_ns = Status.CANCELLED, Reason.REPLACED, ts_ns
    promise(state, terms, replaced)
    row.ahead = old.ahead
    old.ahead = 0.0 if np.isnan(old.ahead) else old.ahead
    kept = 0
    for place in range(counters.live):
        other = state.live[place]
        follower = state.orders[other]
        if follower.parent == replaced and follower.status < Status.FILLED:
            follower.parent, follower.group = order, order
        if other != replaced:
            state.live[kept] = other
            kept += 1
        elif in_place:
            state.live[kept] = order
            kept += 1
    if not in_place:
        row.ahead = np.nan if terms.rung >= Rung.QUOTES else 0.0
        state.live[kept] = order
    counters.changes += 1
    counters.stale = 1
    promise(state, terms, order)
    if row.group != NONE:
        promise_group(state, terms, row.group)
    else:
        _exits_behind(state, order)


@lean
def _exits_behind(state: State, entry: int) -> None:
    """Move the exits of an entry behind it, so that they take their turn after it."""
    counters = state.counters[0]
    place, rest = 0, counters.live
    while rest > 0 and state.live[place] != entry:
        order = state.live[place]
        rest -= 1
        if state.orders[order].parent != entry:
            place += 1
            continue
        for behind in range(place, counters.live - 1):
            state.live[behind] = state.live[behind + 1]
        state.live[counters.live - 1] = order
