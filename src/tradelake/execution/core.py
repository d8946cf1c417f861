"""Matching on bars: rungs 1 and 2 (B1 to B8), and the run over many of them. Compiled.

A bar that touches nothing costs a handful of comparisons: each symbol has a band of prices inside
which no working order can fill, drawn anew whenever an order has changed.
"""

from __future__ import annotations

import numpy as np

from tradelake.execution.account import equity_at, equity_now
from tradelake.execution.checks import has_limit
from tradelake.execution.compiled import lean
from tradelake.execution.dated import catch_up, close_whole
from tradelake.execution.filling import fill
from tradelake.execution.layout import NONE, OrderType, Reason, Side, Status, TimeInForce
from tradelake.execution.orders import compact, end, is_working, trailed
from tradelake.execution.pricing import leave_impact, take_window, taken_price
from tradelake.execution.state import BRACKET, Record, Rows, State
from tradelake.execution.terms import Impact, Rung, Terms, Trading
from tradelake.market.arrays import FloatArray

WHOLE_MARKET = 4 * 10**18
"""Room where there is no participation cap."""


@lean
def has_room(state: State) -> bool:
    """Return whether any one input can be matched without growing the arrays.

    An order may fill twice in a bar, each time in two rows where it crosses flat; one on its way
    may bring two exits along.
    """
    counters = state.counters[0]
    symbols = state.symbols.shape[0]
    fills = 4 * (counters.live + BRACKET * counters.sent) + 2 * symbols + 4
    return bool(
        state.fills.shape[0] - counters.fills >= fills
        and state.orders.shape[0] - counters.orders >= symbols + 4
    )


@lean
def is_quiet(state: State, bar: Record) -> bool:
    """Return whether a bar leaves everything but prices as it is."""
    counters, symbol = state.counters[0], state.symbols[bar.symbol]
    return bool(
        bar.low > symbol.below
        and bar.high < symbol.above
        and bar.open_ns < counters.next_ns
        and bar.open_ns < counters.dated_ns
    )


@lean
def on_bar(state: State, terms: Terms, bars: Rows, event: int) -> None:
    """Match a bar against the orders that were at the venue at its open; mark at its close."""
    bar = bars[event]
    counters, number = state.counters[0], bar.symbol
    counters.event = NONE
    catch_up(state, terms, bar.open_ns)
    counters.event = bar.row
    symbol = state.symbols[number]
    if symbol.trading == Trading.OPEN:
        symbol.done, symbol.room, symbol.bar_volume = 0, WHOLE_MARKET, bar.volume
        if terms.participation > 0.0 and terms.rung >= Rung.INTRABAR:
            unit = state.positions[number].unit
            room = min(np.floor(terms.participation * bar.volume / unit), WHOLE_MARKET)
            symbol.room = int(room)
        if terms.impact_kind != Impact.NONE:
            take_window(state, number, bar.previous)
        _ruin(state, terms, bar)
        if counters.live > 0:
            counters.inside = 0
            _at_open(state, terms, bar)
            counters.inside = 1
            _stops_inside(state, terms, bar)
            _limits_inside(state, terms, bar)
            _trail(state, bar)
            compact(state)
            counters.stale = 1
    state.positions[number].price = bar.close
    if counters.stale:
        draw_bands(state)


@lean
def _ruin(state: State, terms: Terms, bar: Record) -> None:
    """Close a short whose account is used up (B8)."""
    if state.positions[bar.symbol].quantity >= 0:
        return
    if equity_at(state, bar.symbol, bar.open) <= 0.0:
        reason = Reason.INSUFFICIENT_BALANCE.value
        held = -state.positions[bar.symbol].quantity
        side = Side.BUY.value
        price = taken_price(state, terms, bar.symbol, side, held, bar.open, np.nan, bar.open_ns)
        closed = close_whole(state, terms, bar.symbol, price, reason, bar.open_ns)
        leave_impact(state, terms, bar.symbol, side, closed, bar.open_ns)


