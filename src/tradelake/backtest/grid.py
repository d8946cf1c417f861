"""Values of parameters as people write them: single ones, lists and ranges.

>>> values_of("5:20:5"), values_of("1,2.5"), values_of("0.1:0.3:0.1")
((5, 10, 15, 20), (1, 2.5), (0.1, 0.2, 0.3))
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias

from tradelake.errors import ConfigError

Value: TypeAlias = bool | int | float | str

MAX_COMBINATIONS: Final = 10_000
_COUNTED: Final = 10**30


def value_of(text: str) -> Value:
    """Return a whole number, a number, true or false, or the text.

    >>> value_of("20"), value_of("1e-3"), value_of("true"), value_of("daily")
    (20, 0.001, True, 'daily')
    """
    number = _number(text)
    if number is None:
        return {"true": True, "false": False}.get(text.strip().lower(), text.strip())
    return _plain(number)


def values_of(text: str) -> tuple[Value, ...]:
    """Return the values of ``first:last:step`` (both ends included), a list, or one value.

    Raises
    ------
    ConfigError
        No value, one twice, or a range that is none or too long.
    """
    parts = text.split(":")
    if len(parts) == 1:
        values = tuple(value_of(part) for part in text.split(",") if part.strip())
        if not values:
            raise ConfigError(f"grid: expected values; found {text!r}")
        if len({(type(value), value) for value in values}) < len(values):
            raise ConfigError(f"grid: expected every value once; found {text!r}")
        return values
    numbers = [_number(part) for part in parts]
    if len(parts) > 3 or any(number is None for number in numbers):
        raise ConfigError(f"grid: expected first:last or first:last:step; found {text!r}")
    first, last, step = (*(number for number in numbers if number is not None), Decimal(1))[:3]
    if step <= 0 or last < first:
        raise ConfigError(f"grid: expected first <= last and a step above 0; found {text!r}")
    count = int((last - first) / step) + 1
    if count > MAX_COMBINATIONS:
        raise ConfigError(
            f"grid: expected up to {MAX_COMBINATIONS} values; found {_told(count)}: {text}"
        )
    return tuple(_plain(first + step * place) for place in range(count))


def named(texts: Sequence[str], option: str) -> dict[str, str]:
    """Return ``name=value`` texts by name.

    Raises
    ------
    ConfigError
        One has no name or no value, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not name or not equals or not value or name in found:
            raise ConfigError(f"{option}: expected name=value, each name once; found {text!r}")
        found[name] = value
    return found


def combinations(grid: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    """Return every combination, the last name fastest; one without values for an empty grid.

    Raises
    ------
    ConfigError
        More than :data:`MAX_COMBINATIONS`.
    """
    count = math.prod(len(values) for values in grid.values())
    if count > MAX_COMBINATIONS:
        raise ConfigError(
            f"grid: expected up to {MAX_COMBINATIONS} combinations; found {_told(count)}"
        )
    return [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]


def _told(count: int) -> str:
    return str(count) if count < _COUNTED else f"more than {_COUNTED:.0e}"


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < Decimal("1e15") else None


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)
