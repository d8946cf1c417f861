"""What changes at a venue on a date: increments, halts, renames, delistings (I1, I2). Compiled."""

from __future__ import annotations

import numpy as np

from tradelake.execution.account import book, grossed_up, removed_cost, taker_rate
from tradelake.execution.arrivals import arrive
from tradelake.execution.compiled import lean
from tradelake.execution.layout import NONE, Reason, Side, Sizing, Status
from tradelake.execution.orders import compact, end, new_order
from tradelake.execution.state import NEVER, State
from tradelake.execution.terms import Terms, Trading


@lean
def catch_up(state: State, terms: Terms, until_ns: int) -> None:
    """Bring the venue to an instant: what changes by date and what arrives, in order."""
    counters = state.counters[0]
    while counters.dated_ns <= until_ns:
        at = counters.dated_ns
        arrive(state, terms, at - 1)
        _change(state, terms, at)
        compact(state)
    if counters.next_ns <= until_ns:
        arrive(state, terms, until_ns)
        compact(state)


@lean
def _change(state: State, terms: Terms, at: int) -> None:
    """Put in force the rows of all symbols that begin at an instant; find the next instant."""
    next_ns = NEVER
    for number in range(state.symbols.shape[0]):
        symbol = state.symbols[number]
        while symbol.row + 1 < symbol.end and state.instruments[symbol.row + 1].from_ns <= at:
            symbol.row += 1
            _put_in_force(state, terms, number, at)
        if symbol.row + 1 < symbol.end:
            next_ns = min(next_ns, state.instruments[symbol.row + 1].from_ns)
    state.counters[0].dated_ns = next_ns
    state.counters[0].stale = 1


@lean
def _put_in_force(state: State, terms: Terms, number: int, at: int) -> None:
    symbol = state.symbols[number]
    row = state.instruments[symbol.row]
    before = symbol.trading
    symbol.increment, symbol.minimum, symbol.minimum_value = (
        row.increment,
        row.minimum,
        row.minimum_value,
    )
    symbol.tick, symbol.trading, symbol.renamed_to = row.tick, row.trading, row.renamed_to
    if row.renamed_to != NONE:
        rename(state, number, row.renamed_to)
    elif row.trading == Trading.DELISTED and before != Trading.DELISTED:
        _cancel_all(state, terms, number, Reason.DELISTED.value, at)
        _close_delisted(state, terms, number, at)
    elif row.trading == Trading.HALTED and not terms.halt_waits:
        _cancel_all(state, terms, number, Reason.HALTED.value, at)


@lean
def _cancel_all(state: State, terms: Terms, number: int, reason: int, at: int) -> None:
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        if row.symbol == number and row.status < Status.FILLED:
            end(state, terms, order, Status.CANCELLED.value, reason, at)


@lean
def rename(state: State, number: int, to: int) -> None:
    """Carry position and working orders over to the new name; long and short close (I2)."""
    old, new = state.positions[number], state.positions[to]
    if (old.quantity < 0) != (new.quantity < 0):
        closed = min(abs(old.quantity), abs(new.quantity))
        realised = -removed_cost(state, number, closed) - removed_cost(state, to, closed)
        new.cost += realised
        new.realised += realised
    new.quantity += old.quantity
    new.cost += old.cost
    new.promised += old.promised
    if np.isnan(new.price):
        new.price = old.price
    old.quantity, old.cost, old.promised = 0, 0, 0
    for place in range(state.counters[0].live):
        row = state.orders[state.live[place]]
        if row.symbol == number and row.status < Status.FILLED:
            row.symbol = to
    state.counters[0].changes += 1


@lean
def _close_delisted(state: State, terms: Terms, number: int, at: int) -> None:
    """Close what is held at the last price, minus fee and haircut (I2)."""
    position = state.positions[number]
    if position.quantity == 0 or np.isnan(position.price):
        return
    worse = 1.0 - terms.delisting_haircut
    if position.quantity < 0:
        worse = 1.0 + terms.delisting_haircut
    event = state.counters[0].event
    state.counters[0].event = NONE
    close_whole(state, terms, number, position.price * worse, Reason.DELISTED.value, at)
    state.counters[0].event = event


@lean
def close_whole(state: State, terms: Terms, number: int, price: float, reason: int, at: int) -> int:
    """Close a position at a price in an order of the venue's own; return the units ordered."""
    held = state.positions[number].quantity
    rate = taker_rate(state, terms, at)
    side, quantity = Side.SELL.value, held
    if held < 0:
        side = Side.BUY.value
        quantity = -held if terms.fee_in_quote else grossed_up(-held, rate)
    order = new_order(state, at, number, side)
    row = state.orders[order]
    row.sizing, row.quantity, row.status = Sizing.CLOSE, quantity, Status.WORKING
    book(state, terms, order, side, quantity, price, False, at)
    end(state, terms, order, Status.FILLED.value, reason, at)
    return int(quantity)
