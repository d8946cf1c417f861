"""Matching on quotes, trades and order books: rungs 3 and 4 (Q1 to Q3, L1, L2). Compiled.

An input that touches no order costs a few comparisons: for each symbol the prices are known at
which the next quote or trade would, and they are drawn anew whenever an order has changed.
"""

from __future__ import annotations

import numpy as np

from tradelake.execution.account import equity_at, units_of
from tradelake.execution.book import (
    add_traded,
    best,
    best_size,
    half_of,
    is_crossed,
    reset,
    set_level,
    size_at,
)
from tradelake.execution.compiled import compiled
from tradelake.execution.dated import catch_up
from tradelake.execution.filling import fill
from tradelake.execution.layout import NONE, OrderType, Status, TimeInForce
from tradelake.execution.markets import Market
from tradelake.execution.orders import compact, trailed
from tradelake.execution.state import State
from tradelake.execution.taking import (
    WHOLE_MARKET,
    is_beyond,
    rests,
    shows_prices,
    take,
    take_trade,
    take_trades,
    uses_book,
)
from tradelake.execution.terms import Rung, Terms, Trading
from tradelake.market.arrays import FloatArray
from tradelake.market.tape import TickKind

QUOTE = TickKind.QUOTE.value
TRADE = TickKind.TRADE.value
RESET = TickKind.RESET.value
LEVEL = TickKind.LEVEL.value


@compiled
def has_tick_room(state: State, terms: Terms, market: Market) -> bool:
    """Return whether any one input can be matched without growing the arrays."""
    counters = state.counters[0]
    symbols = state.symbols.shape[0]
    fills = 4 * (counters.live + counters.sent) + 2 * symbols + 4
    if terms.rung >= Rung.BOOK:
        for number in range(symbols):
            fills += 2 * (market.books.counts[number, 0] + market.books.counts[number, 1])
    return bool(
        state.fills.shape[0] - counters.fills >= fills
        and state.orders.shape[0] - counters.orders >= symbols + 4
    )


@compiled
def wants_more(state: State, order: int) -> bool:
    """Return whether an order works and is not full."""
    row = state.orders[order]
    return bool(row.status == Status.WORKING and (row.quantity == 0 or row.filled < row.quantity))


@compiled
def _trigger_price(market: Market, number: int, side: int) -> float:
    """Return what stops of a side look at (Q3)."""
    shown = market.rows[number]
    if shown.traded:
        return float(market.tape[shown.last_trade].price)
    return float(shown.ask if side > 0 else shown.bid)


@compiled
def _is_triggered(state: State, market: Market, order: int) -> bool:
    """Trigger a stop that is reached; return whether an order may fill."""
    row = state.orders[order]
    if row.type < OrderType.STOP or row.triggered:
        return True
    price = _trigger_price(market, row.symbol, row.side)
    if row.type == OrderType.TRAILING_STOP and np.isnan(row.water):
        row.water = price
        row.stop = trailed(row.side, row.water, row.trail)
    if np.isnan(price) or is_beyond(-row.side, price, row.stop):
        return False
    row.triggered = 1
    return True


@compiled
def _join(state: State, terms: Terms, market: Market, order: int) -> None:
    """Let a limit rest behind what is displayed at its price (L2)."""
    row = state.orders[order]
    row.ahead = 0.0
    if terms.rung >= Rung.BOOK:
        row.ahead = np.inf
        if market.rows[row.symbol].booked:
            row.ahead = size_at(market.books, row.symbol, half_of(row.side), row.limit)


@compiled
def _serve(
    state: State, terms: Terms, market: Market, order: int, is_resting: bool, ts_ns: int
) -> None:
    """Let an order trigger, take or rest at what is displayed now."""
    row = state.orders[order]
    waited = row.type >= OrderType.STOP and row.triggered == 0
    if not _is_triggered(state, market, order):
        return
    is_resting = is_resting and not waited
    take(state, terms, market, order, is_resting, ts_ns)
    if not is_resting and row.status == Status.WORKING and rests(state, order):
        _join(state, terms, market, order)


@compiled
def _serve_exits(
    state: State, terms: Terms, market: Market, entry: int, before: int, ts_ns: int
) -> None:
    """Let the exits that a fill fed take their turn (O3)."""
    if state.orders[entry].filled == before or state.orders[entry].parent != NONE:
        return
    for place in range(state.counters[0].live):
        order = state.live[place]
        if state.orders[order].parent != entry or not wants_more(state, order):
            continue
        if before == 0 or not rests(state, order):
            _serve(state, terms, market, order, False, ts_ns)


