"""The physical floor of the engine's work units: single passes written by hand for numba.

Each does the accounting that its work unit asks for and nothing else: no orders, no checks, no
integers, one strategy known at compile time. :mod:`bench.engine` runs them beside the engine. A
full pass looks at every bar; ``skipping`` looks at a combination's trades alone, which only a
strategy that is all in or flat allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numba
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

FEE, SLIPPAGE, CASH = 0.0025, 0.0005, 10_000.0
MINUTES_A_YEAR = 525_600.0
TICK = 0.01


def floor(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile once, keep the code, let the other core run."""
    compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    return compiled


@floor
def sma_cross(
    open_: Floats, close: Floats, fast: int, slow: int, equity: Floats, trades: Floats
) -> tuple[int, float, float]:
    """Fill ``equity`` and ``trades`` (entry, exit, quantity, prices, profit, fees).

    Returns the number of trades, the Sharpe ratio and the largest drawdown. Without room
    (``equity.size == 0``) the curve and the trades are not kept.
    """
    keep = equity.size > 0
    cash, held, fees = CASH, 0.0, 0.0
    entry, entry_price, entry_fee = 0, 0.0, 0.0
    fast_sum = slow_sum = 0.0
    side, known, wanted, count = 0, False, 0, 0
    before = peak = CASH
    total = squares = worst = 0.0
    for bar in range(close.size):
        price = open_[bar]
        if wanted == 1 and held == 0.0:
            entry, entry_price = bar, price * (1.0 + SLIPPAGE)
            bought = cash / entry_price
            entry_fee = cash * FEE
            held, cash, fees = bought * (1.0 - FEE), 0.0, fees + entry_fee
        elif wanted == 0 and held > 0.0:
            left = price * (1.0 - SLIPPAGE)
            value = held * left
            if keep:
                trades[count, 0] = entry
                trades[count, 1] = bar
                trades[count, 2] = held
                trades[count, 3] = entry_price
                trades[count, 4] = left
                trades[count, 5] = held * (left - entry_price)
                trades[count, 6] = entry_fee + value * FEE
            cash, held, fees, count = value * (1.0 - FEE), 0.0, fees + value * FEE, count + 1
        last = close[bar]
        now = cash + held * last
        if keep:
            equity[bar] = now
        gain = now / before - 1.0
        total += gain
        squares += gain * gain
        before = now
        peak = max(peak, now)
        worst = min(worst, now / peak - 1.0)
        fast_sum += last
        slow_sum += last
        if bar >= fast:
            fast_sum -= close[bar - fast]
        if bar >= slow:
            slow_sum -= close[bar - slow]
        if bar >= slow - 1:
            up = 1 if fast_sum / fast > slow_sum / slow else -1
            if known and up != side:
                wanted = 1 if up > 0 else 0
            side, known = up, True
    mean = total / close.size
    variance = (squares - total * mean) / (close.size - 1)
    sharpe = mean / math.sqrt(variance) * math.sqrt(MINUTES_A_YEAR) if variance > 0.0 else 0.0
    return count, sharpe, worst


@floor
def combinations(
    open_: Floats, close: Floats, pairs: Ints, first: int, step: int, out: Floats
) -> None:
    """Full pass of every ``step``-th pair of windows from ``first`` on: one thread's share."""
    none, no_trades = np.empty(0), np.empty((0, 7))
    for row in range(first, pairs.shape[0], step):
        count, sharpe, worst = sma_cross(
            open_, close, pairs[row, 0], pairs[row, 1], none, no_trades
        )
        out[row, 0] = count
        out[row, 1] = sharpe
        out[row, 2] = worst


@floor
def prefixes(close: Floats) -> Floats:
    """Running sums of closes, of returns and of their squares, shape (3, n + 1)."""
    sums = np.zeros((3, close.size + 1))
    for bar in range(close.size):
        gain = close[bar] / close[bar - 1] - 1.0 if bar else 0.0
        sums[0, bar + 1] = sums[0, bar] + close[bar]
        sums[1, bar + 1] = sums[1, bar] + gain
        sums[2, bar + 1] = sums[2, bar] + gain * gain
    return sums


