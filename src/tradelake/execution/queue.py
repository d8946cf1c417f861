"""Where own limits stand among those displayed at their price (L2). Compiled."""

from __future__ import annotations

import numpy as np

from tradelake.execution.book import half_of, size_at
from tradelake.execution.compiled import inlined, lean
from tradelake.execution.markets import ANEW, QUEUED, RESTS, Market
from tradelake.execution.state import State
from tradelake.execution.taking import uses_book
from tradelake.execution.terms import Terms


@inlined
def join(state: State, terms: Terms, market: Market, order: int) -> None:
    """Let a limit rest behind what is displayed at its price (L2)."""
    row = state.orders[order]
    row.ahead = 0.0
    market.resting[order], state.counters[0].stale = RESTS, 1
    if uses_book(terms, market, row.symbol):
        market.resting[order] = QUEUED
        row.ahead = size_at(market.books, row.symbol, half_of(row.side), row.limit)
        if row.ahead == 0.0 and market.rows[row.symbol].telling == ANEW:
            row.ahead = np.inf


@lean
def adjust(
    state: State,
    terms: Terms,
    market: Market,
    number: int,
    side: int,
    price: float,
    before: float,
    size: float,
) -> None:
    """Move own limits forward by what left the level ahead of them (L2)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        row = state.orders[order]
        if row.symbol != number or row.side != side or row.limit != price:
            continue
        if market.resting[order] != QUEUED:
            continue
        gone = max(before - size, 0.0)
        if terms.queue_pro_rata and before > 0.0:
            row.ahead -= row.ahead * (gone / before)
        row.ahead = min(row.ahead, size)


@lean
def lose_places(state: State, market: Market, number: int) -> None:
    """Let a reset put own limits behind whatever its snapshot will show (L2)."""
    for place in range(state.counters[0].live):
        order = state.live[place]
        if state.orders[order].symbol == number and market.resting[order] == QUEUED:
            state.orders[order].ahead = np.inf


@lean
def find_places(state: State, number: int) -> None:
    """Leave nothing ahead of own limits at whose price a snapshot, now whole, shows nothing."""
    for place in range(state.counters[0].live):
        row = state.orders[state.live[place]]
        if row.symbol == number and row.ahead == np.inf:
            row.ahead = 0.0
