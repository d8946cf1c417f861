"""Strategies of the work units in compiled form; only runs import this module."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.compiled import compiled
from tradelake.execution.layout import Side, Sizing
from tradelake.execution.markets import Market
from tradelake.execution.placing import place_bracket
from tradelake.execution.state import Rows, State
from tradelake.execution.terms import Terms
from tradelake.execution.ticks import shown_prices
from tradelake.market.arrays import FloatArray

BRACKETS: Final = "bench.engine_strategies:brackets"
"""Style ``on_bar``; parameters: stop and target as fractions of the close, quote units to spend."""
TICK_BRACKETS: Final = "bench.engine_strategies:tick_brackets"
"""Style ``on_event``; the same at the mid."""


@compiled
def _buy_when_flat(
    state: State, terms: Terms, now_ns: int, symbol: int, price: float, params: FloatArray
) -> None:
    counters = state.counters[0]
    if state.positions[symbol].quantity != 0 or counters.live + counters.sent > 0:
        return
    stop = int(price * (1.0 - params[0]) * 100.0 + 0.5) / 100.0
    target = int(price * (1.0 + params[1]) * 100.0 + 0.5) / 100.0
    side, notional = Side.BUY.value, Sizing.NOTIONAL.value
    place_bracket(state, terms, now_ns, symbol, side, notional, params[2], stop, target)


@compiled
def brackets(
    state: State,
    terms: Terms,
    bars: Rows,
    event: int,
    params: FloatArray,
    memory: FloatArray,  # noqa: ARG001
) -> None:
    """Buy when flat and nothing works, with a stop and a target around the close, in cents."""
    bar = bars[event]
    _buy_when_flat(state, terms, bar.close_ns, bar.symbol, bar.close, params)


@compiled
def tick_brackets(
    state: State,
    terms: Terms,
    market: Market,
    event: int,
    params: FloatArray,
    memory: FloatArray,  # noqa: ARG001
) -> None:
    """Buy when flat and nothing works, with a stop and a target around the mid, in cents."""
    tick = market.tape[event]
    bid, ask = shown_prices(market, tick.symbol)
    price = 0.5 * (bid + ask)
    if not np.isnan(price):
        _buy_when_flat(state, terms, tick.ts_ns, tick.symbol, price, params)
