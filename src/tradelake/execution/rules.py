"""What a simulated broker allows and charges."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tradelake.errors import ConfigError
from tradelake.execution.brokers.alpaca import MAKER_TAKER
from tradelake.execution.instruments import DEFAULT_INCREMENT

BASIS_POINT = 1e-4
ALPACA_TAKER_BPS = MAKER_TAKER[0].taker_bps
"""Taker fee of the lowest tier (30-day volume below 100,000 USD)."""
ALPACA_QUANTITY_STEP = float(DEFAULT_INCREMENT)
"""Smallest increment of an order's quantity, base units."""
ROUNDING = 1.0 + 1e-12
"""2 / 1e-9 is 1999999999.9999998 in floats; such a quotient still counts as whole."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Costs and limits of market orders.

    Parameters
    ----------
    fee_bps : float
        Share of each fill kept by the broker, in basis points, taken in the asset received: in
        base units of a buy, in quote units of a sell.
    slippage_bps : float
        Every fill is this much worse than the reference price.
    allow_short : bool
        Whether a position may be negative. Alpaca has no crypto shorting, so a negative target is
        otherwise reduced to flat and counted as a reject.
    quantity_step : float
        Orders that open, add or reduce are rounded down to multiples of it, base units; 0 does not
        round. An order that closes takes the whole position.

    Raises
    ------
    ConfigError
        A number is not finite, negative, or a cost of 10,000 bps or more.
    """

    fee_bps: float = ALPACA_TAKER_BPS
    slippage_bps: float = 5.0
    allow_short: bool = False
    quantity_step: float = ALPACA_QUANTITY_STEP

    def __post_init__(self) -> None:
        for name in ("fee_bps", "slippage_bps", "quantity_step"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0.0:
                raise ConfigError(f"{name}: expected a finite number of 0 or more; found {value}")
            if name != "quantity_step" and value >= 1.0 / BASIS_POINT:
                raise ConfigError(f"{name}: expected less than 10000 basis points; found {value}")

    @property
    def fee(self) -> float:
        """Fee as a fraction."""
        return self.fee_bps * BASIS_POINT

    @property
    def slippage(self) -> float:
        """Slippage as a fraction."""
        return self.slippage_bps * BASIS_POINT
