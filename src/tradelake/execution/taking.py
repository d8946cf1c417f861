"""Fills against what a market shows: quote, book or trade (Q1, Q2, L1). Compiled."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.account import equity_at, units_of
from tradelake.execution.book import half_of, is_crossed, key_of, room_at
from tradelake.execution.checks import has_limit
from tradelake.execution.compiled import inlined, lean
from tradelake.execution.filling import fill
from tradelake.execution.layout import Reason, Side, Sizing, Status, TimeInForce
from tradelake.execution.markets import TOLD, Market
from tradelake.execution.orders import end
from tradelake.execution.pricing import take_window
from tradelake.execution.state import State
from tradelake.execution.terms import Impact, Rung, Terms

WHOLE_MARKET: Final = 4 * 10**18
"""Room where nothing limits it."""


@lean
def take_trades(state: State, terms: Terms, market: Market, number: int) -> None:
    """Take volatility and mean size of the newest trades before the input at work (C2)."""
    if terms.impact_kind != Impact.NONE:
        take_window(state, number, market.rows[number].last_trade)


@lean
def is_beyond(side: int, price: float, limit: float) -> bool:
    """Return whether a price is worse than a limit for an order of that side."""
    return bool(price > limit if side > 0 else price < limit)


@lean
def uses_book(terms: Terms, market: Market, number: int) -> bool:
    """Return whether takers of a symbol walk a book."""
    return bool(terms.rung >= Rung.BOOK and market.rows[number].booked)


@lean
def has_market(market: Market, number: int) -> bool:
    """Return whether there ever was a quote or a book."""
    row = market.rows[number]
    return bool(row.quoted or row.booked)


@lean
def shows_prices(market: Market, number: int) -> bool:
    """Return whether what is displayed is whole and can be."""
    row = market.rows[number]
    if not row.booked:
        return bool(row.quoted)
    return bool(row.telling == TOLD and row.quoted and not is_crossed(market.books, number))


@inlined
def choose_side(state: State, terms: Terms, order: int, bid: float, ask: float) -> bool:
    """Give a target or a close its side (Q1); False where there is nothing to do."""
    row = state.orders[order]
    if row.quantity > 0 or row.sizing <= Sizing.NOTIONAL or has_limit(row.type):
        return True
    position = state.positions[row.symbol]
    if row.sizing == Sizing.CLOSE:
        row.side = Side.SELL.value if position.quantity > 0 else Side.BUY.value
        return True
    target = row.amount
    if target < 0.0 and not terms.allow_short:
        target = 0.0
    for side in (1, -1):
        price = ask if side > 0 else bid
        worth = position.quantity * position.unit * price
        if (target * equity_at(state, row.symbol, price) - worth) * side > 0.0:
            row.side = side
            return True
    return bool(np.isnan(bid) or np.isnan(ask))


@lean
def take(
    state: State,
    terms: Terms,
    market: Market,
    order: int,
    maker: bool,
    inside: bool,
    ts_ns: int,
) -> None:
    """Fill an order from what is displayed: a maker at its limit, a taker at what it meets.

    ``inside`` lets exits that are fed wait for the next input.
    """
    row = state.orders[order]
    number = row.symbol
    shown = market.rows[number]
    is_shown = shows_prices(market, number)
    bid, ask = (shown.bid, shown.ask) if is_shown else (np.nan, np.nan)
    if not maker and not choose_side(state, terms, order, bid, ask):
        end(state, terms, order, Status.FILLED.value, Reason.NONE.value, ts_ns)
        return
    if is_shown:
        if uses_book(terms, market, number):
            if maker:
                _make_from_book(state, terms, market, order, inside, ts_ns)
            else:
                _walk_book(state, terms, market, order, inside, ts_ns)
        else:
            _take_quote(state, terms, market, order, maker, inside, ts_ns)
    if not maker and has_market(market, number):
        drop_rest(state, terms, order, ts_ns)


@inlined
def _take_quote(
    state: State,
    terms: Terms,
    market: Market,
    order: int,
    maker: bool,
    inside: bool,
    ts_ns: int,
) -> None:
    row = state.orders[order]
    side, symbol, shown = row.side, state.symbols[row.symbol], market.rows[row.symbol]
    unit = state.positions[row.symbol].unit
    price = shown.ask if side > 0 else shown.bid
    if np.isnan(price) or (has_limit(row.type) and is_beyond(side, price, row.limit)):
        return
    displayed = shown.ask_size if side > 0 else shown.bid_size
    left = displayed - (shown.ask_taken if side > 0 else shown.bid_taken)
    room = max(units_of(left, unit, 1), 0)
    if terms.beyond_top and not maker:
        room = WHOLE_MARKET
    symbol.bar_volume, symbol.done = displayed, max(units_of(displayed - left, unit, 1), 0)
    reference = row.limit if maker else price
    done = fill(state, terms, order, reference, room, maker, inside, ts_ns) * unit
    if side > 0:
        shown.ask_taken += done
    else:
        shown.bid_taken += done


@lean
def _walk_book(
    state: State, terms: Terms, market: Market, order: int, inside: bool, ts_ns: int
) -> None:
    """Take level by level; each level is a fill (L1)."""
    row, books = state.orders[order], market.books
    number, side = row.symbol, row.side
    symbol, unit = state.symbols[number], state.positions[number].unit
    half = half_of(-side)
    limited = has_limit(row.type)
    place = books.counts[number, half] - 1
    while place >= 0 and row.status == Status.WORKING:
        price = key_of(half, books.keys[number, half, place])
        if limited and is_beyond(side, price, row.limit):
            return
        if row.quantity > 0 and row.filled >= row.quantity:
            return
        room = room_at(books, number, half, place, unit)
        symbol.bar_volume = books.sizes[number, half, place]
        left = symbol.bar_volume - books.taken[number, half, place]
        symbol.done = max(units_of(symbol.bar_volume - left, unit, 1), 0)
        done = fill(state, terms, order, price, room, False, inside, ts_ns)
        books.taken[number, half, place] += done * unit
        if done != room:
            return
        place -= 1


@lean
def _make_from_book(
    state: State, terms: Terms, market: Market, order: int, inside: bool, ts_ns: int
) -> None:
    """Fill a limit at its price from all that reaches it, in one fill (L1)."""
    row, books = state.orders[order], market.books
    number = row.symbol
    unit, half = state.positions[number].unit, half_of(-row.side)
    best_place = books.counts[number, half] - 1
    worst = key_of(half, row.limit)
    place, room = best_place, 0
    while place >= 0 and books.keys[number, half, place] >= worst:
        room += room_at(books, number, half, place, unit)
        place -= 1
    if place == best_place:
        return
    done = fill(state, terms, order, row.limit, room, True, inside, ts_ns)
    for taken in range(best_place, place, -1):
        part = min(done, room_at(books, number, half, taken, unit))
        books.taken[number, half, taken] += part * unit
        done -= part


@lean
def take_trade(
    state: State, terms: Terms, market: Market, order: int, event: int, used: int
) -> int:
    """Fill a taker at a trade where nothing else is known, up to its size (Q1); return units."""
    row, tick = state.orders[order], market.tape[event]
    number = row.symbol
    done = 0
    if not has_limit(row.type) or not is_beyond(row.side, tick.price, row.limit):
        room = max(units_of(tick.size, state.positions[number].unit, 1) - used, 0)
        state.symbols[number].bar_volume, state.symbols[number].done = tick.size, used
        done = fill(state, terms, order, tick.price, room, False, True, tick.ts_ns)
    drop_rest(state, terms, order, tick.ts_ns)
    return done


@inlined
def drop_rest(state: State, terms: Terms, order: int, ts_ns: int) -> None:
    """Cancel what an ioc order left at its first opportunity."""
    row = state.orders[order]
    is_full = 0 < row.quantity <= row.filled
    if row.tif == TimeInForce.IOC and row.status == Status.WORKING and not is_full:
        end(state, terms, order, Status.CANCELLED.value, Reason.IOC_REST.value, ts_ns)
