"""Latencies counted in constant memory, and how long a stage took since the receipt."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

import msgspec

from tradelake.ports import Clock
from tradelake.stream.envelope import Batch, Lane

_GROWTH: Final = 1.02
_LOG_GROWTH: Final = math.log(_GROWTH)
_SMALLEST_MS: Final = 0.01
_BINS: Final = 1024
_LIVE: Final[Lane] = "live"


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


class Percentiles(msgspec.Struct, frozen=True):
    """Of a duration, ms; None before the first."""

    p50: float | None
    p99: float | None
    p999: float | None

    @classmethod
    def of(cls, latencies: Latencies) -> Percentiles:
        """Return the percentiles of a histogram."""
        return cls(*(latencies.percentile_ms(share) for share in (0.5, 0.99, 0.999)))


UNMEASURED: Final = Percentiles(None, None, None)


class Receipts:
    """When we received what a stage has done with.

    The live lane only: what was fetched to fill a gap is late already when it is received. The
    first record stands for its batch, since records of a batch are received within its linger.
    """

    def __init__(self) -> None:
        self._records: Counter[int] = Counter()

    def add(self, batch: Batch) -> None:
        """Count the records of a batch."""
        if batch.lane == _LIVE and batch.records:
            self._records[batch.records[0].ts_ingest] += len(batch.records)

    def elapsed(self, clock: Clock | None) -> Percentiles:
        """Return the time from receipt until now; ``UNMEASURED`` without a clock."""
        if clock is None or not self._records:
            return UNMEASURED
        now_ns, latencies = clock.now_ns(), Latencies()
        for received_ns, count in self._records.items():
            latencies.add(now_ns - received_ns, count)
        return Percentiles.of(latencies)
