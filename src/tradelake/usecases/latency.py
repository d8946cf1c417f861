"""Latencies counted in constant memory."""

from __future__ import annotations

import math
from typing import Final

_GROWTH: Final = 1.02
_LOG_GROWTH: Final = math.log(_GROWTH)
_SMALLEST_MS: Final = 0.01
_BINS: Final = 1024


class Latencies:
    """A histogram whose bins grow by 2 %, from 0.01 ms to about two hours."""

    def __init__(self) -> None:
        self._counts = [0] * _BINS
        self._total = 0

    def add(self, duration_ns: int, count: int = 1) -> None:
        """Count records that took so long; below zero (a clock set back) is 0."""
        ms = duration_ns / 1e6
        index = 0 if ms <= _SMALLEST_MS else int(math.log(ms / _SMALLEST_MS) / _LOG_GROWTH) + 1
        self._counts[min(index, _BINS - 1)] += count
        self._total += count

    def percentile_ms(self, fraction: float) -> float | None:
        """Upper edge of the bin in which the fraction lies, ms; None before the first record.

        >>> latencies = Latencies()
        >>> latencies.add(10_000_000, count=99); latencies.add(50_000_000)
        >>> round(latencies.percentile_ms(0.5)), round(latencies.percentile_ms(0.999))
        (10, 51)
        """
        if not self._total:
            return None
        wanted = max(1, math.ceil(fraction * self._total))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return round(_SMALLEST_MS * _GROWTH**index, 3)
        return None

    def clear(self) -> None:
        """Forget everything."""
        self._counts = [0] * _BINS
        self._total = 0
