"""Compiled strategies of the tests, and the same ones with callbacks."""

from __future__ import annotations

import numpy as np

from tradelake.execution.layout import Side
from tradelake.execution.placing import cancel, held, is_alive, place_limit, place_market
from tradelake.execution.ticks import QUOTE, TRADE
from tradelake.strategies.event import EventStrategy

_BID, _ASK, _TRADED = range(3)


def pair_maker(state, terms, market, event, params, memory):
    """Quote around each mid; after a trade print move the bid down by its size in ticks."""
    tick = market.tape[event]
    if tick.kind == TRADE:
        memory[_TRADED] = tick.size
        return
    if tick.kind != QUOTE:
        return
    half, lot, most = params[0], params[1], params[2]
    mid = 0.5 * (tick.price + tick.price2)
    for place in (_BID, _ASK):
        if memory[place] > 0.0 and is_alive(state, int(memory[place]) - 1):
            cancel(state, terms, tick.ts_ns, int(memory[place]) - 1)
        memory[place] = 0.0
    position = held(state, tick.symbol)
    if position < most:
        price = mid - half - 0.01 * memory[_TRADED]
        sent = place_limit(state, terms, tick.ts_ns, tick.symbol, Side.BUY.value, lot, price)
        memory[_BID] = sent + 1
    if position >= lot:
        sent = place_limit(state, terms, tick.ts_ns, tick.symbol, Side.SELL.value, lot, mid + half)
        memory[_ASK] = sent + 1


class PairMaker(EventStrategy):
    """``pair_maker`` with callbacks."""

    name = "pair_maker"

    def __init__(self, half: float, lot: float, most: float) -> None:
        self.parameters = {"half": half, "lot": lot, "most": most}
        self.half, self.lot, self.most = half, lot, most
        self.working: list[int] = []
        self.traded = 0.0

    def on_trade(self, ctx):
        self.traded = ctx.size

    def on_quote(self, ctx):
        alive = {order.order for order in ctx.orders}
        for order in self.working:
            if order in alive:
                ctx.cancel(order)
        self.working = []
        mid = 0.5 * (ctx.bid + ctx.ask)
        if ctx.held < self.most:
            price = mid - self.half - 0.01 * self.traded
            self.working.append(ctx.buy(ctx.symbol, self.lot, limit=price))
        if ctx.held >= self.lot:
            self.working.append(ctx.sell(ctx.symbol, self.lot, limit=mid + self.half))


def buy_twice(state, terms, market, event, params, memory):
    """Buy at market at the first two quotes."""
    tick = market.tape[event]
    if tick.kind == QUOTE and memory[0] < 2.0:
        memory[0] += 1.0
        place_market(state, terms, tick.ts_ns, tick.symbol, Side.BUY.value, params[0])


def endless_on_ticks(state, terms, market, event, params, memory):
    """Send ten orders at each tick."""
    tick = market.tape[event]
    for _ in range(10):
        place_limit(state, terms, tick.ts_ns, tick.symbol, Side.BUY.value, 1.0, 1.0)


def endless_on_bars(state, terms, bars, event, params, memory):
    """Send ten orders at each bar."""
    bar = bars[event]
    for _ in range(10):
        place_limit(state, terms, bar.close_ns, bar.symbol, Side.BUY.value, 1.0, 1.0)


def busy(open_, high, low, close, volume, i, params, memory):
    """Take long over each bar."""
    total = 0.0
    for step in range(int(params[0])):
        total += np.sin(close[i] + step)
    memory[0] += total
    return 0.0 if total > 1e300 else 0.5


def stuck(open_, high, low, close, volume, i, params, memory):
    """Never return from one bar."""
    while i == int(params[0]):
        memory[1] = np.sin(memory[1] + close[i])
    return 0.5


def at_bar(open_, high, low, close, volume, i, params, memory):
    """Want params[1] at bar params[0], before half of the equity, NaN at odd bars."""
    if i == int(params[0]):
        return params[1]
    return np.nan if i % 2 else 0.5


def raises(open_, high, low, close, volume, i, params, memory):
    """Divide by zero at a bar."""
    return 1.0 / (params[0] - i) * 0.0


def no_code(open_, high, low, close, volume, i, params, memory):
    """Use what cannot be compiled."""
    return open_.no_such_attribute