@floor
def skipping(
    open_: Floats, close: Floats, sums: Floats, pairs: Ints, first: int, step: int, out: Floats
) -> None:
    """The same by trades: two divisions a bar become two look-ups a trade.

    All in or flat, so that a bar's return is the price's return while held and 0 while not. The
    drawdown still reads the bars that are held.
    """
    size = close.size
    for row in range(first, pairs.shape[0], step):
        fast, slow = pairs[row, 0], pairs[row, 1]
        share_fast, share_slow = 1.0 / fast, 1.0 / slow
        cash, peak, worst, total, squares = CASH, CASH, 0.0, 0.0, 0.0
        count, entry, held, side = 0, -1, 0.0, 0
        running = sums[0]
        for bar in range(slow - 1, size):
            top = running[bar + 1]
            gap = (top - running[bar + 1 - fast]) * share_fast
            up = 1 if gap > (top - running[bar + 1 - slow]) * share_slow else -1
            if up == side:
                continue
            crossed, side = side != 0, up
            if not crossed or bar + 1 >= size:
                continue
            if up > 0:
                entry = bar + 1
                held = cash / (open_[entry] * (1.0 + SLIPPAGE)) * (1.0 - FEE)
                continue
            if entry < 0:
                continue
            total, squares, peak, worst = _held(
                close, sums, entry, bar, held, cash, total, squares, peak, worst
            )
            marked = held * close[bar]
            cash = held * open_[bar + 1] * (1.0 - SLIPPAGE) * (1.0 - FEE)
            gain = cash / marked - 1.0
            total += gain
            squares += gain * gain
            worst = min(worst, cash / peak - 1.0)
            peak = max(peak, cash)
            entry, count = -1, count + 1
        if entry >= 0:
            total, squares, peak, worst = _held(
                close, sums, entry, size - 1, held, cash, total, squares, peak, worst
            )
        mean = total / size
        variance = (squares - total * mean) / (size - 1)
        out[row, 0] = count
        out[row, 1] = (
            mean / math.sqrt(variance) * math.sqrt(MINUTES_A_YEAR) if variance > 0.0 else 0.0
        )
        out[row, 2] = worst


@floor
def _held(
    close: Floats,
    sums: Floats,
    entry: int,
    last: int,
    held: float,
    cash: float,
    total: float,
    squares: float,
    peak: float,
    worst: float,
) -> tuple[float, float, float, float]:
    """Sums of a trade from its prefixes, and its drawdown from its bars."""
    gain = held * close[entry] / cash - 1.0
    total += gain + sums[1, last + 1] - sums[1, entry + 1]
    squares += gain * gain + sums[2, last + 1] - sums[2, entry + 1]
    for bar in range(entry, last + 1):
        now = held * close[bar]
        if now > peak:
            peak = now
        elif now < peak * (1.0 + worst):
            worst = now / peak - 1.0
    return total, squares, peak, worst


@floor
def brackets(
    open_: Floats, high: Floats, low: Floats, close: Floats, stop: float, target: float
) -> tuple[int, float]:
    """Buy at the next open when flat, with a stop and a target around the close; the stop first."""
    cash, held, count = CASH, 0.0, 0
    at_stop = at_target = 0.0
    for bar in range(1, close.size):
        if held == 0.0:
            reference = close[bar - 1]
            at_stop, at_target = reference * (1.0 - stop), reference * (1.0 + target)
            paid = open_[bar] * (1.0 + SLIPPAGE)
            held, cash = 0.5 * cash / paid * (1.0 - FEE), 0.5 * cash
        if low[bar] <= at_stop:
            left = min(open_[bar], at_stop) * (1.0 - SLIPPAGE)
        elif high[bar] > at_target:
            left = max(open_[bar], at_target)
        else:
            continue
        cash += held * left * (1.0 - FEE)
        held, count = 0.0, count + 1
    return count, cash + held * close[-1]


@floor
def maker(
    kind: Ints,
    bid: Floats,
    ask: Floats,
    bid_size: Floats,
    ask_size: Floats,
    half_width: float,
    lot: float,
    limit: float,
) -> tuple[int, float]:
    """Keep a bid and an offer ``half_width`` around the mid; a quote or a trade through fills.

    ``kind`` is 0 for a quote (bid, ask and sizes) and 1 for a trade (price and size in the bid's
    columns). Orders are moved when the mid has moved by a tick.
    """
    cash, held, count = CASH, 0.0, 0
    my_bid = my_ask = middle = 0.0
    for event in range(kind.size):
        if kind[event] == 1:
            low = high = bid[event]
            offered = wanted = bid_size[event]
        else:
            high, low = bid[event], ask[event]
            wanted, offered = bid_size[event], ask_size[event]
        if my_bid > 0.0 and held < limit and low <= my_bid:
            size = min(lot, offered)
            cash -= size * my_bid
            held += size * (1.0 - FEE)
            count += 1
            my_bid = 0.0
        if my_ask > 0.0 and held >= lot and high >= my_ask:
            size = min(lot, wanted)
            cash += size * my_ask * (1.0 - FEE)
            held -= size
            count += 1
            my_ask = 0.0
        if kind[event] == 0:
            mid = 0.5 * (bid[event] + ask[event])
            if abs(mid - middle) >= TICK or my_bid == 0.0 or my_ask == 0.0:
                my_bid, my_ask, middle = mid - half_width, mid + half_width, mid
    return count, cash + held * middle
