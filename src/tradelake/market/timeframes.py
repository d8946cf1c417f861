"""Bar timeframes and their arithmetic on integer nanoseconds."""

from __future__ import annotations

from typing import Final

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


def bar_open_ns(ts_ns: int, length_ns: int) -> int:
    """Open of the bar that holds an instant: the last multiple of ``length_ns`` up to ``ts_ns``.

    >>> bar_open_ns(61 * SECOND_NS, 60 * SECOND_NS) // SECOND_NS
    60
    """
    return ts_ns - ts_ns % length_ns
