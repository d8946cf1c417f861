"""Numbers and times for readers: a true minus sign, thousands commas, a dash for the unknown."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from tradelake.research.report.records import Parameter

DASH: Final = "–"
MINUS: Final = "\u2212"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def is_known(value: float | None) -> bool:
    """Whether a figure is there: not None, NaN or infinite."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 2) -> str:
    """A number with a fixed count of decimals.

    >>> number(-1234.5), number(float("nan"))
    ('−1,234.50', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:,.{digits}f}"
    if not any(character in "123456789" for character in text):
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def percent(value: float | None, digits: int = 2) -> str:
    r"""A fraction as a percentage.

    >>> percent(-0.12345)
    '−12.35\xa0%'
    """
    text = number(None if value is None else value * 100, digits)
    return text if text == DASH else f"{text}\u00a0%"


def count(value: int | None) -> str:
    """A whole number.

    >>> count(1234567)
    '1,234,567'
    """
    return number(value, 0)


def size(value: int) -> str:
    r"""A size in decimal units of bytes.

    >>> size(999), size(1_234_567)
    ('999\xa0B', '1.23\xa0MB')
    """
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g}\u00a0{unit}"
        amount /= 1000
    return f"{number(amount)}\u00a0TB"


def duration(seconds: float | None) -> str:
    r"""A duration in the unit that suits it.

    >>> duration(0.0123), duration(75.2), duration(7325)
    ('12.3\xa0ms', '1\xa0min 15\xa0s', '2\xa0h 02\xa0min')
    """
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g}\u00a0ms"
    if seconds < 59.95:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest:02d}\u00a0s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u00a0h {minutes:02d}\u00a0min"


def moment(ts_ns: int | None, pattern: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A UTC time, to the second unless ``pattern`` says otherwise.

    >>> moment(1_700_000_000_000_000_000)
    '2023-11-14 22:13:20'
    """
    if ts_ns is None:
        return DASH
    return (_EPOCH + timedelta(microseconds=ts_ns // 1000)).strftime(pattern)


def parameter(value: Parameter) -> str:
    """A parameter as its author would write it.

    >>> parameter(0.30000000000000004), parameter(20), parameter(True)
    ('0.3', '20', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return (f"{value:.6g}" if isinstance(value, float) else str(value)).replace("-", MINUS)


def plural(n: int, singular: str, several: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "run"), plural(48, "run"), plural(2, "entry", "entries")
    ('1 run', '48 runs', '2 entries')
    """
    return f"{count(n)} {singular if n == 1 else several or singular + 's'}"
