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


def window_sum(values: list[float], rows: int, window: int) -> float:
    """C2: sum of the last ``window`` of ``rows``, of which ``values`` are the newest at least.

    Rows are counted in blocks of ``window``: what is of the older block is added from the newest
    back, what is of the newer one from its first on.
    """
    count = min(rows, window)
    in_newer = (rows - 1) % window + 1
    newest = values[len(values) - count :]
    older = newer = 0.0
    for value in reversed(newest[: count - in_newer]):
        older += value
    for value in newest[count - in_newer :]:
        newer += value
    return older + newer


def volatility(market: Market, window: int) -> float:
    """C2: deviation of the log returns of the last ``window`` inputs."""
    rows = len(market.closes)
    count = min(rows - 1, window)
    if count <= 0:
        return 0.0
    closes = market.closes[-(window + 1) :]
    returns = [0.0] + [math.log(after / before) for before, after in pairwise(closes)]
    mean = window_sum(returns, rows, window) / count
    squares = window_sum([value * value for value in returns], rows, window)
    return math.sqrt(max(squares / count - mean * mean, 0.0))


def trailing_volume(market: Market, window: int) -> float:
    """C2: mean of the base units that traded in each of the last ``window`` inputs."""
    count = min(len(market.volumes), window)
    if count == 0:
        return 0.0
    return window_sum(market.volumes, len(market.volumes), window) / count


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
    return market.shift * math.exp2(-(age / terms.impact_half_life_ns))


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
