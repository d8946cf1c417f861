"""Account, positions, orders and fills as rows of plain memory, for compiled code and numpy.

Both matching cores agree on what is written here: codes, columns and units. Nothing in this module
needs the compiler. Money and quantities are scaled integers (``docs/explanation/matching.md``, M1);
``_ns`` is ns since 1970 UTC; prices are float64 in quote units, NaN where there is none.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

CASH_DIGITS: Final = 8
CASH_UNIT: Final = 1e-8
"""Of the quote currency."""
CASH_UNITS: Final = 1e8
MOST_CASH: Final = 9e10
"""Quote units: what 62 bits of cash units hold."""
FINEST_QUANTITY: Final = 1e-9
MOST_OF_A_DAY: Final = 2 * 10**17
"""Cash units of a day that count for the fee tier: those of 30 days fit 63 bits (C4)."""
LEAST_PRICE: Final = 1e-15
MOST_PRICE: Final = 1e15
"""What is outside is no honest price, and its products with quantities may fit no integer."""
NONE: Final = -1
"""No order, no group, no row."""


class Side(IntEnum):
    """Which way; the sign of a quantity."""

    BUY = 1
    SELL = -1


class OrderType(IntEnum):
    """What makes an order fill."""

    MARKET = 0
    LIMIT = 1
    STOP = 2
    STOP_LIMIT = 3
    TRAILING_STOP = 4


class TimeInForce(IntEnum):
    """How long an order works."""

    GTC = 0
    IOC = 1


class Sizing(IntEnum):
    """What an order's amount counts."""

    QUANTITY = 0
    """Base units."""
    NOTIONAL = 1
    """Quote units."""
    TARGET = 2
    """Fraction of the equity at the fill's price, signed; what is held counts."""
    CLOSE = 3
    """The whole position; the amount says nothing."""


class Status(IntEnum):
    """Where an order is. Everything from ``FILLED`` on is an end."""

    SENT = 0
    """On its way to the venue."""
    WAITING = 1
    """At the venue; the entry of its bracket has not filled."""
    WORKING = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5


class Reason(IntEnum):
    """Why an order was rejected, cancelled or cut."""

    NONE = 0
    UNKNOWN_SYMBOL = 1
    BAD_QUANTITY = 2
    BAD_PRICE = 3
    OFF_INCREMENT = 4
    DELISTED = 5
    HALTED = 6
    UNSUPPORTED = 7
    BELOW_MINIMUM = 8
    ABOVE_CAP = 9
    INSUFFICIENT_QUANTITY = 10
    INSUFFICIENT_BALANCE = 11
    TOO_MANY_ORDERS = 12
    BY_STRATEGY = 13
    OCO = 14
    PARENT_ENDED = 15
    IOC_REST = 16
    REPLACED = 17
    END_OF_RUN = 18


ORDER: Final = np.dtype(
    [
        ("quantity", np.int64),  # units; 0 while it is not known (notional, target, close)
        ("filled", np.int64),  # units
        ("value", np.int64),  # of the fills, cash units
        ("promised", np.int64),  # cash units of a buy, units of a sell
        ("submitted_ns", np.int64),
        ("arrives_ns", np.int64),
        ("ended_ns", np.int64),
        ("step", np.int64),  # increment of quantities in force on arrival, units
        ("cancel_ns", np.int64),  # when a cancel reaches the venue; NONE: none was sent
        ("amount", np.float64),  # by sizing
        ("limit", np.float64),
        ("stop", np.float64),
        ("trail", np.float64),  # fraction where below 0 its negative, else quote units
        ("water", np.float64),
        ("ahead", np.float64),  # base units in front of it in the queue
        ("symbol", np.int32),
        ("parent", np.int32),  # the entry this is an exit of
        ("group", np.int32),  # of exits that end one another: the parent's row
        ("replaces", np.int32),  # the order this one took the place of
        ("fills", np.int32),  # how many
        ("side", np.int8),
        ("type", np.int8),
        ("tif", np.int8),
        ("sizing", np.int8),
        ("status", np.int8),
        ("reason", np.int8),
        ("triggered", np.int8),  # 1: the stop was reached
    ],
    align=True,
)
"""Narrow, because a run that sends many orders spends its time on fresh memory for them."""
FILL: Final = np.dtype(
    [
        ("order", np.int64),
        ("symbol", np.int64),
        ("side", np.int64),
        ("maker", np.int64),
        ("event", np.int64),  # row of the input that filled it
        ("ts_ns", np.int64),
        ("quantity", np.int64),  # units, as ordered: before a fee in base
        ("value", np.int64),  # cash units
        ("fee", np.int64),  # units of the base asset, or of cash
        ("fee_in_base", np.int64),
        ("fee_value", np.int64),  # the fee in cash units, at the fill's price
        ("realised", np.int64),  # cash units, of what the fill closed
        ("price", np.float64),
    ]
)
POSITION: Final = np.dtype(
    [
        ("quantity", np.int64),  # units, signed
        ("cost", np.int64),  # cash units paid for it; of a short, received: negative
        ("promised", np.int64),  # units of working sells
        ("realised", np.int64),  # cash units
        ("fees_base", np.int64),  # units
        ("turnover", np.float64),  # cash units; a figure and no money: it may pass 63 bits
        ("price", np.float64),  # last known
        ("unit", np.float64),  # base units in one unit
    ]
)
ACCOUNT: Final = np.dtype(
    [
        ("cash", np.int64),
        ("promised", np.int64),
        ("fees_cash", np.int64),
        ("fees_value", np.int64),  # all fees in cash units, each at its fill's price
        ("turnover", np.float64),
        ("fills", np.int64),
        ("rejects", np.int64),
    ]
)
