"""Where own limits stand among those displayed at their price (L2). Compiled."""

from __future__ import annotations

from tradelake.execution.book import half_of, size_at
from tradelake.execution.compiled import lean
from tradelake.execution.edges import wants_more
from tradelake.execution.markets import QUEUED, RESTS, Market
from tradelake.execution.state import State
from tradelake.execution.taking import uses_book
from tradelake.execution.terms import Terms


@lean
def join(state: State, terms: Terms, market: Market, order: int) -> None:
    """Let a limit rest behind what is displayed at its price (L2)."""
    row = state.orders[order]
    row.ahead = 0.0
    market.resting[order], state.counters[0].stale = RESTS, 1
    if uses_book(terms, market, row.symbol):
        market.resting[order] = QUEUED
        row.ahead = size_at(market.books, row.symbol, half_of(row.side), row.limit)


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
        if market.resting[order] != QUEUED or not wants_more(state, order):
            continue
        gone = max(before - size, 0.0)
        if terms.queue_pro_rata and before > 0.0:
            row.ahead -= row.ahead * (gone / before)
        row.ahead = min(row.ahead, size)