@compiled
def _serve_all(state: State, terms: Terms, market: Market, number: int, ts_ns: int) -> None:
    """Give every order of a symbol its turn at the newest quote or book (Q1 to Q3)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        if state.orders[order].symbol != number or not wants_more(state, order):
            continue
        before = state.orders[order].filled
        _serve(state, terms, market, order, rests(state, order), ts_ns)
        _serve_exits(state, terms, market, order, before, ts_ns)


@compiled
def _trail(state: State, market: Market, number: int) -> None:
    """Move the water marks after the input was matched (O5)."""
    for place in range(state.counters[0].live):
        row = state.orders[state.live[place]]
        if row.type != OrderType.TRAILING_STOP or row.symbol != number or row.triggered:
            continue
        price = _trigger_price(market, number, row.side)
        if row.status != Status.WORKING or np.isnan(price) or np.isnan(row.water):
            continue
        moved = min(row.water, price) if row.side > 0 else max(row.water, price)
        if moved != row.water:
            row.water, row.stop = moved, trailed(row.side, moved, row.trail)
            state.counters[0].stale = 1


@compiled
def _match_shown(state: State, terms: Terms, market: Market, number: int, event: int) -> None:
    """Match a symbol's orders against a quote or a book that was just told."""
    counters, ts_ns = state.counters[0], market.tape[event].ts_ns
    counters.event = event
    if state.symbols[number].trading != Trading.OPEN:
        return
    take_trades(state, terms, market, number)
    _serve_all(state, terms, market, number, ts_ns)
    if not market.rows[number].traded:
        _trail(state, market, number)
    compact(state)


@compiled
def _fill_by_trade(
    state: State, terms: Terms, market: Market, order: int, event: int, used: int
) -> int:
    """Fill a limit that rests by a trade (Q2, L2); return what it used of the trade's units."""
    row, tick = state.orders[order], market.tape[event]
    through = is_beyond(-row.side, tick.price, row.limit)
    through = through and tick.price != row.limit
    if tick.side == row.side or not (through or tick.price == row.limit):
        return 0
    unit, size = state.positions[row.symbol].unit, tick.size
    queued = uses_book(terms, market, row.symbol) and not np.isinf(row.ahead)
    if queued and through:
        row.ahead = 0.0
    elif queued:
        size = max(tick.size - row.ahead, 0.0)
        row.ahead = max(row.ahead - tick.size, 0.0)
    elif not through and (terms.rung >= Rung.BOOK or not terms.touch):
        return 0
    room = max(units_of(size, unit, 1) - used, 0)
    if queued and through:
        room = WHOLE_MARKET
    if not wants_more(state, order):
        return 0
    done = fill(state, terms, order, row.limit, room, True, False, tick.ts_ns)
    return 0 if queued and through else done


@compiled
def _match_trade(state: State, terms: Terms, market: Market, number: int, event: int) -> None:
    """Match a symbol's orders against a trade: what rests first, then stops (Q2, Q3)."""
    counters, tick, shown = state.counters[0], market.tape[event], market.rows[number]
    counters.event = event
    if state.symbols[number].trading != Trading.OPEN:
        return
    used, newest = 0, counters.fills
    for place in range(counters.live):
        order = state.live[place]
        row = state.orders[order]
        if row.symbol != number or not rests(state, order) or not wants_more(state, order):
            continue
        if row.parent != NONE and _was_fed(state, row.parent, newest):
            continue
        before = row.filled
        used += _fill_by_trade(state, terms, market, order, event, used)
        _serve_exits(state, terms, market, order, before, tick.ts_ns)
    for place in range(counters.live):
        order = state.live[place]
        row = state.orders[order]
        if row.symbol != number or not wants_more(state, order):
            continue
        if row.type >= OrderType.STOP and row.triggered == 0:
            _serve(state, terms, market, order, False, tick.ts_ns)
        is_taker = not rests(state, order) and (row.type < OrderType.STOP or row.triggered)
        if is_taker and not shown.quoted and wants_more(state, order):
            used += take_trade(state, terms, market, order, event, used)
    _trail(state, market, number)
    compact(state)


