"""Targets decided at closes and filled at the next opens: rung 1 without orders on the way.

The same account, sizes and fills as target orders sent through
:func:`tradelake.execution.core.on_bar`, unit for unit, for runs that need nothing else: one symbol,
no latency, no participation cap. A bar on which nothing is decided costs two multiplications.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np

from tradelake.errors import ConfigError
from tradelake.execution.account import affordable, book_one, equity_at, rate_at
from tradelake.execution.compiled import inlined, lean
from tradelake.execution.dated import close_whole
from tradelake.execution.filling import fill
from tradelake.execution.layout import (
    CASH_UNIT,
    CASH_UNITS,
    MOST_CASH,
    NONE,
    OrderType,
    Reason,
    Side,
    Sizing,
    Status,
    TimeInForce,
)
from tradelake.execution.orders import new_order
from tradelake.execution.pricing import LEAST_LEFT, taken_price
from tradelake.execution.rules import Rules
from tradelake.execution.state import Record, Rows, State, plain
from tradelake.execution.terms import INSTRUMENT, Impact, Rung, Slippage, Terms
from tradelake.execution.units import unit_exponent, whole_steps
from tradelake.market.arrays import FloatArray

WHOLE_MARKET = 4 * 10**18
"""Room where there is no participation cap."""
TRIP = np.dtype(
    [
        ("held", np.int64),  # units, signed
        ("entry", np.int64),  # bar of the first fill
        ("inward", np.float64),  # base units away from flat, signed, and their value
        ("in_value", np.float64),
        ("outward", np.float64),  # and back
        ("out_value", np.float64),
        ("fees", np.float64),
    ]
)
"""A round trip in progress."""
TRIP_COLUMNS = 8
ONE_BAR = 8
"""Orders and fills for which there is room where they are forgotten bar by bar."""


@lean
def follow(state: State, terms: Terms, bar: int, open_ns: int, price: float, target: float) -> None:
    """Send a target order that is at the venue at a bar's open, and fill it there."""
    state.counters[0].event = bar
    order = new_order(state, open_ns, 0, 1)
    row = state.orders[order]
    row.sizing, row.amount, row.status = Sizing.TARGET, target, Status.WORKING
    row.step = max(state.symbols[0].increment, 1)
    fill(state, terms, order, price, WHOLE_MARKET, False, False, open_ns)


@lean
def close_ruined(state: State, terms: Terms, bar: int, open_ns: int, price: float) -> None:
    """Close a short whose account is used up at an open (B8)."""
    held = -state.positions[0].quantity
    if held <= 0 or equity_at(state, 0, price) > 0.0:
        return
    state.counters[0].event = bar
    worse = taken_price(state, terms, 0, Side.BUY.value, held, price, np.nan, open_ns)
    close_whole(state, terms, 0, worse, Reason.INSUFFICIENT_BALANCE.value, open_ns)


@lean
def on_open(
    state: State, terms: Terms, bar: int, open_ns: int, price: float, target: float, last: float
) -> None:
    """Close what is ruined at a bar's open, and follow a target that is not the last one."""
    if state.positions[0].quantity < 0:
        close_ruined(state, terms, bar, open_ns, price)
    if target != last:
        follow(state, terms, bar, open_ns, price, target)


@inlined
def turn(
    state: State, terms: Terms, bar: int, open_ns: int, price: float, target: float, last: float
) -> None:
    """Do what :func:`on_open` does, without the rows of orders.

    The two moves of a rule that is long or flat are written out: what an order goes through beside
    them is branches that come at random, which cost a processor more than the work.
    """
    position = state.positions[0]
    if position.quantity > 0 and target == 0.0:
        _leave(state, terms, bar, open_ns, price)
    elif (
        position.quantity != 0
        or target <= 0.0
        or not _enter(state, terms, bar, open_ns, price, target)
    ):
        on_open(state, terms, bar, open_ns, price, target, last)
        state.counters[0].orders = 0


@inlined
def _leave(state: State, terms: Terms, bar: int, open_ns: int, price: float) -> None:
    """Sell what is held at a bar's open."""
    state.counters[0].event, held = bar, state.positions[0].quantity
    price *= max(1.0 - (terms.half_spread + terms.slippage), LEAST_LEFT)
    rate = rate_at(state, terms, open_ns, False)
    book_one(state, terms, 0, Side.SELL.value, held, price, False, open_ns, rate)


