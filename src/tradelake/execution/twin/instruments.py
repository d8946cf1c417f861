"""What happens at instants without an input in the twin: arrivals and changes of instruments."""

from __future__ import annotations

import math

from tradelake.execution.layout import (
    NONE,
    OrderType,
    Reason,
    Side,
    Sizing,
    Status,
    TimeInForce,
)
from tradelake.execution.terms import Trading
from tradelake.execution.twin.arrivals import arrive, cancel_on_arrival
from tradelake.execution.twin.fills import Offer, settle
from tradelake.execution.twin.money import fee_rates, removed_cost, to_flat
from tradelake.execution.twin.orders import end
from tradelake.execution.twin.state import Listing, Order, State
from tradelake.execution.twin.ticks import on_arrivals

CHANGE, CANCEL, ARRIVAL = 0, 1, 2
"""What comes first at equal instants (T4)."""


def pending(state: State, until_ns: int) -> list[tuple[int, int, int, int]]:
    """Return instant, kind, number and row of what happens by ``until_ns``, in order."""
    found = []
    for symbol, rows in enumerate(state.listings):
        for place, row in enumerate(rows[1:], start=1):
            if state.now_ns < row.from_ns <= until_ns:
                found.append((row.from_ns, CHANGE, symbol, place))
    for order in state.orders:
        travels = order.is_sent_exit and order.status == Status.SENT
        if (
            not order.ended
            and not travels
            and order.cancel_ns != NONE
            and order.cancel_ns <= until_ns
        ):
            found.append((order.cancel_ns, CANCEL, order.id, 0))
        if order.status == Status.SENT and not travels and order.arrives_ns <= until_ns:
            found.append((order.arrives_ns, ARRIVAL, order.id, 0))
    return sorted(found)


def advance(state: State, until_ns: int) -> None:
    """T4: let happen what happens by ``until_ns``, in order."""
    changed: set[tuple[int, int]] = set()
    newest_ns: int | None = None
    while True:
        left = [
            item
            for item in pending(state, until_ns)
            if item[1] != CHANGE or (item[2], item[3]) not in changed
        ]
        if newest_ns is not None and not any(item[0] <= newest_ns for item in left):
            on_arrivals(state, newest_ns)
            newest_ns = None
            continue
        if not left:
            state.now_ns = max(state.now_ns, until_ns)
            return
        ts_ns, kind, number, place = left[0]
        newest_ns = ts_ns if newest_ns is None else max(newest_ns, ts_ns)
        if kind == CHANGE:
            changed.add((number, place))
            change(state, state.listings[number][place], ts_ns)
        elif kind == CANCEL:
            cancel_on_arrival(state, state.orders[number], ts_ns)
        else:
            arrive(state, state.orders[number], ts_ns)


def alive(state: State, symbol: int) -> list[Order]:
    """Return the orders of a symbol that are at the venue and have not ended."""
    at_venue = (Status.WAITING, Status.WORKING)
    return [order for order in state.orders if order.symbol == symbol and order.status in at_venue]


def change(state: State, row: Listing, ts_ns: int) -> None:
    """I1, I2: let a row of a symbol come into force."""
    if row.renamed_to != NONE:
        rename(state, row.symbol, row.renamed_to)
    elif row.trading == Trading.DELISTED:
        cancel_all(state, row.symbol, Reason.DELISTED, ts_ns)
        close_delisted(state, row.symbol, ts_ns)
    elif row.trading == Trading.HALTED and not state.terms.halt_waits:
        cancel_all(state, row.symbol, Reason.HALTED, ts_ns)


def cancel_all(state: State, symbol: int, reason: Reason, ts_ns: int) -> None:
    """Cancel what is at the venue for a symbol, in order of arrival."""
    for order in sorted(alive(state, symbol), key=lambda order: order.turn):
        if not order.ended:
            end(state, order, Status.CANCELLED, reason, ts_ns)


def rename(state: State, old: int, new: int) -> None:
    """I2: carry position and working orders over to another symbol; long and short close."""
    source, target = state.positions[old], state.positions[new]
    if source.quantity * target.quantity < 0:
        closed = min(abs(source.quantity), abs(target.quantity))
        realised = -removed_cost(source, closed) - removed_cost(target, closed)
        target.cost += realised
        target.realised += realised
    for name in ("quantity", "cost", "promised"):
        setattr(target, name, getattr(target, name) + getattr(source, name))
        setattr(source, name, 0)
    if math.isnan(target.price):
        target.price = source.price
    for order in alive(state, old):
        order.symbol = new


def close_delisted(state: State, symbol: int, ts_ns: int) -> None:
    """I2: close what is held at the last price less the haircut, against the holder."""
    position = state.positions[symbol]
    side = Side.SELL if position.quantity > 0 else Side.BUY
    if position.quantity != 0 and not math.isnan(position.price):
        price = position.price * (1.0 + side * state.terms.delisting_haircut)
        close_whole(state, symbol, price, Reason.DELISTED, ts_ns, NONE)


def close_whole(
    state: State, symbol: int, price: float, reason: Reason, ts_ns: int, event: int
) -> None:
    """I2, B8: close a position at a price in an order of the venue's own."""
    position = state.positions[symbol]
    order = Order(
        symbol=symbol,
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        type=OrderType.MARKET,
        tif=TimeInForce.GTC,
        sizing=Sizing.CLOSE,
        submitted_ns=ts_ns,
        arrives_ns=ts_ns,
        amount=math.nan,
        status=Status.WORKING,
        id=len(state.orders),
    )
    order.turn = (ts_ns, order.id, 0)
    state.orders.append(order)
    _, taker = fee_rates(state.terms, state.account, ts_ns)
    order.quantity = to_flat(state.terms, position, order.side, taker)
    settle(state, order, Offer(price, False, ts_ns, event), order.quantity, price)
    end(state, order, Status.FILLED, reason, ts_ns)
