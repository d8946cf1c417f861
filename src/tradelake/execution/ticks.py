"""Matching on quotes, trades and order books: rungs 3 and 4 (Q1 to Q3, L1, L2). Compiled."""

from __future__ import annotations

import numpy as np

from tradelake.execution.account import equity_now, units_of
from tradelake.execution.book import (
    add_traded,
    best,
    best_size,
    half_of,
    is_crossed,
    reset,
    set_level,
)
from tradelake.execution.checks import has_limit
from tradelake.execution.compiled import inlined, lean
from tradelake.execution.dated import catch_up
from tradelake.execution.edges import TRADE, draw_edges, idle_until, trigger_price, wants_more
from tradelake.execution.filling import fill
from tradelake.execution.layout import NONE, OrderType, Status
from tradelake.execution.markets import ANEW, PARTLY, QUEUED, TOLD, Market
from tradelake.execution.orders import compact, trailed
from tradelake.execution.queue import adjust, find_places, join, lose_places
from tradelake.execution.state import BRACKET, State
from tradelake.execution.taking import (
    WHOLE_MARKET,
    has_market,
    is_beyond,
    shows_prices,
    take,
    take_trade,
    take_trades,
)
from tradelake.execution.terms import Rung, Terms, Trading
from tradelake.market.arrays import FloatArray
from tradelake.market.tape import TickKind

QUOTE = TickKind.QUOTE.value
RESET = TickKind.RESET.value
LEVEL = TickKind.LEVEL.value


@inlined
def has_tick_room(state: State, terms: Terms, market: Market) -> bool:
    """Return whether any one input can be matched without growing the arrays."""
    counters = state.counters[0]
    symbols = state.symbols.shape[0]
    fills = 4 * (counters.live + BRACKET * counters.sent) + 2 * symbols + 4
    if terms.rung >= Rung.BOOK:
        for number in range(symbols):
            fills += 2 * (market.books.counts[number, 0] + market.books.counts[number, 1])
    return bool(
        state.fills.shape[0] - counters.fills >= fills
        and state.orders.shape[0] - counters.orders >= symbols + 4
    )


@inlined
def _is_triggered(state: State, market: Market, order: int) -> bool:
    """Trigger a stop that is reached; return whether an order may fill."""
    row = state.orders[order]
    if row.type < OrderType.STOP or row.triggered:
        return True
    price = trigger_price(market, row.symbol, row.side)
    if row.type == OrderType.TRAILING_STOP and np.isnan(row.water):
        row.water = price
        row.stop = trailed(row.side, row.water, row.trail)
    if np.isnan(price) or is_beyond(-row.side, price, row.stop):
        return False
    row.triggered, state.counters[0].stale = 1, 1
    return True


@lean
def _serve(
    state: State, terms: Terms, market: Market, order: int, inside: bool, ts_ns: int
) -> None:
    """Let an order trigger, take or rest at what is displayed now."""
    row = state.orders[order]
    if not _is_triggered(state, market, order):
        return
    is_maker = market.resting[order] != 0
    take(state, terms, market, order, is_maker, inside, ts_ns)
    if is_maker or row.status >= Status.FILLED or not has_limit(row.type):
        return
    if has_market(market, row.symbol):
        join(state, terms, market, order)


@lean
def _serve_all(state: State, terms: Terms, market: Market, number: int, ts_ns: int) -> None:
    """Give every order of a symbol its turn at the newest quote or book (Q1 to Q3)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        if state.orders[order].symbol == number and wants_more(state, order):
            _serve(state, terms, market, order, True, ts_ns)


@lean
def _trail(state: State, market: Market, number: int) -> None:
    """Move the water marks after the input was matched (O5)."""
    for place in range(state.counters[0].live):
        row = state.orders[state.live[place]]
        if row.type != OrderType.TRAILING_STOP or row.symbol != number or row.triggered:
            continue
        price = trigger_price(market, number, row.side)
        if row.status != Status.WORKING or np.isnan(price) or np.isnan(row.water):
            continue
        moved = min(row.water, price) if row.side > 0 else max(row.water, price)
        if moved != row.water:
            row.water, row.stop = moved, trailed(row.side, moved, row.trail)
            state.counters[0].stale = 1


@lean
def _match_shown(state: State, terms: Terms, market: Market, number: int, event: int) -> None:
    """Match a symbol's orders against a quote or a book that was just told."""
    ts_ns = market.tape[event].ts_ns
    if state.symbols[number].trading != Trading.OPEN:
        return
    take_trades(state, terms, market, number)
    _serve_all(state, terms, market, number, ts_ns)
    compact(state)
    if not market.rows[number].traded:
        _trail(state, market, number)


