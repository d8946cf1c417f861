"""What there is to take, and where an own limit stands in the queue: rules L1 and L2."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tradelake.execution.layout import Side
from tradelake.execution.terms import Rung, Terms
from tradelake.execution.twin.state import Market, Order, State


@dataclass(frozen=True)
class Level:
    """A price at which there is something to take."""

    side: int
    """Of the resting side: bids are buys."""
    price: float
    size: float
    """Base units displayed."""
    left: float
    """Base units that own takers have not taken."""


def uses_book(state: State, symbol: int) -> bool:
    """Whether fills come from a book rather than from quotes."""
    return state.terms.rung == Rung.BOOK and state.markets[symbol].has_book


def levels(state: State, symbol: int, side: int) -> list[Level]:
    """L1, Q1: what rests on a side, best first; of quotes the top alone."""
    market = state.markets[symbol]
    if market.has_book and (market.is_partly_told or is_crossed(market)):
        return []
    if market.has_book:
        prices = sorted(market.books[side], reverse=side == Side.BUY)
        told = market.books[side]
        there = [
            Level(side, price, told[price], told[price] - market.taken.get((side, price), 0.0))
            for price in prices
        ]
        return there if state.terms.rung == Rung.BOOK else there[:1]
    price = market.bid if side == Side.BUY else market.ask
    size = market.bid_size if side == Side.BUY else market.ask_size
    left = size - market.taken.get((side, price), 0.0)
    return [] if math.isnan(price) else [Level(side, price, size, left)]


def is_crossed(market: Market) -> bool:
    """L1: whether a book says what cannot be, so that nothing is matched against it."""
    bids, asks = market.books[Side.BUY], market.books[Side.SELL]
    return bool(bids) and bool(asks) and max(bids) >= min(asks)


def take_from(market: Market, level: Level, size: float) -> None:
    """L1: what is taken is gone until the level is next told."""
    key = (level.side, level.price)
    market.taken[key] = market.taken.get(key, 0.0) + size


def tell_level(terms: Terms, market: Market, side: int, price: float, size: float) -> float:
    """L1: take down a level anew and return the size it had; one that was not there is whole."""
    before = market.books[side].get(price, 0.0)
    if size > 0.0:
        market.books[side][price] = size
    else:
        market.books[side].pop(price, None)
    if before <= 0.0 or size <= 0.0 or not terms.own_trades_stay:
        market.taken.pop((side, price), None)
    return before


def forget(state: State, symbol: int) -> None:
    """L2: forget a book; own limits go behind what its snapshot will show at their price."""
    market = state.markets[symbol]
    for order in queued(state, symbol):
        order.ahead = math.inf
    for book in market.books.values():
        book.clear()
    market.taken.clear()
    market.traded.clear()
    market.has_book = market.is_partly_told = market.is_told_anew = True


def end_update(state: State, symbol: int) -> None:
    """L1, L2: an update is whole; a price that a snapshot does not show has nobody waiting."""
    market = state.markets[symbol]
    market.is_partly_told = market.is_told_anew = False
    for order in queued(state, symbol):
        if math.isinf(order.ahead):
            order.ahead = 0.0


def queued(state: State, symbol: int) -> list[Order]:
    """Return the orders of a symbol that stand in a queue."""
    return [
        order
        for order in state.orders
        if order.symbol == symbol and order.queued and not order.ended
    ]


def join_queue(state: State, order: Order) -> None:
    """L2: a limit joins behind the size displayed at its price."""
    order.rests = True
    order.ahead = 0.0
    order.queued = uses_book(state, order.symbol)
    if order.queued:
        market = state.markets[order.symbol]
        unknown = math.inf if market.is_told_anew else 0.0
        order.ahead = market.books[order.side].get(order.limit, unknown)


def shrink_queue(state: State, symbol: int, side: int, price: float, before: float) -> None:
    """L2: who left a level that shrank by more than was traded stood in front, or did not."""
    market = state.markets[symbol]
    size = market.books[side].get(price, 0.0)
    before = max(before - market.traded.pop((side, price), 0.0), 0.0)
    left = max(before - size, 0.0)
    for order in queued(state, symbol):
        if order.side != side or order.limit != price:
            continue
        if state.terms.queue_pro_rata and before > 0.0:
            order.ahead -= order.ahead * (left / before)
        order.ahead = min(order.ahead, size)


def pass_queue(order: Order, size: float) -> float:
    """L2: let a trade at the order's price take from what is ahead; return what it leaves."""
    beyond = max(size - order.ahead, 0.0)
    order.ahead = max(order.ahead - size, 0.0)
    return beyond
