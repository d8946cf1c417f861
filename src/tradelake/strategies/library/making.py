"""Strategies that wait for others to trade with them: a grid of limits, a market maker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from tradelake.errors import ConfigError
from tradelake.execution.layout import Side
from tradelake.strategies.api import Parameter, Value
from tradelake.strategies.event import Context, EventStrategy, Fill
from tradelake.strategies.library.entry import Entry, Values

_NONE: Final = -1
_SLACK: Final = 0.99
"""Of the cash: a limit buy promises its fee too where the fee is in quote."""


def _down(price: float, tick: float) -> float:
    return math.floor(price / tick + 1e-9) * tick if tick else price


def _up(price: float, tick: float) -> float:
    return math.ceil(price / tick - 1e-9) * tick if tick else price


class Grid(EventStrategy):
    """Buys at levels below a centre, each with its own profit taken one level higher.

    Level k lies at ``centre * (1 - spacing * k)``. A level whose profit was taken is set up again.
    With ``follow`` the grid moves up when the market leaves it behind while nothing is held.
    """

    state_names: ClassVar[tuple[str, ...]] = ("symbol", "centre", "entries")

    def __init__(self, name: str, parameters: Values) -> None:
        self.name = name
        self.parameters: Mapping[str, Value] = parameters
        self.symbol = ""
        self.centre = 0.0
        self.entries: list[int] = []
        self._levels = int(parameters["levels"])
        self._spacing = float(parameters["spacing"])
        self._fraction = float(parameters["fraction"])
        self._tick = float(parameters["tick"])
        self._follow = bool(parameters["follow"])
        if self._levels * self._spacing >= 1.0:
            raise ConfigError(
                f"strategy {name}: expected levels * spacing below 1; "
                f"found {self._levels} * {self._spacing}"
            )

    def on_bar(self, ctx: Context) -> None:
        """Set the grid up, or move it up."""
        if self.symbol and ctx.symbol != self.symbol:
            return
        if not self.entries:
            self.symbol = ctx.symbol
            self._set_up(ctx)
        elif self._follow and ctx.held == 0.0 and ctx.close > self.centre * (1.0 + self._spacing):
            for order in self.entries:
                ctx.cancel(order)
            self._set_up(ctx)

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """Set a level up again whose profit was taken."""
        entry = fill.order - 1  # a target exit follows its entry
        if fill.side != Side.SELL or entry not in self.entries:
            return
        if all(order.order not in (entry, fill.order) for order in ctx.orders):
            level = self.entries.index(entry)
            self.entries[level] = self._place(ctx, level + 1)

    def _set_up(self, ctx: Context) -> None:
        self.centre = ctx.close
        self.entries = [self._place(ctx, level) for level in range(1, self._levels + 1)]

    def _place(self, ctx: Context, level: int) -> int:
        price = _down(self.centre * (1.0 - self._spacing * level), self._tick)
        above = _up(self.centre * (1.0 - self._spacing * (level - 1)), self._tick)
        notional = ctx.equity * self._fraction * _SLACK / self._levels
        return ctx.buy(self.symbol, notional / price, limit=price, target_exit=above)


class BookMaker(EventStrategy):
    """Keeps a bid and an offer around the middle of the book, leaning against what it holds.

    The middle is weighted by the sizes of the best levels (the side with less is where the price
    goes next), then moved against the inventory by ``skew * half_spread`` at most (the linear form
    of Avellaneda, Stoikov 2008, eq. 3.11). Quotes never cross the best price of the other side and
    move at most every ``refresh_ms``, and only where they are a tick off.
    """

    state_names: ClassVar[tuple[str, ...]] = ("symbol", "bid", "offer", "bid_at", "offer_at", "due")

    def __init__(self, name: str, parameters: Values) -> None:
        self.name = name
        self.parameters: Mapping[str, Value] = parameters
        self.symbol = ""
        self.bid = self.offer = _NONE
        self.bid_at = self.offer_at = 0.0
        self.due = 0
        self._half = float(parameters["half_spread_bps"]) * 1e-4
        self._size = float(parameters["size"])
        self._most = float(parameters["most"])
        self._skew = float(parameters["skew"])
        self._tick = float(parameters["tick"])
        self._wait_ns = int(parameters["refresh_ms"]) * 1_000_000

    def on_quote(self, ctx: Context) -> None:
        """Quote around the newest best prices."""
        self._quote(ctx)

    def on_book(self, ctx: Context) -> None:
        """Quote around the newest best prices."""
        self._quote(ctx)

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """Quote again at the next event, whatever the time."""
        if fill.order in (self.bid, self.offer):
            self.due = ctx.now_ns

    def _quote(self, ctx: Context) -> None:
        if ctx.now_ns < self.due or (self.symbol and ctx.symbol != self.symbol):
            return
        if not ctx.bid < ctx.ask:  # crossed, locked or not there
            return
        self.symbol, self.due = ctx.symbol, ctx.now_ns + self._wait_ns
        weight = ctx.bid_size / (ctx.bid_size + ctx.ask_size)
        middle = ctx.bid + (ctx.ask - ctx.bid) * weight
        half, held = middle * self._half, ctx.held * middle
        middle -= half * self._skew * max(-1.0, min(1.0, held / self._most))
        bid = _down(min(middle - half, ctx.ask - self._tick), self._tick)
        offer = _up(max(middle + half, ctx.bid + self._tick), self._tick)
        working = {order.order for order in ctx.orders}
        room = min(self._size, self._most - held) / middle
        self.bid, self.bid_at = self._side(ctx, Side.BUY, self.bid, self.bid_at, bid, room, working)
        stock = min(self._size / middle, ctx.held)
        self.offer, self.offer_at = self._side(
            ctx, Side.SELL, self.offer, self.offer_at, offer, stock, working
        )

    def _side(
        self,
        ctx: Context,
        side: Side,
        order: int,
        at: float,
        price: float,
        quantity: float,
        working: set[int],
    ) -> tuple[int, float]:
        """Leave, move, send or take away one quote; return its order and price."""
        if quantity * price < 0.1 * self._size:
            if order in working:
                ctx.cancel(order)
            return _NONE, 0.0
        if order in working:
            if abs(price - at) <= 0.5 * self._tick:
                return order, at
            return ctx.replace(order, quantity=quantity, limit=price), price
        send = ctx.buy if side is Side.BUY else ctx.sell
        return send(self.symbol, quantity, limit=price), price


ENTRIES: Final = (
    Entry(
        "grid",
        "buys at levels below a centre and takes the profit of each one level higher",
        (
            Parameter("levels", int, 5, 1, 100, "levels below the centre"),
            Parameter(
                "spacing", float, 0.01, 0.0001, 0.5, "between levels, fraction of the centre"
            ),
            Parameter("fraction", float, 1.0, 0.01, 1.0, "of equity, over all levels"),
            Parameter("tick", float, 0.01, 0.0, 1000.0, "prices are multiples of it; 0: any"),
            Parameter("follow", bool, True, None, None, "move up with the market while flat"),
        ),
        events=Grid,
        assumes=(
            "Prices swing within the grid; below its last level it holds everything it bought. "
            "Spacing must exceed a maker's round trip. One symbol: the first that has a bar."
        ),
    ),
    Entry(
        "book_maker",
        "keeps a bid and an offer around the middle of the book, leaning against what it holds",
        (
            Parameter("half_spread_bps", float, 20.0, 0.0, 1000.0, "quotes' distance, bps"),
            Parameter("size", float, 1000.0, 1.0, 200_000.0, "of a quote, quote units"),
            Parameter("most", float, 5000.0, 1.0, 1e7, "most to hold, quote units"),
            Parameter("skew", float, 1.0, 0.0, 10.0, "half spreads to lean at most"),
            Parameter("tick", float, 0.01, 1e-9, 1000.0, "price increment, quote units"),
            Parameter("refresh_ms", int, 1000, 0, 3_600_000, "between moves of a quote, ms"),
        ),
        ascending=("size", "most"),
        events=BookMaker,
        assumes=(
            "Fills come from takers who know little; twice the half spread must exceed a maker's "
            "round trip. It sells what it holds and never short. One symbol: the first it hears of."
        ),
    ),
)