@lean
def _fill_by_trade(
    state: State, terms: Terms, market: Market, order: int, event: int, used: int
) -> int:
    """Fill a limit that rests by a trade (Q2, L2); return what it used of the trade's units."""
    row, tick = state.orders[order], market.tape[event]
    is_at = tick.price == row.limit
    through = not is_at and is_beyond(-row.side, tick.price, row.limit)
    queued = market.resting[order] == QUEUED
    size = tick.size
    if queued and through:
        row.ahead = 0.0
    elif queued and is_at:
        size = max(tick.size - row.ahead, 0.0)
        row.ahead = max(row.ahead - tick.size, 0.0)
    elif not through and not (is_at and terms.touch):
        return 0
    room = max(units_of(size, state.positions[row.symbol].unit, 1) - used, 0)
    if queued and through:
        room = WHOLE_MARKET
    done = fill(state, terms, order, row.limit, room, True, True, tick.ts_ns)
    return 0 if queued and through else done


@lean
def _match_trade(state: State, terms: Terms, market: Market, number: int, event: int) -> None:
    """Match a symbol's orders against a trade, in order of arrival (Q2, Q3)."""
    tick = market.tape[event]
    if state.symbols[number].trading != Trading.OPEN:
        return
    used = 0
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        if row.symbol != number or not wants_more(state, order):
            continue
        if market.resting[order] != 0:
            if tick.side != row.side:
                used += _fill_by_trade(state, terms, market, order, event, used)
        elif row.type >= OrderType.STOP and row.triggered == 0:
            _serve(state, terms, market, order, True, tick.ts_ns)
        elif not has_market(market, number):
            used += take_trade(state, terms, market, order, event, used)
            if has_limit(row.type) and row.status < Status.FILLED:
                join(state, terms, market, order)
    compact(state)
    _trail(state, market, number)


@lean
def _on_level(state: State, terms: Terms, market: Market, event: int) -> None:
    """Take down a level; when its update is whole, match (L1)."""
    tick = market.tape[event]
    number, books = tick.symbol, market.books
    shown = market.rows[number]
    if not shown.booked:
        shown.booked, state.counters[0].stale = 1, 1
    if tick.kind == RESET:
        reset(books, number)
        lose_places(state, market, number)
        shown.telling = ANEW
        return
    half, size = half_of(tick.side), max(tick.size, 0.0)
    before = set_level(books, number, half, tick.price, size, terms.own_trades_stay)
    if state.counters[0].live > 0:
        adjust(state, terms, market, number, tick.side, tick.price, before, size)
    if tick.kind != LEVEL:
        shown.telling = max(shown.telling, PARTLY)
        return
    if shown.telling == ANEW:
        find_places(state, number)
    shown.telling = TOLD
    shown.bid, shown.ask = best(books, number, 0), best(books, number, 1)
    shown.bid_size, shown.ask_size = best_size(books, number, 0), best_size(books, number, 1)
    shown.bid_taken, shown.ask_taken = 0.0, 0.0
    if is_crossed(books, number):
        shown.crossed += 1
    _told(state, terms, market, number, event)


@lean
def _told(state: State, terms: Terms, market: Market, number: int, event: int) -> None:
    """Mark at what is displayed now and match where it touches an order."""
    shown = market.rows[number]
    if not shown.quoted:
        shown.quoted, state.counters[0].stale = 1, 1
    if shows_prices(market, number) and shown.bid > 0.0 and shown.ask > 0.0:
        state.positions[number].price = (shown.bid + shown.ask) / 2.0
        shown.marked = 1
    if (
        shown.always
        or shown.ask <= shown.ask_below
        or shown.bid >= shown.bid_above
        or shown.bid <= shown.bid_below
        or shown.ask >= shown.ask_above
    ):
        _match_shown(state, terms, market, number, event)


