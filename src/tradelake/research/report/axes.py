"""Axes: where ticks go and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tradelake.market.timeframes import SECOND_NS
from tradelake.research.report.text import moment, number, percent

_DAY_NS: Final = 86_400 * SECOND_NS
_TIME_STEPS_S: Final = (
    *(1, 5, 15, 30, 60, 300, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200),
    *(86_400 * days for days in (1, 2, 7, 14, 28)),
)
_CALENDAR_NS: Final = 120 * _DAY_NS
_MONTH_STEPS: Final = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick; ``at`` is in the unit of the axis, per cent along or pixels down."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ``low..high`` linearly on ``start..end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Position of ``value``, to a hundredth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def nice_step(span: float, target: int) -> float:
    """Step of 1, 2, 2.5 or 5 times a power of ten that cuts ``span`` in at most ``target`` parts.

    >>> nice_step(10.0, 5), nice_step(0.07, 4)
    (2.0, 0.02)
    """
    if not (span > 0 and math.isfinite(span)):
        return 1.0
    rough = span / target
    power: float = 10.0 ** math.floor(math.log10(rough))
    factor = next(f for f in (1, 2, 2.5, 5, 10) if f * power >= rough * (1 - 1e-9))
    return factor * power


def steps_between(low: float, high: float, step: float) -> list[float]:
    """Multiples of ``step`` in ``low..high``, both ends included."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _decimals(step: float) -> int:
    for digits in range(9):
        if abs(round(step, digits) - step) < step * 1e-6:
            return digits
    return 9


def number_ticks(scale: Scale, target: int) -> tuple[Tick, ...]:
    """Ticks at round numbers."""
    step = nice_step(scale.high - scale.low, target)
    digits = _decimals(step)
    return tuple(
        Tick(scale(v), number(v, digits)) for v in steps_between(scale.low, scale.high, step)
    )


def percent_ticks(scale: Scale, target: int) -> tuple[Tick, ...]:
    """Ticks at round percentages of a scale in fractions."""
    step = nice_step(scale.high - scale.low, target)
    digits = _decimals(step * 100)
    return tuple(
        Tick(scale(v), percent(v, digits)) for v in steps_between(scale.low, scale.high, step)
    )


def time_ticks(low_ns: int, high_ns: int, target: int = 8) -> tuple[Tick, ...]:
    """Ticks in per cent along a time axis, at round UTC times or the first of months."""
    span_ns = high_ns - low_ns
    if span_ns <= 0:
        return (Tick(0.0, moment(low_ns, "%Y-%m-%d %H:%M")),)
    if span_ns > _CALENDAR_NS:
        return _calendar_ticks(low_ns, high_ns, target)
    step_ns = SECOND_NS * next(
        (s for s in _TIME_STEPS_S if span_ns / (s * SECOND_NS) <= target), _TIME_STEPS_S[-1]
    )
    if step_ns >= _DAY_NS:
        pattern = "%d %b"
    else:
        pattern = "%d %b %H:%M" if span_ns > _DAY_NS / 2 else "%H:%M:%S"
    first_ns = -(-low_ns // step_ns) * step_ns
    return tuple(
        Tick(round(100 * (ts - low_ns) / span_ns, 2), moment(ts, pattern))
        for ts in range(first_ns, high_ns + 1, step_ns)
    )


def _calendar_ticks(low_ns: int, high_ns: int, target: int) -> tuple[Tick, ...]:
    first, last = _month(low_ns), _month(high_ns)
    step = next((s for s in _MONTH_STEPS if (last - first) / s <= target), _MONTH_STEPS[-1])
    pattern = "%Y" if step >= 12 else "%b %Y"
    starts = (_month_start_ns(month) for month in range(-(-first // step) * step, last + 1, step))
    return tuple(
        Tick(round(100 * (ts - low_ns) / (high_ns - low_ns), 2), moment(ts, pattern))
        for ts in starts
        if low_ns <= ts <= high_ns
    )


def _month(ts_ns: int) -> int:
    year, month = moment(ts_ns, "%Y-%m").split("-")
    return int(year) * 12 + int(month) - 1


def _month_start_ns(month: int) -> int:
    start = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(start.timestamp()) * SECOND_NS
