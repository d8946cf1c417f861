"""Edges: the prices at which the next quote, book or trade touches an order. Compiled.

An input between them costs a few comparisons. They are drawn anew whenever an order has changed.
"""

from __future__ import annotations

import numpy as np

from tradelake.execution.compiled import inlined, lean
from tradelake.execution.layout import OrderType, Sizing, Status
from tradelake.execution.markets import Market
from tradelake.execution.state import Rows, State
from tradelake.execution.taking import is_beyond, shows_prices
from tradelake.market.tape import TickKind

TRADE = TickKind.TRADE.value


@lean
def wants_more(state: State, order: int) -> bool:
    """Return whether an order works and is not full."""
    row = state.orders[order]
    is_unsized = row.quantity == 0 and row.sizing != Sizing.QUANTITY
    return bool(row.status == Status.WORKING and (is_unsized or row.filled < row.quantity))


@lean
def trigger_price(market: Market, number: int, side: int) -> float:
    """Return what stops of a side look at (Q3)."""
    shown = market.rows[number]
    if shown.traded:
        return float(market.tape[shown.last_trade].price)
    if not shows_prices(market, number):
        return np.nan
    return float(shown.ask if side > 0 else shown.bid)


@lean
def draw_edges(state: State, market: Market) -> None:
    """Draw for each symbol the prices at which the next input touches an order."""
    for number in range(market.rows.shape[0]):
        shown = market.rows[number]
        shown.ask_below, shown.bid_above = -np.inf, np.inf
        shown.bid_below, shown.ask_above = -np.inf, np.inf
        shown.trade_below, shown.trade_above = -np.inf, np.inf
        shown.always = 0
    for place in range(state.counters[0].live):
        order = state.live[place]
        if wants_more(state, order):
            _draw_edge(state, market, order)
    state.counters[0].stale = 0


@inlined
def _draw_edge(state: State, market: Market, order: int) -> None:
    row = state.orders[order]
    shown, side = market.rows[row.symbol], row.side
    if market.resting[order] != 0:
        if side > 0:
            shown.ask_below = max(shown.ask_below, row.limit)
            shown.trade_below = max(shown.trade_below, row.limit)
        else:
            shown.bid_above = min(shown.bid_above, row.limit)
            shown.trade_above = min(shown.trade_above, row.limit)
        return
    price = trigger_price(market, row.symbol, side)
    is_stop = row.type == OrderType.STOP or row.type == OrderType.STOP_LIMIT
    if not is_stop or row.triggered or is_beyond(-side, row.stop, price) or price == row.stop:
        shown.always = 1
    elif side > 0:
        shown.trade_above = min(shown.trade_above, row.stop)
        shown.ask_above = min(shown.ask_above, row.stop if not shown.traded else np.inf)
    else:
        shown.trade_below = max(shown.trade_below, row.stop)
        shown.bid_below = max(shown.bid_below, row.stop if not shown.traded else -np.inf)


@lean
def idle_until(
    tape: Rows, rows: Rows, positions: Rows, counters: Rows, first: int, last: int
) -> int:
    """Take down inputs that touch no order; return the first that may, or ``last``.

    It is given the few arrays it needs: what takes the whole state costs more than its work.
    """
    counter = counters[0]
    if counter.stale:
        return first
    next_ns = min(counter.next_ns, counter.dated_ns)
    for event in range(first, last):
        tick = tape[event]
        shown = rows[tick.symbol]
        if tick.ts_ns >= next_ns or tick.kind > TRADE or shown.booked or shown.always:
            return event
        if tick.kind == TRADE:
            price = tick.price
            if price <= shown.trade_below or price >= shown.trade_above or not shown.traded:
                return event
            shown.last_trade = event
            if not shown.marked:
                positions[tick.symbol].price = price
            continue
        bid, ask = tick.price, tick.price2
        if ask <= shown.ask_below or bid >= shown.bid_above or not shown.quoted:
            return event
        if bid <= shown.bid_below or ask >= shown.ask_above:
            return event
        if not (bid > 0.0 and ask > 0.0 and tick.size > 0.0 and tick.size2 > 0.0):
            return event
        shown.bid, shown.bid_size, shown.bid_taken = bid, tick.size, 0.0
        shown.ask, shown.ask_size, shown.ask_taken = ask, tick.size2, 0.0
        shown.marked = 1
        positions[tick.symbol].price = (bid + ask) / 2.0
    return last
