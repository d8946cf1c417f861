"""Bar timeframes: lengths of time on integer nanoseconds, and counts of what was traded.

A *time bar* (``1m``) spans a fixed time. An *event bar* spans as many trades as it takes to reach a
threshold: ``tick:100`` of them, ``volume:10`` base units, ``dollar:100000`` quote units (López de
Prado, Advances in Financial Machine Learning, 2018, section 2.3). Its name is its timeframe; it has
no length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, cast

from tradelake.errors import InvalidData

SECOND_NS: Final = 1_000_000_000
TIMEFRAMES: Final[dict[str, int]] = {
    "1s": SECOND_NS,
    "1m": 60 * SECOND_NS,
    "5m": 300 * SECOND_NS,
    "15m": 900 * SECOND_NS,
    "1h": 3_600 * SECOND_NS,
    "4h": 14_400 * SECOND_NS,
    "1d": 86_400 * SECOND_NS,
}
"""Length of each timeframe in ns. Bars start on multiples of it since 1970 UTC."""

Measure = Literal["tick", "volume", "dollar"]
"""What an event bar counts: trades, base units, quote units."""

_EVENT: Final = re.compile(
    r"(tick):([1-9][0-9]{0,11})"
    r"|(volume|dollar):([1-9][0-9]{0,17}|(?:0|[1-9][0-9]{0,17})\.[0-9]{0,17}[1-9])"
)
_ENTRY: Final = re.compile(r"(tick|volume|dollar):([A-Z0-9]+/[A-Z0-9-]+)=([0-9.]+)")
_NAMES: Final = f"{', '.join(TIMEFRAMES)}, tick:100, volume:0.5 or dollar:100000"


@dataclass(frozen=True, slots=True)
class EventTimeframe:
    """The timeframe of event bars: a bar ends with the trade that reaches the threshold."""

    name: str
    measure: Measure
    threshold: Decimal

    def entry_of(self, symbol: str) -> str:
        """Return the entry of :func:`plan_bars` that asks for these bars of one symbol."""
        return f"{self.measure}:{symbol}={self.name.partition(':')[2]}"


def timeframe_ns(timeframe: str) -> int:
    """Length of a timeframe in nanoseconds.

    Raises
    ------
    InvalidData
        Rule ``timeframe``, when it is not one of ``TIMEFRAMES``.

    >>> timeframe_ns("5m")
    300000000000
    """
    try:
        return TIMEFRAMES[timeframe]
    except KeyError:
        raise InvalidData(
            "timeframe", f"expected one of {', '.join(TIMEFRAMES)}; found {timeframe!r}"
        ) from None


def event_timeframe(timeframe: str) -> EventTimeframe | None:
    """Return what an event bar's timeframe says, or None when it is none.

    Every threshold has one spelling (no exponent, no zeros to spare), because the name is part of a
    bar's identity.

    >>> event_timeframe("volume:0.5")
    EventTimeframe(name='volume:0.5', measure='volume', threshold=Decimal('0.5'))
    >>> event_timeframe("volume:0.50") is event_timeframe("1m") is None
    True
    """
    found = _EVENT.fullmatch(timeframe)
    if found is None:
        return None
    measure, threshold = (part for part in found.groups() if part is not None)
    return EventTimeframe(timeframe, cast("Measure", measure), Decimal(threshold))


def is_timeframe(timeframe: str) -> bool:
    """Whether bars may carry this timeframe, be they time bars or event bars."""
    return timeframe in TIMEFRAMES or event_timeframe(timeframe) is not None


def bar_over_ns(timeframe: str, ts_event: int, ts_ingest: int) -> int:
    """First instant at which a bar is over: its end, or for an event bar when its last trade came.

    Parameters
    ----------
    timeframe : str
        Of the bar.
    ts_event, ts_ingest : int
        The bar's: its open, and when the last of its trades was first seen.

    Raises
    ------
    InvalidData
        Rule ``timeframe``.

    >>> bar_over_ns("1m", 0, 5), bar_over_ns("tick:10", 0, 5)
    (60000000000, 5)
    """
    if event_timeframe(timeframe) is not None:
        return max(ts_event, ts_ingest)
    return ts_event + timeframe_ns(timeframe)


def bar_open_ns(ts_ns: int, length_ns: int) -> int:
    """Open of the bar that holds an instant: the last multiple of ``length_ns`` up to ``ts_ns``.

    >>> bar_open_ns(61 * SECOND_NS, 60 * SECOND_NS) // SECOND_NS
    60
    """
    return ts_ns - ts_ns % length_ns


@dataclass(frozen=True, slots=True)
class BarPlan:
    """Which bars are built.

    Parameters
    ----------
    lengths : dict of str to int
        Time bars: name and length in ns, shortest first.
    events : tuple of EventTimeframe
        Event bars of every symbol that has none of its own with the same measure.
    own_events : dict of str to tuple of EventTimeframe
        Event bars by symbol.
    """

    lengths: dict[str, int]
    events: tuple[EventTimeframe, ...]
    own_events: dict[str, tuple[EventTimeframe, ...]]

    def events_of(self, symbol: str) -> tuple[EventTimeframe, ...]:
        """Return the event bars that are built of a symbol."""
        own = self.own_events.get(symbol, ())
        measures = {timeframe.measure for timeframe in own}
        return (*own, *(one for one in self.events if one.measure not in measures))


def plan_bars(entries: Iterable[str]) -> BarPlan:
    """Return the plan that a list of timeframes describes.

    An entry is a timeframe, or ``measure:SYMBOL=threshold``, which replaces the measure's general
    thresholds for that symbol.

    Raises
    ------
    InvalidData
        Rule ``timeframe``: an entry is neither, or comes twice.

    >>> plan = plan_bars(["5m", "1m", "volume:100", "volume:BTC/USD=2"])
    >>> list(plan.lengths), [one.name for one in plan.events_of("BTC/USD")]
    (['1m', '5m'], ['volume:2'])
    >>> [one.name for one in plan.events_of("ETH/USD")]
    ['volume:100']
    """
    named = list(entries)
    if len(set(named)) != len(named):
        raise InvalidData("timeframe", f"expected distinct timeframes, found {','.join(named)!r}")
    general: list[EventTimeframe] = []
    own: dict[str, tuple[EventTimeframe, ...]] = {}
    for entry in named:
        if entry in TIMEFRAMES:
            continue
        special = _ENTRY.fullmatch(entry)
        name = entry if special is None else f"{special[1]}:{special[3]}"
        event = event_timeframe(name)
        if event is None:
            raise InvalidData(
                "timeframe", f"expected {_NAMES}, or volume:BTC/USD=0.5; found {entry!r}"
            )
        if special is None:
            general.append(event)
        else:
            own[special[2]] = (*own.get(special[2], ()), event)
    lengths = {name: length for name, length in TIMEFRAMES.items() if name in named}
    return BarPlan(lengths, tuple(general), own)