@inlined
def _enter(state: State, terms: Terms, bar: int, open_ns: int, price: float, target: float) -> bool:
    """Buy out of cash at a bar's open; False where it does not suffice: nothing was done."""
    account, unit = state.account[0], state.positions[0].unit
    change = target * (account.cash / CASH_UNITS)
    budget = min(int(np.rint(change * CASH_UNITS)), account.cash)
    price *= max(1.0 + (terms.half_spread + terms.slippage), LEAST_LEFT)
    quantity = affordable(budget, unit, price, max(state.symbols[0].increment, 1), 0.0)
    if quantity <= 0:
        return False
    state.counters[0].event = bar
    rate = rate_at(state, terms, open_ns, False)
    book_one(state, terms, 0, Side.BUY.value, quantity, price, False, open_ns, rate)
    return True


@inlined
def take_up(trip: Record, fill: Record, unit: float) -> bool:
    """Add a fill to the trip in progress; return whether it closed it.

    A fee in base is valued at its fill.
    """
    if trip.held == 0:
        trip.entry, trip.fees = fill.event, 0.0
        trip.inward, trip.in_value, trip.outward, trip.out_value = 0.0, 0.0, 0.0, 0.0
    moved = fill.side * (fill.quantity - (fill.fee if fill.fee_in_base else 0))
    amount = moved * unit
    if trip.held == 0 or (trip.held > 0) == (moved > 0):
        trip.inward += amount
        trip.in_value += amount * fill.price
    else:
        trip.outward += amount
        trip.out_value += amount * fill.price
    trip.held += moved
    trip.fees += fill.fee_value * CASH_UNIT
    return bool(trip.held == 0)


@inlined
def write_trip(trip: Record, row: FloatArray, exit_bar: int) -> None:
    """Write a trip that is flat again.

    Entry bar, exit bar, base units, entry price, exit price, profit before fees, fees, and 0.
    """
    row[0], row[1] = trip.entry, exit_bar
    row[2], row[3] = trip.inward, trip.in_value / trip.inward
    row[4], row[5] = trip.out_value / trip.outward, -(trip.in_value + trip.out_value)
    row[6], row[7] = trip.fees, 0.0


def cash_units(cash: float) -> int:
    """Return quote units as cash units.

    Raises
    ------
    ConfigError
        More than is counted in 62 bits.
    """
    if not cash <= MOST_CASH:
        raise ConfigError(f"cash: expected at most {MOST_CASH:g}; found {cash}")
    return round(cash * CASH_UNITS)


def terms_of(rules: Rules) -> Terms:
    """Return the terms of a broker that fills market orders whole at the next open."""
    return plain(
        Terms(
            rung=Rung.NEXT_OPEN,
            seed=0,
            allow_short=rules.allow_short,
            fee_in_quote=False,
            halt_waits=True,
            types_offered=1 << OrderType.MARKET,
            tifs_offered=1 << TimeInForce.GTC,
            cap=0,
            tiers=np.array([[0.0, 0.0, rules.fee, rules.fee]]),
            latency=np.zeros((3, 3), np.int64),
            half_spread=0.0,
            slippage_kind=Slippage.FIXED,
            slippage=rules.slippage,
            participation=0.0,
            touch=False,
            beyond_top=False,
            own_trades_stay=False,
            queue_pro_rata=False,
            partial_probability=0.0,
            impact_kind=Impact.NONE,
            impact=0.0,
            impact_power=0.0,
            impact_permanent=0.0,
            impact_half_life_ns=0.0,
            impact_window=0,
            delisting_haircut=0.0,
        )
    )


def instrument_of(rules: Rules, first_price: float) -> Rows:
    """Return the one row of an instrument that trades in steps of the rules (M1)."""
    increments = [Decimal(repr(rules.quantity_step))] if rules.quantity_step > 0.0 else []
    exponent = unit_exponent(increments, first_price)
    unit = Fraction(10) ** exponent
    rows = np.zeros(1, INSTRUMENT)
    rows["renamed_to"], rows["unit"] = NONE, float(unit)
    rows["increment"] = whole_steps(increments[0], unit) if increments else 1
    return rows