@inlined
def _on_quote(state: State, terms: Terms, market: Market, event: int) -> None:
    tick = market.tape[event]
    shown = market.rows[tick.symbol]
    if shown.booked:
        return
    shown.bid, shown.bid_size, shown.bid_taken = tick.price, tick.size, 0.0
    shown.ask, shown.ask_size, shown.ask_taken = tick.price2, tick.size2, 0.0
    if not (tick.price > 0.0 and tick.size > 0.0):
        shown.bid = np.nan
    if not (tick.price2 > 0.0 and tick.size2 > 0.0):
        shown.ask = np.nan
    _told(state, terms, market, tick.symbol, event)


@inlined
def _on_trade(state: State, terms: Terms, market: Market, event: int) -> None:
    tick = market.tape[event]
    number, price = tick.symbol, tick.price
    shown = market.rows[number]
    if shown.booked and terms.rung >= Rung.BOOK:
        if tick.side <= 0:
            add_traded(market.books, number, 0, price, tick.size)
        if tick.side >= 0:
            add_traded(market.books, number, 1, price, tick.size)
    if not shown.marked:
        state.positions[number].price = price
    if not shown.traded:
        shown.traded, state.counters[0].stale = 1, 1
    if shown.always or price <= shown.trade_below or price >= shown.trade_above:
        take_trades(state, terms, market, number)
        shown.last_trade = event
        _match_trade(state, terms, market, number, event)
    shown.last_trade = event


@lean
def arrivals(state: State, terms: Terms, market: Market, until_ns: int) -> None:
    """Let orders, cancels and changes by date come to the venue in order, and orders take."""
    counters = state.counters[0]
    while counters.next_ns <= until_ns or counters.dated_ns <= until_ns:
        at = min(counters.next_ns, counters.dated_ns)
        catch_up(state, terms, at)
        for place in range(counters.live):
            order = state.live[place]
            row = state.orders[order]
            if row.arrives_ns != at or row.status >= Status.FILLED:
                continue
            if np.isnan(row.ahead):  # it lost the place of the order that it replaced
                row.ahead, market.resting[row.replaces] = 0.0, 0
            elif row.replaces != NONE and market.resting[order] == 0:
                market.resting[order] = market.resting[row.replaces]
            if state.symbols[row.symbol].trading != Trading.OPEN or not wants_more(state, order):
                continue
            if market.resting[order] == 0:
                take_trades(state, terms, market, row.symbol)
                _serve(state, terms, market, order, False, at)
        compact(state)


@lean
def is_due(state: State, ts_ns: int) -> bool:
    """Return whether something arrives or changes by an instant."""
    counters = state.counters[0]
    return bool(counters.next_ns <= ts_ns or counters.dated_ns <= ts_ns)


@lean
def on_tick(state: State, terms: Terms, market: Market, event: int) -> None:
    """Match one input of the tape; there must be room."""
    tick = market.tape[event]
    state.counters[0].event = event
    if is_due(state, tick.ts_ns):
        arrivals(state, terms, market, tick.ts_ns)
    if state.counters[0].stale:
        draw_edges(state, market)
    if tick.kind == QUOTE:
        _on_quote(state, terms, market, event)
    elif tick.kind == TRADE:
        _on_trade(state, terms, market, event)
    else:
        _on_level(state, terms, market, event)
    if state.counters[0].stale:
        draw_edges(state, market)


@lean
def advance_ticks(
    state: State,
    terms: Terms,
    market: Market,
    first: int,
    last: int,
    equity: FloatArray,
    stops: bool,
) -> int:
    """Match inputs until the first that changed something, or ``last``; return the next one.

    Equity after each input is written where ``equity`` has a place for it. A negative answer
    ``-1 - event`` asks for room: nothing of that input has been touched.
    """
    counters = state.counters[0]
    tape, rows, positions = market.tape, market.rows, state.positions
    is_marked = equity.shape[0] > 0
    event = first
    while event < last:
        until = event + 1 if is_marked else last
        reached = idle_until(tape, rows, positions, state.counters, event, until)
        if reached == event:
            if not has_tick_room(state, terms, market):
                return -1 - event
            before = counters.changes
            on_tick(state, terms, market, event)
            reached = event + 1
            if stops and counters.changes != before:
                last = reached
        if is_marked:
            equity[event] = equity_now(state)
        event, counters.event = reached, reached - 1
    return last


@lean
def shown_prices(market: Market, number: int) -> tuple[float, float]:
    """Return bid and ask of a symbol as displayed now, NaN where there is none."""
    shown = market.rows[number]
    if not shows_prices(market, number):
        return np.nan, np.nan
    return float(shown.bid), float(shown.ask)
