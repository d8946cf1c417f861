"""Markets that tests make up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradelake.market.arrays import PRICE_COLUMNS, BarArrays, FloatArray

HOUR_NS = 3_600_000_000_000


def bars_of(close: FloatArray | Sequence[float], symbol: str = "BTC/USD") -> BarArrays:
    """Hourly bars whose open is their close, with a range of 1 % either way."""
    close = np.asarray(close, dtype=np.float64)
    stamps = np.arange(close.size) * HOUR_NS
    volume = np.ones(close.size)
    return BarArrays(symbol, "1h", stamps, close, close * 1.01, close * 0.99, close, volume)


def walk(seed: int, size: int = 200, symbol: str = "BTC/USD") -> BarArrays:
    """A random walk of 2 % a bar."""
    rng = np.random.default_rng(seed)
    return bars_of(100 * np.exp(np.cumsum(rng.normal(0, 0.02, size))), symbol)


def walks(seed: int, size: int = 200) -> list[BarArrays]:
    """Two walks, of which bars are missing here and there."""
    rng = np.random.default_rng(seed)
    both = []
    for offset, symbol in enumerate(("BTC/USD", "ETH/USD")):
        bars = walk(seed + offset, size, symbol)
        kept = rng.random(size) < 0.9
        columns = (getattr(bars, name)[kept] for name in ("ts_event_ns", *PRICE_COLUMNS, "volume"))
        both.append(BarArrays(symbol, "1h", *columns))
    return both
