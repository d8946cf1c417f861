"""The unit that quantities of an instrument are counted in (rule M1)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

FINEST_EXPONENT: Final = -9
LARGEST_HOLDING: Final = 100_000_000_000
"""Quote units whose worth of an instrument is counted in 62 bits."""
MOST_UNITS: Final = 1 << 62
_COARSEST_EXPONENT: Final = 9


def unit_exponent(increments: Iterable[Decimal], first_price: float) -> int:
    """Return the power of ten that one unit of quantity is (M1).

    1e-9, or finer where an increment is, or the smallest larger one in which
    :data:`LARGEST_HOLDING` at the price counts fewer than 2**62 units.

    >>> unit_exponent([Decimal("1e-9")], 60_000.0), unit_exponent([Decimal("1e-9")], 0.1)
    (-9, -6)
    """
    finest = min((_exponent(one) for one in increments if one), default=FINEST_EXPONENT)
    exponent = min(finest, FINEST_EXPONENT)
    holding = Fraction(LARGEST_HOLDING) / Fraction(first_price)
    while holding / Fraction(10) ** exponent >= MOST_UNITS and exponent < _COARSEST_EXPONENT:
        exponent += 1
    return exponent


def _exponent(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def whole_steps(increment: Decimal, unit: Fraction) -> int:
    """Return the smallest amount that is whole in increments and in units, in units.

    >>> whole_steps(Decimal("0.25"), Fraction(1, 10))
    5
    """
    return (Fraction(increment) / unit).numerator
