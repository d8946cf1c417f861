"""Compiled strategies that reach outside of their arrays, with the compiler's check of indices."""

from __future__ import annotations

from numba import njit

from tradelake.execution.layout import Side
from tradelake.execution.placing import place_limit, place_market


@njit(nogil=True, boundscheck=True)
def beyond(open_, high, low, close, volume, i, params, memory):
    """Read a bar that is not there, from the fifth on."""
    return 0.0 if close[i + 10_000_000 * (i // 5)] > 0.0 else 1.0


@njit(nogil=True, boundscheck=True)
def forgetful(open_, high, low, close, volume, i, params, memory):
    """Write into memory that was not asked for."""
    memory[5] = 1.0
    return params[0]


@njit(nogil=True, boundscheck=True)
def bars_beyond(state, terms, bars, event, params, memory):
    """Read a bar that is not there."""
    memory[0] = bars[event + 10_000_000].close


@njit(nogil=True)
def nonsense(state, terms, bars, event, params, memory):
    """Send an amount and a price that may be no numbers."""
    if event == 0:
        bar = bars[event]
        place_market(state, terms, bar.close_ns, bar.symbol, Side.BUY.value, params[0])
        place_limit(state, terms, bar.close_ns, bar.symbol, Side.SELL.value, 1.0, params[0])
