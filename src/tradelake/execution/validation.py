"""Refusals of settings that make no sense: each names the field, the value and the rule."""

from __future__ import annotations

import math

from tradelake.errors import ConfigError


def require(valid: bool, field: str, rule: str, value: object) -> None:
    """Refuse a setting.

    Raises
    ------
    ConfigError
        ``valid`` is false.
    """
    if not valid:
        raise ConfigError(f"{field}: expected {rule}; found {value!r}")


def number(field: str, value: object, low: float = 0.0, high: float = math.inf) -> None:
    """Refuse what is not a finite number from ``low`` to ``high``.

    Raises
    ------
    ConfigError
        It is of another type, NaN, infinite or outside.

    >>> number("bps", 5.0)
    >>> number("bps", -1.0)
    Traceback (most recent call last):
    tradelake.errors.ConfigError: bps: expected a finite number of 0 or more; found -1.0
    """
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    rule = f"a finite number of {low:g} or more"
    if high < math.inf:
        rule = f"a finite number from {low:g} to {high:g}"
    require(real and low <= value <= high, field, rule, value)  # type: ignore[operator]


def whole(field: str, value: object, low: int = 0) -> None:
    """Refuse what is not a whole number of ``low`` or more.

    Raises
    ------
    ConfigError
        It is of another type, or less.
    """
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= low
    require(valid, field, f"a whole number of {low} or more", value)


def instance(field: str, value: object, kinds: type | tuple[type, ...]) -> None:
    """Refuse what is of another class.

    Raises
    ------
    ConfigError
        It is not of one of the classes.
    """
    names = (kinds,) if isinstance(kinds, type) else kinds
    rule = " or ".join("None" if kind is type(None) else kind.__name__ for kind in names)
    require(isinstance(value, kinds), field, rule, value)
