"""Decisions for compiled strategies, in a module that only a run imports."""

from __future__ import annotations

from typing import Any


def channel(
    open: Any,  # noqa: A002
    high: Any,
    low: Any,
    close: Any,
    volume: Any,
    i: int,
    params: Any,
    memory: Any,
) -> float:
    """Half above the highs of some bars, whole above those of twice as many; flat below lows."""
    size = int(params[0])
    if i < 2 * size:
        return float("nan")
    if close[i] < low[i - size : i].min():
        memory[0] = 0.0
    elif close[i] > high[i - size : i].max():
        memory[0] = 1.0 if close[i] > high[i - 2 * size : i].max() else 0.5
    return memory[0]
