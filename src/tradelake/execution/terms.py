"""Broker, costs, latencies and instruments as plain numbers: what a matching core is told.

:mod:`tradelake.execution.broker`, ``costs`` and ``instruments`` are what people write; this is what
they become. Fractions are fractions (25 bps is 0.0025), money is in cash units, ``_ns`` is ns.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from tradelake.market.arrays import FloatArray, IntArray


class Rung(IntEnum):
    """How real the fills are; the data there is decides how high one can climb."""

    NEXT_OPEN = 1
    INTRABAR = 2
    QUOTES = 3
    BOOK = 4


class Draw(IntEnum):
    """How a latency is drawn on top of its constant."""

    CONSTANT = 0
    UNIFORM = 1
    EXPONENTIAL = 2


class Slippage(IntEnum):
    """C1."""

    FIXED = 0
    VOLUME_SHARE = 1


class Impact(IntEnum):
    """C2."""

    NONE = 0
    SQUARE_ROOT = 1
    ALMGREN = 2


class Trading(IntEnum):
    """What a venue does with an instrument."""

    OPEN = 0
    HALTED = 1
    DELISTED = 2


class Terms(NamedTuple):
    """Everything that is the same for all symbols of a run.

    ``tiers`` has one row for each fee tier and date of validity, shape (k, 4): valid from (ns),
    30-day notional from (cash units), maker, taker; sorted by the first two. Latencies have rows
    feed, entry, response, shape (3, 3): kind (:class:`Draw`), constant ns, scale ns (width of the
    uniform, mean of the exponential part).
    """

    rung: int
    seed: int
    allow_short: bool
    fee_in_quote: bool
    halt_waits: bool
    types_offered: int
    """Bit ``1 << OrderType``."""
    tifs_offered: int
    cap: int
    """Largest notional of an order, cash units; 0: none."""
    tiers: FloatArray
    latency: IntArray
    half_spread: float
    slippage_kind: int
    slippage: float
    """Fraction, or the coefficient of the squared share of volume."""
    participation: float
    """Largest share of a bar's volume; 0: no limit."""
    touch: bool
    """A limit fills where the price only touches it."""
    beyond_top: bool
    own_trades_stay: bool
    queue_pro_rata: bool
    partial_probability: float
    impact_kind: int
    impact: float
    """Y of the square root, eta of Almgren."""
    impact_power: float
    impact_permanent: float
    impact_half_life_ns: float
    """0: the permanent part stays."""
    impact_window: int
    """Inputs over which volatility and volume are taken."""
    delisting_haircut: float


INSTRUMENT: Final = np.dtype(
    [
        ("symbol", np.int64),
        ("from_ns", np.int64),
        ("trading", np.int64),  # Trading
        ("renamed_to", np.int64),  # symbol that carries on from here, or NONE
        ("increment", np.int64),  # of quantities, units; 0: any
        ("minimum", np.int64),  # units
        ("minimum_value", np.int64),  # cash units
        ("tick", np.float64),  # of prices, quote units; 0: any
        ("unit", np.float64),  # base units in one unit; the same for all dates of a symbol
    ]
)
"""What holds for a symbol from an instant on; rows are sorted by symbol, then instant."""
