"""Which decimals of an instrument can be counted, wherever they come from."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

DECIMALS: Final = ("min_order_size", "min_trade_increment", "price_increment")
"""Columns of a record of an instrument that are decimals as text."""
FINEST: Final = Decimal("1e-18")
"""Finest increment of quantities or prices."""
LARGEST: Final = Decimal("1e9")


def is_countable(name: str, value: Decimal) -> bool:
    """Return whether a decimal can be one of an instrument; 0 says that there is none.

    >>> [is_countable("price_increment", Decimal(text)) for text in ("0.01", "0", "1e-20")]
    [True, True, False]
    """
    if not value.is_finite():
        return False
    least = 0 if value == 0 or name == "min_order_size" else FINEST
    return least <= value <= LARGEST


def expected(name: str) -> str:
    """Return what is countable, for messages."""
    if name == "min_order_size":
        return f"{name} a decimal from 0 to {LARGEST}"
    return f"{name} a decimal of 0 or from {FINEST} to {LARGEST}"
