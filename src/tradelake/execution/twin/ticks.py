"""How the twin matches quotes, trades and levels of a book: rules Q1 to Q3, L1 and L2."""

from __future__ import annotations

import math

from tradelake.execution.layout import OrderType, Reason, Side, Sizing, Status, TimeInForce
from tradelake.execution.terms import Rung
from tradelake.execution.twin import book
from tradelake.execution.twin.fills import Offer, fill
from tradelake.execution.twin.money import equity, units_of
from tradelake.execution.twin.orders import end
from tradelake.execution.twin.state import Market, Order, State


def on_quote(
    state: State,
    symbol: int,
    ts_ns: int,
    bid: float,
    bid_size: float,
    ask: float,
    ask_size: float,
) -> None:
    """Q1 to Q3: a new top of the market; a side without price or size is none."""
    market = state.markets[symbol]
    has_bid, has_ask = bid > 0.0 and bid_size > 0.0, ask > 0.0 and ask_size > 0.0
    market.bid, market.bid_size = (bid, bid_size) if has_bid else (math.nan, 0.0)
    market.ask, market.ask_size = (ask, ask_size) if has_ask else (math.nan, 0.0)
    market.has_quotes = True
    if market.has_book:
        return
    market.taken.clear()
    serve_all(state, symbol, ts_ns)


def on_level(
    state: State, symbol: int, ts_ns: int, side: int, price: float, size: float, *, last: bool
) -> None:
    """L1, L2: a level is told anew; the update is matched when it is whole."""
    market = state.markets[symbol]
    market.has_book = True
    before = book.tell_level(state.terms, market, side, price, size)
    book.shrink_queue(state, symbol, side, price, before)
    if state.terms.rung != Rung.BOOK:
        market.taken.clear()
    market.is_partly_told = True
    if last:
        book.end_update(state, symbol)
        serve_all(state, symbol, ts_ns)


def on_trade(state: State, symbol: int, ts_ns: int, price: float, size: float, side: int) -> None:
    """Q2, Q3, L2: a trade fills limits that rest and triggers stops, in order of arrival."""
    market = state.markets[symbol]
    market.has_trades, market.last = True, price
    for hit in (Side.BUY, Side.SELL):
        if side != hit:
            key = (int(hit), price)
            market.traded[key] = market.traded.get(key, 0.0) + size
    mark(state, symbol)
    if state.is_open(symbol, ts_ns):
        room = units_of(size, state.positions[symbol].unit)
        done = 0
        for order in state.working(symbol, ts_ns):
            if order.status != Status.WORKING or not order.wants_more:
                continue
            if order.rests and side != order.side:
                done += fill_by_trade(state, order, ts_ns, price, size, room, done)
            elif order.waits_for_stop:
                serve(state, order, ts_ns)
            elif not order.rests and not has_market(market):
                done += take_trade(state, order, ts_ns, price, size, room, done)
        for order in state.working(symbol, ts_ns):
            order.follow(price)
    market.closes.append(price)
    market.volumes.append(size)


def has_market(market: Market) -> bool:
    """Whether there ever was a quote or a book."""
    return market.has_quotes or market.has_book


def take_trade(
    state: State, order: Order, ts_ns: int, price: float, size: float, room: int, used: int
) -> int:
    """Q1: without quote or book a taker fills at the next trade, up to its size."""
    done = 0
    if within_limit(order, price):
        left = max(room - used, 0)
        offer = Offer(price, False, ts_ns, state.event, left, volume=size, done=used)
        done = fill(state, order, offer)
    if order.tif == TimeInForce.IOC and not order.ended:
        end(state, order, Status.CANCELLED, Reason.IOC_REST, ts_ns)
    elif order.has_limit and not order.ended:
        book.join_queue(state, order)
    return done


def fill_by_trade(
    state: State, order: Order, ts_ns: int, price: float, size: float, room: int, done: int
) -> int:
    """Q2, L2: a trade through a limit fills it; one at its price what the queue leaves."""
    at, through = price == order.limit, price * order.side < order.limit * order.side
    allowed: int | None = max(room - done, 0)
    if order.queued and through:
        allowed, order.ahead = None, 0.0
    elif order.queued and at:
        beyond = book.pass_queue(order, size)
        allowed = max(units_of(beyond, state.positions[order.symbol].unit) - done, 0)
    elif not through and not (at and state.terms.touch):
        return 0
    taken = fill(state, order, Offer(order.limit, True, ts_ns, state.event, allowed))
    return 0 if order.queued and through else taken


def serve_all(state: State, symbol: int, ts_ns: int) -> None:
    """Q1 to Q3: give every order its turn at the newest quote or book, in order of arrival."""
    mark(state, symbol)
    if not state.is_open(symbol, ts_ns):
        return
    for order in state.working(symbol, ts_ns):
        if order.status == Status.WORKING and order.wants_more:
            serve(state, order, ts_ns)
    if not state.markets[symbol].has_trades:
        for order in state.working(symbol, ts_ns):
            order.follow(trigger_price(state, order))


def on_arrivals(state: State, ts_ns: int) -> None:
    """Q1: the orders that arrived at an instant meet the newest quote or book, all of them in."""
    if state.terms.rung < Rung.QUOTES:
        return
    arrived = [order for order in state.orders if order.arrives_ns == ts_ns]
    for order in sorted(arrived, key=lambda order: order.turn):
        if order.status == Status.WORKING and not order.rests and order.wants_more:
            serve(state, order, ts_ns)


