"""A venue small enough to be obviously right, for tests of event-driven strategies.

No fees, no spread. Market orders and targets fill at the next bar's open, limits at their price in
a bar that trades through it, or when :meth:`Venue.trade` says so; a target exit works from the bar
after its entry's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tradelake.execution.layout import OrderType, Side, Sizing, Status
from tradelake.market.arrays import BarArrays
from tradelake.strategies.adapters import show_bar
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import EventStrategy, Fill, OrderRequest, WorkingOrder
from tradelake.strategies.tape import Tape


@dataclass
class Order:
    request: OrderRequest
    parent: int = -1
    status: Status = Status.WORKING
    filled_in: int = -1


@dataclass
class Venue:
    """A desk and its venue; ``trades`` are (side, quantity, price) in order of happening."""

    markets: Sequence[BarArrays]
    money: float = 1000.0
    trades: list[tuple[int, float, float]] = field(default_factory=list)
    targets: list[tuple[int, str, float]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    sent: list[tuple[int, OrderRequest]] = field(default_factory=list)
    held: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tape = Tape(self.markets)
        self.context = EventContext([one.symbol for one in self.markets], self, seed=1)
        self.history, self.feature = self.tape.history, self.tape.feature
        self.bars = self.tape.bars

    # What a strategy asks for.

    def send(self, request: OrderRequest) -> int:
        number = len(self.orders)
        self.orders.append(Order(request))
        self.sent.append((self.context.now_ns, request))
        if request.sizing == Sizing.TARGET:
            self.targets.append((self.context.now_ns, request.symbol, request.amount))
        if not math.isnan(request.target_exit):
            exit_ = OrderRequest(
                request.symbol,
                -request.side,
                request.amount,
                kind=int(OrderType.LIMIT),
                limit=request.target_exit,
            )
            self.orders.append(Order(exit_, number, Status.WAITING))
        return number

    def cancel(self, order: int) -> bool:
        if not self.works(order):
            return False
        self.orders[order].status = Status.CANCELLED
        for one in self.orders:
            if one.parent == order and one.status is Status.WAITING:
                one.status = Status.CANCELLED
        return True

    def replace(self, order: int, quantity: float, limit: float, stop: float, trail: float) -> int:
        self.cancel(order)
        old = self.orders[order].request
        return self.send(OrderRequest(old.symbol, old.side, quantity, kind=old.kind, limit=limit))

    def works(self, order: int) -> bool:
        return self.orders[order].status < Status.FILLED

    def working(self) -> list[WorkingOrder]:
        return [
            WorkingOrder(
                number,
                one.request.symbol,
                one.request.side,
                one.request.kind,
                int(one.status),
                one.request.amount,
                0.0,
                one.request.limit,
                one.request.stop,
                one.parent,
            )
            for number, one in enumerate(self.orders)
            if one.status < Status.FILLED
        ]

    def cash(self) -> float:
        return self.money

    def equity(self) -> float:
        last = {one.symbol: self.tape.history(one.symbol, 1).close for one in self.markets}
        return self.money + sum(q * float(last[s][-1]) for s, q in self.held.items() if q)

    def position(self, symbol: str) -> float:
        return self.held.get(symbol, 0.0)

    def timer(self, name: str, at_ns: int, every_ns: int) -> None:
        raise NotImplementedError

    # What happens.

    def play(self, strategy: EventStrategy, first: int = 0, last: int | None = None) -> None:
        """Tell a strategy of bars by instants, and its fills before each."""
        events = sorted(
            (int(ns), place, row)
            for place, one in enumerate(self.markets)
            for row, ns in enumerate(one.close_ns)
        )
        for at, (now_ns, place, row) in enumerate(events[first:last], first):
            ctx = self.context
            ctx.now_ns = now_ns  # fills inside a bar are told at its close, before the bar
            if at == 0 or events[at - 1][0] != now_ns:
                for _, other, its_row in (e for e in events if e[0] == now_ns):
                    self._match(self.markets[other], its_row, strategy)
                    self.tape.known[other] = its_row + 1
            show_bar(ctx, self.markets[place], row)
            ctx.held = self.position(ctx.symbol)
            ctx.instant_over = at + 1 == len(events) or events[at + 1][0] != now_ns
            strategy.on_bar(ctx)

    def trade(self, order: int, strategy: EventStrategy) -> None:
        """Fill a limit whole, at its price."""
        self._fill(order, self.orders[order].request.limit, -1, strategy)

    def _match(self, bars: BarArrays, row: int, strategy: EventStrategy) -> None:
        for number in range(len(self.orders)):
            one = self.orders[number]
            request = one.request
            if one.status is not Status.WORKING or request.symbol != bars.symbol:
                continue
            if one.parent >= 0 and self.orders[one.parent].filled_in == row:
                continue
            if request.kind == OrderType.MARKET:
                self._fill(number, float(bars.open[row]), row, strategy)
            elif _reached(request, float(bars.low[row]), float(bars.high[row])):
                self._fill(number, request.limit, row, strategy)

    def _fill(self, number: int, price: float, row: int, strategy: EventStrategy) -> None:
        one = self.orders[number]
        request, symbol = one.request, one.request.symbol
        quantity = request.amount * request.side
        if request.sizing == Sizing.TARGET:
            worth = self.money + self.position(symbol) * price
            quantity = request.amount * worth / price - self.position(symbol)
        side = Side.BUY if quantity > 0.0 else Side.SELL
        one.status, one.filled_in = Status.FILLED, row
        for other in self.orders:
            if other.parent == number:
                other.status = Status.WORKING
        self.held[symbol] = self.position(symbol) + quantity
        if abs(self.held[symbol]) < 1e-12:
            self.held[symbol] = 0.0
        self.money -= quantity * price
        self.trades.append((int(side), abs(quantity), price))
        self.context.held = self.held[symbol]
        value = abs(quantity) * price
        strategy.on_fill(
            self.context,
            Fill(number, symbol, int(side), abs(quantity), price, value, 0.0, 0.0, True, 0),
        )


def _reached(request: OrderRequest, low: float, high: float) -> bool:
    return low < request.limit if request.side == Side.BUY else high > request.limit
