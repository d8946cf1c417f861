"""How the twin matches a bar: rules B1 to B8."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tradelake.execution.layout import Reason, Side, Status, TimeInForce
from tradelake.execution.terms import Rung, Trading
from tradelake.execution.twin.fills import Offer, fill, worsened
from tradelake.execution.twin.instruments import close_whole
from tradelake.execution.twin.money import equity
from tradelake.execution.twin.orders import end
from tradelake.execution.twin.state import Order, State


@dataclass
class Bar:
    """A bar of one symbol and what own fills took of it."""

    symbol: int
    open_ns: int
    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    event: int
    room: int | None = None
    done: int = 0

    def worst(self, order: Order) -> float:
        """Return the price inside the bar that could trigger a stop."""
        return self.high if order.side == Side.BUY else self.low


def match(state: State, bar: Bar) -> None:
    """B1 to B7: fill what the bar fills, mark the position and move the stops that trail."""
    listing = state.listing(bar.symbol, bar.open_ns)
    bar.room = room_of(state, bar)
    if listing is not None and listing.trading == Trading.OPEN:
        close_ruined_short(state, bar)
        match_at_open(state, bar)
        resting = [order for order in state.working(bar.symbol, bar.open_ns) if rests(order)]
        match_stops(state, bar)
        match_limits(state, bar, resting)
        for order in state.working(bar.symbol, bar.open_ns):
            if order.status == Status.WORKING:
                order.follow(bar.high if order.side == Side.SELL else bar.low)
            order.status = Status.WORKING
    mark(state, bar)


def room_of(state: State, bar: Bar) -> int | None:
    """B6: units that all own fills of the bar share; None without a cap."""
    terms = state.terms
    if terms.rung == Rung.NEXT_OPEN or not terms.participation > 0.0:
        return None
    return math.floor(terms.participation * bar.volume / state.positions[bar.symbol].unit)


def offer_of(state: State, bar: Bar, reference: float, maker: bool, inside: bool) -> Offer:
    """Return what the bar offers at a price of it."""
    return Offer(
        reference=reference,
        maker=maker,
        ts_ns=bar.close_ns if inside else bar.open_ns,
        event=bar.event,
        room=bar.room,
        spread=state.terms.half_spread,
        volume=bar.volume,
        done=bar.done,
        inside=inside,
    )


def try_to_fill(
    state: State, bar: Bar, order: Order, reference: float, *, maker: bool, inside: bool
) -> None:
    """Fill an order at a price of the bar, as far as there is room."""
    offer = offer_of(state, bar, reference, maker, inside)
    done = fill(state, order, offer)
    bar.done += done
    if bar.room is not None:
        bar.room -= done
    if inside and done > 0:
        check_stop_of_entry(state, bar, order, reference)


def close_ruined_short(state: State, bar: Bar) -> None:
    """B8: a short at an open at which nothing is left is closed there first."""
    if state.positions[bar.symbol].quantity >= 0:
        return
    if equity(state.account, state.positions, bar.symbol, bar.open) > 0.0:
        return
    held = -state.positions[bar.symbol].quantity
    price = worsened(
        state, bar.symbol, Side.BUY, held, offer_of(state, bar, bar.open, False, False), math.nan
    )
    reason = Reason.INSUFFICIENT_BALANCE
    close_whole(state, bar.symbol, price, reason, bar.open_ns, bar.event)


def limit_reached(order: Order, price: float) -> bool:
    """Whether ``price`` is the order's limit or better."""
    return price <= order.limit if order.side == Side.BUY else price >= order.limit


def match_at_open(state: State, bar: Bar) -> None:
    """B2: in order of arrival; the exits of an entry take their turn after it."""
    served: set[int] = set()
    while True:
        left = [
            order
            for order in state.working(bar.symbol, bar.open_ns)
            if order.id not in served and order.status == Status.WORKING and order.wants_more
        ]
        if not left:
            return
        served.add(left[0].id)
        match_one_at_open(state, bar, left[0])


def match_one_at_open(state: State, bar: Bar, order: Order) -> None:
    """B2: market orders and stops that the open has reached fill at it, and so do limits."""
    if math.isnan(order.water):
        order.follow(bar.open)
    if order.waits_for_stop:
        if not order.reached_by(bar.open):
            return
        order.triggered = 1
    if not order.has_limit or limit_reached(order, bar.open):
        try_to_fill(state, bar, order, bar.open, maker=False, inside=False)
    cancel_rest_of_ioc(state, order, bar.open_ns)


def match_stops(state: State, bar: Bar) -> None:
    """B3: what can only be worse comes first."""
    for order in state.working(bar.symbol, bar.open_ns):
        if order.status == Status.WORKING and order.waits_for_stop and order.wants_more:
            match_stop_inside(state, bar, order, order.stop)


def match_stop_inside(state: State, bar: Bar, order: Order, reference: float) -> None:
    """B3: a stop fills at ``reference``; a stop-limit at its limit, if the close has reached it."""
    if not order.reached_by(bar.worst(order)):
        return
    order.triggered = 1
    if not order.has_limit:
        try_to_fill(state, bar, order, reference, maker=False, inside=True)
    elif limit_reached(order, bar.close):
        try_to_fill(state, bar, order, order.limit, maker=True, inside=True)
    cancel_rest_of_ioc(state, order, bar.close_ns)


def check_stop_of_entry(state: State, bar: Bar, entry: Order, reference: float) -> None:
    """B4: the stop of an entry that filled inside the bar works for the rest of it."""
    for row in entry.exits:
        order = state.orders[row]
        if not order.can_fill or order.rest == 0 or not order.waits_for_stop:
            continue
        stop = order.stop
        capped = max(stop, reference) if order.side == Side.BUY else min(stop, reference)
        match_stop_inside(state, bar, order, capped)


def rests(order: Order) -> bool:
    """Whether an order is a limit that works, or a stop-limit that has been triggered."""
    return order.has_limit and not order.waits_for_stop and order.status == Status.WORKING


def match_limits(state: State, bar: Bar, resting: list[Order]) -> None:
    """B3: limits that rested when the inside of the bar began."""
    for order in resting:
        if order.status == Status.WORKING and order.wants_more and limit_passed(state, order, bar):
            try_to_fill(state, bar, order, order.limit, maker=True, inside=True)


def limit_passed(state: State, order: Order, bar: Bar) -> bool:
    """B3: whether the bar went through a limit, or with ``touch`` to it."""
    if order.side == Side.BUY:
        return bar.low < order.limit or (state.terms.touch and bar.low == order.limit)
    return bar.high > order.limit or (state.terms.touch and bar.high == order.limit)


def cancel_rest_of_ioc(state: State, order: Order, ts_ns: int) -> None:
    """B6: what an ioc order did not fill at its first opportunity is cancelled."""
    if order.tif == TimeInForce.IOC and not order.waits_for_stop and not order.ended:
        end(state, order, Status.CANCELLED, Reason.IOC_REST, ts_ns)


def mark(state: State, bar: Bar) -> None:
    """B7: the close is the price there is now, and the bar part of the past."""
    state.positions[bar.symbol].price = bar.close
    market = state.markets[bar.symbol]
    market.closes.append(bar.close)
    market.volumes.append(bar.volume)