def serve(state: State, order: Order, ts_ns: int) -> None:
    """Trigger, take or rest: what an order does at the newest quote or book."""
    if not state.is_open(order.symbol, ts_ns):
        return
    if math.isnan(order.water):
        order.follow(trigger_price(state, order))
    if order.waits_for_stop:
        if not order.reached_by(trigger_price(state, order)):
            return
        order.triggered = 1
    if order.rests:
        fill_as_maker(state, order, ts_ns)
        return
    if not order.sized and order.sizing in (Sizing.TARGET, Sizing.CLOSE):
        turn(state, order, ts_ns)
    if order.ended:
        return
    take(state, order, ts_ns)
    if order.has_limit and has_market(state.markets[order.symbol]) and not order.ended:
        book.join_queue(state, order)


def turn(state: State, order: Order, ts_ns: int) -> None:
    """Q1: a target buys where it asks for more at the ask, sells where for less at the bid."""
    position = state.positions[order.symbol]
    if order.sizing == Sizing.CLOSE:
        if not order.has_limit:
            order.side = Side.SELL if position.quantity > 0 else Side.BUY
        return
    wanted = order.amount
    if wanted < 0.0 and not state.terms.allow_short:
        wanted = 0.0
    asks_for = {}
    for side, opposite_side in ((Side.BUY, Side.SELL), (Side.SELL, Side.BUY)):
        for level in book.levels(state, order.symbol, opposite_side)[:1]:
            worth = equity(state.account, state.positions, order.symbol, level.price)
            held = float(position.quantity) * position.unit * level.price
            asks_for[side] = (wanted * worth - held) * side > 0.0
    if order.has_limit or not asks_for:
        return
    if asks_for.get(Side.BUY, False):
        order.side = Side.BUY
    elif asks_for.get(Side.SELL, False):
        order.side = Side.SELL
    elif len(asks_for) == len(Side):
        end(state, order, Status.FILLED, Reason.NONE, ts_ns)


def trigger_price(state: State, order: Order) -> float:
    """Q3: the last trade; where there are none, bid of sells and ask of buys; NaN without any."""
    market = state.markets[order.symbol]
    if market.has_trades:
        return market.last
    side = Side.BUY if order.side == Side.SELL else Side.SELL
    there = book.levels(state, order.symbol, side)
    return there[0].price if there else math.nan


def take(state: State, order: Order, ts_ns: int) -> None:
    """Q1, L1: take what is displayed, level by level; what is over waits."""
    for level in book.levels(state, order.symbol, opposite(order)):
        if order.ended or not order.wants_more or not within_limit(order, level.price):
            break
        if not take_level(state, order, level, ts_ns):
            break
    had_its_chance = has_market(state.markets[order.symbol])
    if had_its_chance and order.tif == TimeInForce.IOC and not order.ended:
        end(state, order, Status.CANCELLED, Reason.IOC_REST, ts_ns)


def take_level(state: State, order: Order, level: book.Level, ts_ns: int) -> bool:
    """Take from a level; whether the next one is to be tried."""
    unit = state.positions[order.symbol].unit
    whole = state.terms.beyond_top and not book.uses_book(state, order.symbol)
    room = None if whole else max(units_of(level.left, unit), 0)
    taken = max(units_of(level.size - level.left, unit), 0)
    offer = Offer(level.price, False, ts_ns, state.event, room, volume=level.size, done=taken)
    done = fill(state, order, offer)
    book.take_from(state.markets[order.symbol], level, float(done) * unit)
    return done == room


def fill_as_maker(state: State, order: Order, ts_ns: int) -> None:
    """Q2, L1: the opposite side comes to a limit that rests, and fills it at its price."""
    unit = state.positions[order.symbol].unit
    there = book.levels(state, order.symbol, opposite(order))
    reaching = [level for level in there if within_limit(order, level.price)]
    rooms = [max(units_of(level.left, unit), 0) for level in reaching]
    if not reaching:
        return
    done = fill(state, order, Offer(order.limit, True, ts_ns, state.event, sum(rooms)))
    for level, room in zip(reaching, rooms, strict=True):
        part = min(done, room)
        book.take_from(state.markets[order.symbol], level, float(part) * unit)
        done -= part


def opposite(order: Order) -> int:
    """Return the side an order takes from."""
    return int(Side.SELL) if order.side == Side.BUY else int(Side.BUY)


def within_limit(order: Order, price: float) -> bool:
    """Whether a price is the order's limit or better, or it has none."""
    if order.type not in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        return True
    return price <= order.limit if order.side == Side.BUY else price >= order.limit


def mark(state: State, symbol: int) -> None:
    """M6: the mid of a market with two sides; of one that has never had them the last trade."""
    market: Market = state.markets[symbol]
    bids = book.levels(state, symbol, Side.BUY)
    asks = book.levels(state, symbol, Side.SELL)
    if bids and asks:
        market.has_mid = True
        state.positions[symbol].price = (bids[0].price + asks[0].price) / 2.0
    elif not market.has_mid and market.has_trades:
        state.positions[symbol].price = market.last