@compiled
def _was_fed(state: State, entry: int, newest: int) -> bool:
    """Return whether an entry has filled since the fills were so many."""
    for fill_row in range(newest, state.counters[0].fills):
        if state.fills[fill_row].order == entry:
            return True
    return False


@compiled
def _adjust_queue(
    state: State, terms: Terms, number: int, side: int, price: float, before: float, size: float
) -> None:
    """Move own limits forward by what left the level ahead of them (L2)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        if row.symbol != number or row.side != side or not rests(state, order):
            continue
        if row.limit != price or np.isinf(row.ahead):
            continue
        gone = before - size
        if terms.queue_pro_rata and gone > 0.0:
            row.ahead -= row.ahead * (gone / before)
        row.ahead = min(row.ahead, size)


@compiled
def _after_reset(state: State, market: Market, number: int) -> None:
    """Let no more be ahead than the levels show that were told anew (L2)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        if row.symbol == number and rests(state, order) and not np.isinf(row.ahead):
            shown = size_at(market.books, number, half_of(row.side), row.limit)
            row.ahead = min(row.ahead, shown)


@compiled
def _on_level(state: State, terms: Terms, market: Market, event: int) -> None:
    """Take down a level; when its update is whole, match (L1)."""
    tick = market.tape[event]
    number = tick.symbol
    shown, books, half = market.rows[number], market.books, half_of(tick.side)
    if tick.kind == RESET:
        reset(books, number)
        shown.resetting, shown.booked = 1, 1
        return
    before = set_level(books, number, half, tick.price, tick.size, terms.own_trades_stay)
    if state.counters[0].live > 0 and not shown.resetting and not np.isnan(before):
        _adjust_queue(state, terms, number, tick.side, tick.price, before, max(tick.size, 0.0))
    shown.booked = 1
    if tick.kind != LEVEL:
        return
    if shown.resetting:
        _after_reset(state, market, number)
        shown.resetting = 0
    bid, ask = best(books, number, 0), best(books, number, 1)
    is_same = bid == shown.bid and ask == shown.ask
    shown.bid, shown.ask = bid, ask
    shown.bid_size, shown.ask_size = best_size(books, number, 0), best_size(books, number, 1)
    shown.bid_taken, shown.ask_taken = 0, 0
    if is_crossed(books, number):
        shown.crossed += 1
        return
    _told(state, terms, market, number, event, is_same)


@compiled
def _told(
    state: State, terms: Terms, market: Market, number: int, event: int, is_same: bool
) -> None:
    """Mark at what is displayed now and match where it touches an order."""
    shown = market.rows[number]
    if not is_same and not np.isnan(shown.bid) and not np.isnan(shown.ask):
        state.positions[number].price = (shown.bid + shown.ask) / 2.0
    if not shown.quoted:
        shown.quoted = 1
        state.counters[0].stale = 1
    if (
        shown.ask <= shown.ask_below
        or shown.bid >= shown.bid_above
        or shown.bid <= shown.bid_below
        or shown.ask >= shown.ask_above
    ):
        _match_shown(state, terms, market, number, event)


@compiled
def _on_quote(state: State, terms: Terms, market: Market, event: int) -> None:
    tick = market.tape[event]
    shown = market.rows[tick.symbol]
    if shown.booked:
        return
    shown.bid, shown.bid_size, shown.bid_taken = tick.price, tick.size, 0
    shown.ask, shown.ask_size, shown.ask_taken = tick.price2, tick.size2, 0
    _told(state, terms, market, tick.symbol, event, False)


@compiled
def _on_trade(state: State, terms: Terms, market: Market, event: int) -> None:
    tick = market.tape[event]
    number, price = tick.symbol, tick.price
    shown = market.rows[number]
    if shown.booked and terms.rung >= Rung.BOOK:
        if tick.side <= 0:
            add_traded(market.books, number, 0, price, tick.size)
        if tick.side >= 0:
            add_traded(market.books, number, 1, price, tick.size)
    if not shown.quoted:
        state.positions[number].price = price
    if not shown.traded:
        shown.traded, state.counters[0].stale = 1, 1
        shown.trade_below = np.inf
    window = shown.last_trade
    if price <= shown.trade_below or price >= shown.trade_above:
        take_trades(state, terms, market, number)
        shown.last_trade = event
        _match_trade(state, terms, market, number, event)
    elif window != event:
        shown.last_trade = event


