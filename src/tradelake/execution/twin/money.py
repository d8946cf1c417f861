"""Money of the twin: values, fees, positions and the account, rules M1 to M6 and C4.

Every amount is a Python integer, so nothing overflows and nothing is rounded in passing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tradelake.execution.layout import CASH_UNITS, NONE
from tradelake.execution.terms import Terms

LARGEST = 4 * 10**18
"""Units: what reaches it does not fit 63 bits and is no honest order (O2)."""
DAY_NS = 86_400_000_000_000
WHOLE = 1.0 + 1e-12
"""2 / 1e-9 is 1999999999.9999998 in floats; such a quotient still counts as whole (O1)."""
FEE_WINDOW_DAYS = 30
MOST_OF_A_DAY = 2 * 10**17
"""Cash units of a day that count for the fee tier (C4)."""


@dataclass
class Position:
    """What is held of one symbol; the columns of ``layout.POSITION``."""

    unit: float
    quantity: int = 0
    cost: int = 0
    promised: int = 0
    realised: int = 0
    fees_base: int = 0
    turnover: float = 0.0
    price: float = math.nan


@dataclass
class Account:
    """Cash and totals; the columns of ``layout.ACCOUNT`` and the turnover of each UTC day."""

    cash: int
    promised: int = 0
    fees_cash: int = 0
    fees_value: int = 0
    turnover: float = 0.0
    fills: int = 0
    rejects: int = 0
    turnover_of_day: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Booked:
    """What one booking moved: quantities in units, money in cash units."""

    quantity: int
    value: int
    fee: int
    fee_in_base: bool
    fee_value: int
    realised: int
    moved: int
    """Units that arrived (of a buy, net of a fee in base) or left (of a sell)."""


def units_of(amount: float, unit: float, step: int = 1) -> int:
    """O1: an amount of the base asset in units, rounded down to a multiple of ``step``."""
    quantity = min(math.floor(amount / unit * WHOLE), round(amount / unit))
    return quantity - quantity % max(step, 1)


def value_of(quantity: int, price: float, unit: float) -> int:
    """M2: cash units that change hands for ``quantity`` units at ``price``."""
    return round(float(quantity) * unit * price * CASH_UNITS)


def fee_of(amount: int, rate: float) -> int:
    """M3: the part of ``amount`` that the venue keeps, in the units of ``amount``."""
    return round(float(amount) * rate)


def removed_cost(position: Position, quantity: int) -> int:
    """M5: the cost that leaves with ``quantity`` units of what is held (or owed)."""
    held = abs(position.quantity)
    if quantity == held:
        return position.cost
    return round(float(position.cost) * float(quantity) / float(held))


def equity(
    account: Account, positions: list[Position], symbol: int = NONE, price: float = math.nan
) -> float:
    """M6: quote units the account is worth, with one symbol at a price of its own."""
    total = account.cash / CASH_UNITS
    for index, position in enumerate(positions):
        if position.quantity != 0:
            at = price if index == symbol else position.price
            total += float(position.quantity) * position.unit * at
    return total


def fee_rates(terms: Terms, account: Account, ts_ns: int) -> tuple[float, float]:
    """C4: the maker and taker rate of the UTC day of ``ts_ns``."""
    day = ts_ns // DAY_NS
    notional = sum(
        account.turnover_of_day.get(before, 0) for before in range(day - FEE_WINDOW_DAYS, day)
    )
    tiers = [[float(number) for number in row] for row in terms.tiers]
    if not tiers:
        return 0.0, 0.0
    dates = [tier[0] for tier in tiers if tier[0] <= day * DAY_NS]
    valid = max(dates) if dates else tiers[0][0]
    table = [tier for tier in tiers if tier[0] == valid]
    reached = [tier for tier in table if tier[1] <= notional]
    _, _, maker, taker = reached[-1] if reached else table[0]
    return maker, taker


def cash_needed(terms: Terms, quantity: int, price: float, unit: float, rate: float) -> int:
    """Cash units that a buy takes, its fee included where that is paid in cash (M3)."""
    value = value_of(quantity, price, unit)
    return value + fee_of(value, rate) if terms.fee_in_quote else value


def largest_within(
    terms: Terms, cash: int, price: float, unit: float, step: int, rate: float
) -> int:
    """O1, O2: the largest multiple of ``step`` units that needs no more than ``cash``."""
    step = max(step, 1)
    if cash <= 0 or not price > 0.0:
        return 0
    low = 0
    high = min(LARGEST, int((float(cash) + 1.0) / (unit * price * CASH_UNITS)) + 2) // step
    while low < high:
        middle = (low + high + 1) // 2
        if cash_needed(terms, middle * step, price, unit, rate) <= cash:
            low = middle
        else:
            high = middle - 1
    return low * step


def to_flat(terms: Terms, position: Position, side: int, rate: float) -> int:
    """M3, M5: the smallest order that leaves nothing of what is held; 0 on the same side."""
    if position.quantity * side >= 0:
        return 0
    held = abs(position.quantity)
    if side < 0 or terms.fee_in_quote:
        return held
    low, high = held, held * 2 + 2
    while low < high:
        middle = (low + high) // 2
        if middle - fee_of(middle, rate) >= held:
            high = middle
        else:
            low = middle + 1
    return low


def book(
    terms: Terms,
    account: Account,
    position: Position,
    ts_ns: int,
    side: int,
    quantity: int,
    price: float,
    rate: float,
) -> Booked:
    """M2 to M5: move cash and position by one fill that does not cross flat."""
    value = value_of(quantity, price, position.unit)
    in_base = side > 0 and not terms.fee_in_quote
    fee = fee_of(quantity if in_base else value, rate)
    fee_cash = 0 if in_base else fee
    fee_value = value_of(fee, price, position.unit) if in_base else fee
    moved = quantity - fee if in_base else quantity
    realised = 0
    if position.quantity * side < 0:
        removed = removed_cost(position, moved)
        realised = -side * value - fee_cash - removed
        position.cost -= removed
    else:
        position.cost += side * value + fee_cash
    account.cash -= side * value + fee_cash
    position.quantity += side * moved
    position.realised += realised
    position.fees_base += fee if in_base else 0
    position.turnover += float(value)
    account.fees_cash += fee_cash
    account.fees_value += fee_value
    account.turnover += float(value)
    account.fills += 1
    day = ts_ns // DAY_NS
    traded = account.turnover_of_day.get(day, 0) + value
    account.turnover_of_day[day] = min(traded, MOST_OF_A_DAY)
    return Booked(quantity, value, fee, in_base, fee_value, realised, moved)