@lean
def _takes_part(state: State, order: int, bar: Record) -> bool:
    """Return whether an order was at the venue at the bar's open and has something to fill."""
    row = state.orders[order]
    return bool(
        row.symbol == bar.symbol
        and row.status == Status.WORKING
        and row.arrives_ns <= bar.open_ns
        and (row.filled < row.quantity or (row.quantity == 0 and row.parent < 0))
    )


@lean
def _reached(side: int, price: float, level: float) -> bool:
    """Return whether a price is at or beyond a level on the side where a stop triggers."""
    return bool(price >= level if side > 0 else price <= level)


@lean
def _fill_in(
    state: State,
    terms: Terms,
    order: int,
    bar: Record,
    reference: float,
) -> None:
    """Fill out of the bar's share; inside the bar what has a limit is a maker."""
    inside = state.counters[0].inside == 1
    maker = inside and has_limit(state.orders[order].type)
    ts_ns = bar.close_ns if inside else bar.open_ns
    symbol = state.symbols[bar.symbol]
    symbol.room -= fill(state, terms, order, reference, symbol.room, maker, inside, ts_ns)


@lean
def _drop_rest(state: State, terms: Terms, order: int, ts_ns: int) -> None:
    """Cancel what an ioc order left at its first opportunity."""
    row = state.orders[order]
    if row.tif != TimeInForce.IOC or row.status != Status.WORKING:
        return
    if row.type >= OrderType.STOP and row.triggered == 0:
        return
    end(state, terms, order, Status.CANCELLED.value, Reason.IOC_REST.value, ts_ns)


@lean
def _at_open(state: State, terms: Terms, bar: Record) -> None:
    """Fill what the open has reached, in order of arrival (B2)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        if not _takes_part(state, order, bar):
            continue
        row = state.orders[order]
        if row.type == OrderType.TRAILING_STOP and np.isnan(row.water):
            row.water = bar.open
            row.stop = trailed(row.side, row.water, row.trail)
        if row.type >= OrderType.STOP and _reached(row.side, bar.open, row.stop):
            row.triggered = 1
        limited = row.type == OrderType.LIMIT or row.type == OrderType.STOP_LIMIT
        ready = row.type <= OrderType.LIMIT or row.triggered == 1
        if ready and (not limited or _reached(-row.side, bar.open, row.limit)):
            _fill_in(state, terms, order, bar, bar.open)
        _drop_rest(state, terms, order, bar.open_ns)


@lean
def _stop_inside(state: State, terms: Terms, order: int, bar: Record, level: float) -> None:
    """Trigger a stop that the bar reached and fill it at a level (B3)."""
    row = state.orders[order]
    row.triggered, state.counters[0].untidy = 2, 1
    if row.type != OrderType.STOP_LIMIT:
        _fill_in(state, terms, order, bar, level)
    elif _reached(-row.side, bar.close, row.limit):
        _fill_in(state, terms, order, bar, row.limit)
    _drop_rest(state, terms, order, bar.close_ns)


@lean
def _stops_inside(state: State, terms: Terms, bar: Record) -> None:
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        if row.type < OrderType.STOP or row.triggered or not _takes_part(state, order, bar):
            continue
        if _reached(row.side, bar.high if row.side > 0 else bar.low, row.stop):
            before = row.filled
            _stop_inside(state, terms, order, bar, row.stop)
            if row.filled > before and row.parent < 0:
                limited = row.type == OrderType.STOP_LIMIT
                _exits_at_once(state, terms, order, bar, row.limit if limited else row.stop)


@lean
def _limits_inside(state: State, terms: Terms, bar: Record) -> None:
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        limited = row.type == OrderType.LIMIT
        limited = limited or (row.type == OrderType.STOP_LIMIT and row.triggered == 1)
        if not limited or not _takes_part(state, order, bar):
            continue
        price = bar.low if row.side > 0 else bar.high
        through = price < row.limit if row.side > 0 else price > row.limit
        if through or (terms.touch and price == row.limit):
            before = row.filled
            _fill_in(state, terms, order, bar, row.limit)
            if row.filled > before and row.parent < 0:
                _exits_at_once(state, terms, order, bar, row.limit)


@lean
def _exits_at_once(state: State, terms: Terms, entry: int, bar: Record, reference: float) -> None:
    """Check the stop of an entry that filled inside at a reference price (B4)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        if row.parent != entry or row.type < OrderType.STOP or row.triggered:
            continue
        if not is_working(row.status, row.quantity) or row.filled >= row.quantity:
            continue
        if _reached(row.side, bar.high if row.side > 0 else bar.low, row.stop):
            level = max(row.stop, reference) if row.side > 0 else min(row.stop, reference)
            _stop_inside(state, terms, order, bar, level)


