"""What a taker pays: spread, slippage and impact on a reference price (B5, C1, C2). Compiled."""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.execution.compiled import lean
from tradelake.execution.layout import NONE
from tradelake.execution.state import State
from tradelake.execution.terms import Impact, Slippage, Terms

LEAST_LEFT: Final = 0.01
"""Of a price, whatever costs and impact are (B5)."""


@lean
def take_window(state: State, number: int, newest: int) -> None:
    """Take volatility and mean volume of the window that ends with an input, or NONE (C2)."""
    symbol = state.symbols[number]
    if newest == NONE or newest >= state.windows.shape[0]:
        symbol.volume = symbol.volatility = 0.0
    else:
        symbol.volume = state.windows[newest].volume
        symbol.volatility = state.windows[newest].volatility


@lean
def permanent_at(state: State, terms: Terms, number: int, ts_ns: int) -> float:
    """Return the permanent impact that is left at an instant, a fraction (C2)."""
    symbol = state.symbols[number]
    level = float(symbol.permanent)
    if level == 0.0 or terms.impact_half_life_ns <= 0.0:
        return level
    return float(level * np.exp2(-((ts_ns - symbol.permanent_ns) / terms.impact_half_life_ns)))


@lean
def leave_impact(
    state: State, terms: Terms, number: int, side: int, quantity: int, ts_ns: int
) -> None:
    """Let a fill move every later one (C2)."""
    symbol = state.symbols[number]
    if terms.impact_kind != Impact.ALMGREN or not symbol.volume > 0.0:
        return
    amount = quantity * state.positions[number].unit
    level = permanent_at(state, terms, number, ts_ns)
    symbol.permanent = level + side * (terms.impact_permanent * amount / symbol.volume)
    symbol.permanent_ns = ts_ns


@lean
def _slippage(state: State, terms: Terms, number: int, quantity: int) -> float:
    if terms.slippage_kind != Slippage.VOLUME_SHARE:
        return terms.slippage
    symbol = state.symbols[number]
    most = terms.participation if terms.participation > 0.0 else 1.0
    share = most
    if symbol.bar_volume > 0.0:
        filled = (symbol.done + quantity) * state.positions[number].unit
        share = min(filled / symbol.bar_volume, most)
    return terms.slippage * (share * share)


@lean
def _impact(state: State, terms: Terms, number: int, quantity: int) -> float:
    symbol = state.symbols[number]
    if terms.impact_kind == Impact.NONE or not symbol.volume > 0.0:
        return 0.0
    share = quantity * state.positions[number].unit / symbol.volume
    if terms.impact_kind == Impact.SQUARE_ROOT:
        return float(terms.impact * symbol.volatility * np.sqrt(share))
    return float(terms.impact * share**terms.impact_power)


@lean
def taken_price(
    state: State,
    terms: Terms,
    number: int,
    side: int,
    quantity: int,
    reference: float,
    limit: float,
    ts_ns: int,
) -> float:
    """Return the price of a taker (B5): worse than the reference, never beyond its limit.

    ``limit`` is NaN where the order has none.
    """
    worse = terms.half_spread + _slippage(state, terms, number, quantity)
    worse += _impact(state, terms, number, quantity)
    level = permanent_at(state, terms, number, ts_ns)
    if level != 0.0:
        reference *= max(1.0 + level, LEAST_LEFT)
    price = reference * max(1.0 + side * worse, LEAST_LEFT)
    if side > 0 and price > limit:
        return limit
    if side < 0 and price < limit:
        return limit
    return price
