"""Compiled strategies that only run imports: a market maker on quotes, an SMA cross on bars."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.compiled import compiled
from tradelake.execution.layout import Side, Sizing, Status
from tradelake.execution.markets import Market
from tradelake.execution.placing import cancel, held, is_alive, place_bracket, place_limit
from tradelake.execution.state import Rows, State
from tradelake.execution.terms import Terms
from tradelake.execution.ticks import QUOTE
from tradelake.market.arrays import FloatArray

MAKER: Final = "tradelake.backtest.compiled_library:maker"
"""Style ``on_event``; parameters: half width in quote units, lot and largest position in base
units, and by how much the mid must have moved before the orders move."""
SMA_CROSS: Final = "tradelake.backtest.compiled_library:sma_cross"
"""Style ``decide``; parameters: bars of the fast and of the slow average."""
SMA_BRACKET: Final = "tradelake.backtest.compiled_library:sma_bracket"
"""Style ``on_bar``; parameters: bars of the fast and of the slow average, stop and target as
fractions of the close, fraction of the cash to spend."""

# Cells of the maker's memory: its orders' ids plus one, and the mid they were placed around.
_BID, _ASK, _MID = range(3)
# Cells of the averages: running sums, and the entry's id plus one.
_FAST, _SLOW, _ENTRY = range(3)


@compiled
def maker_wants(tape: Rows, event: int, params: FloatArray, memory: FloatArray) -> bool:
    """Return whether a quote has moved the mid far enough for the orders to move."""
    tick = tape[event]
    mid = 0.5 * (tick.price + tick.price2)
    return bool(tick.kind == QUOTE and abs(mid - memory[_MID]) >= params[3])


@compiled
def _is_gone(state: State, cell: float) -> bool:
    """Return whether an order was sent and has ended since."""
    return bool(cell > 0.0 and not is_alive(state, int(cell) - 1))


@compiled
def maker(
    state: State,
    terms: Terms,
    market: Market,
    event: int,
    params: FloatArray,
    memory: FloatArray,
) -> None:
    """Keep one bid and one ask around the mid and move them when the mid has moved."""
    tick = market.tape[event]
    if tick.kind != QUOTE:
        if _is_gone(state, memory[_BID]) or _is_gone(state, memory[_ASK]):
            memory[_MID] = -np.inf
        return
    half_width, lot, most, step = params[0], params[1], params[2], params[3]
    mid = 0.5 * (tick.price + tick.price2)
    bid, ask = int(memory[_BID]) - 1, int(memory[_ASK]) - 1
    moved = abs(mid - memory[_MID]) >= step
    has_bid, has_ask = is_alive(state, bid), is_alive(state, ask)
    if not moved and has_bid and has_ask:
        return
    now_ns, symbol, position = tick.ts_ns, tick.symbol, held(state, tick.symbol)
    memory[_MID] = mid
    if moved or not has_bid:
        if has_bid:
            cancel(state, terms, now_ns, bid)
        memory[_BID] = 0
        if position < most:
            sent = place_limit(state, terms, now_ns, symbol, Side.BUY.value, lot, mid - half_width)
            memory[_BID] = sent + 1
    if moved or not has_ask:
        if has_ask:
            cancel(state, terms, now_ns, ask)
        memory[_ASK] = 0
        if position >= lot:
            sent = place_limit(state, terms, now_ns, symbol, Side.SELL.value, lot, mid + half_width)
            memory[_ASK] = sent + 1


@compiled
def _above(close: FloatArray, i: int, fast: int, slow: int, memory: FloatArray) -> int:
    """Return 1 where the fast average is above the slow one, -1 where below, 0 before both."""
    memory[_FAST] += close[i]
    memory[_SLOW] += close[i]
    if i >= fast:
        memory[_FAST] -= close[i - fast]
    if i >= slow:
        memory[_SLOW] -= close[i - slow]
    if i + 1 < slow:
        return 0
    return 1 if memory[_FAST] / fast > memory[_SLOW] / slow else -1


@compiled
def sma_cross(
    open_: FloatArray,  # noqa: ARG001
    high: FloatArray,  # noqa: ARG001
    low: FloatArray,  # noqa: ARG001
    close: FloatArray,
    volume: FloatArray,  # noqa: ARG001
    i: int,
    params: FloatArray,
    memory: FloatArray,
) -> float:
    """Want everything while the fast average is above the slow one, else nothing."""
    side = _above(close, i, int(params[0]), int(params[1]), memory)
    if side == 0:
        return np.nan
    return 1.0 if side > 0 else 0.0


@compiled
def sma_bracket(
    state: State,
    terms: Terms,
    bars: Rows,
    event: int,
    params: FloatArray,
    memory: FloatArray,
) -> None:
    """Buy with a stop and a target when flat and the fast average is above the slow one."""
    if _above(bars["close"], event, int(params[0]), int(params[1]), memory) <= 0:
        return
    bar = bars[event]
    entry = int(memory[_ENTRY]) - 1
    if state.positions[bar.symbol].quantity != 0 or is_alive(state, entry):
        return
    if entry >= 0 and state.orders[entry].status == Status.SENT:
        return
    stop, target = bar.close * (1.0 - params[2]), bar.close * (1.0 + params[3])
    amount = params[4] * state.account[0].cash * 1e-8
    notional = Sizing.NOTIONAL.value
    sent = place_bracket(
        state, terms, bar.close_ns, bar.symbol, Side.BUY.value, notional, amount, stop, target
    )
    memory[_ENTRY] = sent + 1