@lean
def _trail(state: State, bar: Record) -> None:
    """Move the water marks after the bar was matched (O5)."""
    for place in range(state.counters[0].live):
        row = state.orders[state.live[place]]
        if row.type != OrderType.TRAILING_STOP or row.symbol != bar.symbol or row.triggered:
            continue
        if row.status != Status.WORKING or row.arrives_ns > bar.open_ns or np.isnan(row.water):
            continue
        row.water = min(row.water, bar.low) if row.side > 0 else max(row.water, bar.high)
        row.stop = trailed(row.side, row.water, row.trail)


@lean
def draw_bands(state: State) -> None:
    """Draw for each symbol the band inside which no order fills."""
    for number in range(state.symbols.shape[0]):
        symbol = state.symbols[number]
        symbol.below, symbol.above = -np.inf, np.inf
        if state.positions[number].quantity < 0:
            symbol.below = np.inf
    for place in range(state.counters[0].live):
        row = state.orders[state.live[place]]
        is_full = row.filled == row.quantity and (row.quantity > 0 or row.parent >= 0)
        if row.status != Status.WORKING or is_full:
            continue
        symbol = state.symbols[row.symbol]
        limited = row.type == OrderType.LIMIT
        limited = limited or (row.type == OrderType.STOP_LIMIT and row.triggered == 1)
        if row.tif == TimeInForce.IOC or row.type == OrderType.TRAILING_STOP:
            symbol.below = np.inf
        elif limited and row.side > 0:
            symbol.below = max(symbol.below, row.limit)
        elif limited:
            symbol.above = min(symbol.above, row.limit)
        elif row.type == OrderType.MARKET or row.triggered:
            symbol.below = np.inf
        elif row.side > 0:
            symbol.above = min(symbol.above, row.stop)
        else:
            symbol.below = max(symbol.below, row.stop)
    state.counters[0].stale = 0


@lean
def advance(
    state: State, terms: Terms, bars: Rows, first: int, last: int, equity: FloatArray, stops: bool
) -> int:
    """Match bars until the first that changed something, or ``last``; return the next bar.

    Equity at each bar's close is written where ``equity`` has a place for it. A negative answer
    ``-1 - bar`` asks for room: nothing of that bar has been touched. ``stops`` False goes on
    through changes.
    """
    counters = state.counters[0]
    if counters.stale:
        draw_bands(state)
    for event in range(first, last):
        bar = bars[event]
        if is_quiet(state, bar):
            state.positions[bar.symbol].price = bar.close
        elif not has_room(state):
            return -1 - event
        else:
            before = counters.changes
            on_bar(state, terms, bars, event)
            if stops and counters.changes != before:
                if event < equity.shape[0]:
                    equity[event] = equity_now(state)
                return event + 1
        if event < equity.shape[0]:
            equity[event] = equity_now(state)
    return last


@lean
def next_change(state: State, bars: Rows, first: int, last: int) -> int:
    """Return the first bar that may change something, or ``last``; nothing is touched."""
    if state.counters[0].stale:
        draw_bands(state)
    for event in range(first, last):
        if not is_quiet(state, bars[event]):
            return event
    return last