@compiled
def arrivals(state: State, terms: Terms, market: Market, until_ns: int) -> None:
    """Let orders, cancels and changes by date come to the venue in order, and orders take."""
    counters = state.counters[0]
    while counters.next_ns <= until_ns or counters.dated_ns <= until_ns:
        at = min(counters.next_ns, counters.dated_ns)
        counters.event = NONE
        catch_up(state, terms, at)
        for place in range(counters.live):
            order = state.live[place]
            row = state.orders[order]
            if row.arrives_ns != at or not wants_more(state, order):
                continue
            if state.symbols[row.symbol].trading != Trading.OPEN:
                continue
            if row.replaces != NONE and not np.isnan(row.ahead) and rests(state, order):
                continue
            row.ahead = 0.0
            take_trades(state, terms, market, row.symbol)
            before = row.filled
            _serve(state, terms, market, order, False, at)
            _serve_exits(state, terms, market, order, before, at)
        compact(state)


@compiled
def is_due(state: State, ts_ns: int) -> bool:
    """Return whether something arrives or changes by an instant."""
    counters = state.counters[0]
    return bool(counters.next_ns <= ts_ns or counters.dated_ns <= ts_ns)


@compiled
def on_tick(state: State, terms: Terms, market: Market, event: int) -> None:
    """Match one input of the tape; there must be room."""
    tick = market.tape[event]
    if is_due(state, tick.ts_ns):
        arrivals(state, terms, market, tick.ts_ns)
    if state.counters[0].stale:
        draw_edges(state, market)
    if state.symbols[tick.symbol].trading == Trading.DELISTED:
        return
    if tick.kind == QUOTE:
        _on_quote(state, terms, market, event)
    elif tick.kind == TRADE:
        _on_trade(state, terms, market, event)
    else:
        _on_level(state, terms, market, event)
    if state.counters[0].stale:
        draw_edges(state, market)


@compiled
def draw_edges(state: State, market: Market) -> None:
    """Draw for each symbol the prices at which the next input touches an order."""
    for number in range(market.rows.shape[0]):
        shown = market.rows[number]
        shown.ask_below, shown.bid_above = -np.inf, np.inf
        shown.bid_below, shown.ask_above = -np.inf, np.inf
        shown.trade_below, shown.trade_above = -np.inf, np.inf
        if not shown.traded:
            shown.trade_below = np.inf
    for place in range(state.counters[0].live):
        order = state.live[place]
        if wants_more(state, order):
            _draw_edge(state, market, order)
    state.counters[0].stale = 0


@compiled
def _draw_edge(state: State, market: Market, order: int) -> None:
    row = state.orders[order]
    shown, side = market.rows[row.symbol], row.side
    if row.tif == TimeInForce.IOC or row.type == OrderType.TRAILING_STOP:
        shown.ask_below, shown.bid_above = np.inf, -np.inf
        shown.trade_below = np.inf
    elif rests(state, order) and side > 0:
        shown.ask_below = max(shown.ask_below, row.limit)
        shown.trade_below = max(shown.trade_below, row.limit)
    elif rests(state, order):
        shown.bid_above = min(shown.bid_above, row.limit)
        shown.trade_above = min(shown.trade_above, row.limit)
    elif row.type == OrderType.MARKET or row.triggered:
        shown.ask_below, shown.bid_above = np.inf, -np.inf
        if not shown.quoted:
            shown.trade_below = np.inf
    elif side > 0:
        shown.trade_above = min(shown.trade_above, row.stop)
        shown.ask_above = min(shown.ask_above, row.stop if not shown.traded else np.inf)
    else:
        shown.trade_below = max(shown.trade_below, row.stop)
        shown.bid_below = max(shown.bid_below, row.stop if not shown.traded else -np.inf)


@compiled
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
    for event in range(first, last):
        if not has_tick_room(state, terms, market):
            return -1 - event
        before = counters.changes
        on_tick(state, terms, market, event)
        if event < equity.shape[0]:
            equity[event] = equity_at(state, -1, 0.0)
        if stops and counters.changes != before:
            return event + 1
    return last


@compiled
def shown_prices(market: Market, number: int) -> tuple[float, float]:
    """Return bid and ask of a symbol as displayed now, NaN where there is none."""
    shown = market.rows[number]
    if not shows_prices(market, number):
        return np.nan, np.nan
    return float(shown.bid), float(shown.ask)
