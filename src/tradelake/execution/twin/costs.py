"""What a taker pays on top of the price it meets: rules B5, C1 and C2."""

from __future__ import annotations

import math
from itertools import pairwise

from tradelake.execution.terms import Impact, Slippage, Terms
from tradelake.execution.twin.state import Market

LEAST_LEFT = 0.01
"""Of a price, whatever costs and impact are (B5)."""


def slippage(terms: Terms, share: float) -> float:
    """C1: the fraction lost when ``share`` of the volume there is has been taken."""
    if terms.slippage_kind == Slippage.FIXED:
        return terms.slippage
    share = min(share, terms.participation if terms.participation > 0.0 else 1.0)
    return terms.slippage * (share * share)


def volatility(market: Market, window: int) -> float:
    """C2: deviation of the log returns of the last ``window`` inputs, newest first."""
    closes = market.closes[::-1][: window + 1]
    returns = [math.log(after / before) for after, before in pairwise(closes)]
    if not returns:
        return 0.0
    mean = sum(returns) / len(returns)
    return math.sqrt(sum((value - mean) * (value - mean) for value in returns) / len(returns))


def trailing_volume(market: Market, window: int) -> float:
    """C2: mean of the base units that traded in each of the last ``window`` inputs."""
    volumes = market.volumes[::-1][:window]
    return sum(volumes) / len(volumes) if volumes else 0.0


def impact(terms: Terms, market: Market, size: float) -> float:
    """C2: the temporary impact of ``size`` base units, a fraction."""
    volume = trailing_volume(market, terms.impact_window)
    if terms.impact_kind == Impact.NONE or not volume > 0.0:
        return 0.0
    share = size / volume
    if terms.impact_kind == Impact.SQUARE_ROOT:
        return terms.impact * volatility(market, terms.impact_window) * math.sqrt(share)
    return terms.impact * math.pow(share, terms.impact_power)


def permanent(terms: Terms, market: Market, ts_ns: int) -> float:
    """C2: what is left of the permanent impact at ``ts_ns``, a signed fraction."""
    if market.shift == 0.0 or terms.impact_half_life_ns <= 0.0:
        return market.shift
    age = float(ts_ns - market.shift_ns)
    return market.shift * math.pow(0.5, age / terms.impact_half_life_ns)


def leave_permanent(terms: Terms, market: Market, side: int, size: float, ts_ns: int) -> None:
    """C2: let a fill move every later one."""
    volume = trailing_volume(market, terms.impact_window)
    if terms.impact_kind != Impact.ALMGREN or not volume > 0.0:
        return
    market.shift = permanent(terms, market, ts_ns) + side * (terms.impact_permanent * size / volume)
    market.shift_ns = ts_ns


def taker_price(
    terms: Terms,
    market: Market,
    side: int,
    reference: float,
    spread: float,
    share: float,
    size: float,
    ts_ns: int,
) -> float:
    """B5: what a taker pays or gets for ``size`` base units, its own limit left aside."""
    worse = spread + slippage(terms, share) + impact(terms, market, size)
    moved = reference * max(1.0 + permanent(terms, market, ts_ns), LEAST_LEFT)
    return moved * max(1.0 + side * worse, LEAST_LEFT)
