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
from tradelake.execution.account import equity_at
from tradelake.execution.compiled import compiled, lean
from tradelake.execution.dated import close_whole
from tradelake.execution.filling import fill
from tradelake.execution.handles import Header
from tradelake.execution.layout import (
    CASH_UNIT,
    CASH_UNITS,
    NONE,
    OrderType,
    Reason,
    Sizing,
    Status,
    TimeInForce,
)
from tradelake.execution.orders import new_order
from tradelake.execution.outcome import RoundTrips, Simulation
from tradelake.execution.pricing import taken_price
from tradelake.execution.rules import Rules
from tradelake.execution.state import Rows, State, new_state, plain
from tradelake.execution.terms import INSTRUMENT, Impact, Rung, Slippage, Terms
from tradelake.execution.units import unit_exponent, whole_steps
from tradelake.execution.views import STATE, TERMS, state_at, terms_at
from tradelake.market.arrays import FloatArray, IntArray

WHOLE_MARKET = 4 * 10**18
"""Room where there is no participation cap."""
MOST_CASH = 9e10
"""Quote units: what 62 bits of cash units hold."""
_COLUMNS = {"quantity": 2, "entry_price": 3, "exit_price": 4, "pnl": 5, "fees": 6}
_NO_TIMES = np.empty(0, np.int64)


@lean
def follow(state: State, terms: Terms, bar: int, open_ns: int, price: float, target: float) -> None:
    """Send a target order that is at the venue at a bar's open, and fill it there."""
    state.counters[0].event = bar
    order = new_order(state, open_ns, 0, 1)
    row = state.orders[order]
    row.sizing, row.amount, row.status = Sizing.TARGET, target, Status.WORKING
    row.step = max(state.symbols[0].increment, 1)
    inside = bool(state.counters[0].inside)  # never: at the open one is a taker
    fill(state, terms, order, price, WHOLE_MARKET, inside, inside, open_ns)


@lean
def close_ruined(state: State, terms: Terms, bar: int, open_ns: int, price: float) -> None:
    """Close a short whose account is used up at an open (B8)."""
    held = -state.positions[0].quantity
    if held <= 0 or equity_at(state, 0, price) > 0.0:
        return
    state.counters[0].event = bar
    side = 1 if held > 0 else -1
    worse = taken_price(state, terms, 0, side, held, price, np.nan, open_ns)
    close_whole(state, terms, 0, worse, Reason.INSUFFICIENT_BALANCE.value, open_ns)


@compiled
def _run(
    state_address: int,
    terms_address: int,
    open_: FloatArray,
    close: FloatArray,
    opens_ns: IntArray,
    targets: FloatArray,
    equity: FloatArray,
    position: FloatArray,
) -> None:
    state, terms = state_at(state_address), terms_at(terms_address)
    last_target, first = 0.0, True
    cash, held = state.account[0].cash / CASH_UNITS, 0.0
    size = close.shape[0]
    for bar in range(size):
        target = 0.0 if first else targets[bar - 1]
        first = False
        if target != last_target or held < 0.0:
            open_ns = opens_ns[bar] if opens_ns.shape[0] else 0
            if held < 0.0:
                close_ruined(state, terms, bar, open_ns, open_[bar])
            if target != last_target:
                last_target = target
                follow(state, terms, bar, open_ns, open_[bar], target)
            cash = state.account[0].cash / CASH_UNITS
            held = state.positions[0].quantity * state.positions[0].unit
        equity[bar] = cash + held * close[bar]
        position[bar] = held
    state.positions[0].price = close[size - 1]


def run(
    state: State,
    terms: Terms,
    open_: FloatArray,
    close: FloatArray,
    opens_ns: IntArray,
    targets: FloatArray,
    equity: FloatArray,
    position: FloatArray,
) -> None:
    """Follow targets bar by bar; write equity at the closes and base units held.

    Shapes are those of :func:`simulate`; orders and fills must have room for four a change.
    ``opens_ns`` may be empty: then every fill has the instant 0.
    """
    headers = Header(STATE, state), Header(TERMS, terms)
    _run(
        headers[0].address,
        headers[1].address,
        open_,
        close,
        opens_ns,
        targets,
        equity,
        position,
    )


@lean
def trips_of(fills: Rows, unit: float, last_bar: int, last_price: float, trips: FloatArray) -> int:
    """Write the round trips of one symbol's fills and return how many there are.

    Columns: entry bar, exit bar, base units, entry price, exit price, profit before fees, fees,
    and whether it is still open, valued at the last price. A fee in base is valued at its fill.
    """
    count, held = 0, 0
    entry, inward, in_value, outward, out_value, fees = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for place in range(fills.shape[0] + 1):
        if place < fills.shape[0]:
            row = fills[place]
            if held == 0:
                entry, inward, in_value, outward, out_value, fees = (
                    row.event,
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                )
            moved = row.side * (row.quantity - (row.fee if row.fee_in_base else 0))
            amount = moved * unit
            if held == 0 or (held > 0) == (moved > 0):
                inward += amount
                in_value += amount * row.price
            else:
                outward += amount
                out_value += amount * row.price
            held += moved
            fees += row.fee_value * CASH_UNIT
            if held != 0:
                continue
        elif held == 0:
            continue
        outward -= held * unit
        out_value -= held * unit * last_price
        trips[count, 0], trips[count, 1] = entry, row.event if held == 0 else last_bar
        trips[count, 2], trips[count, 3] = inward, in_value / inward
        trips[count, 4], trips[count, 5] = out_value / outward, -(in_value + out_value)
        trips[count, 6], trips[count, 7] = fees, held != 0
        count += 1
    return count


def simulate(
    open_: FloatArray, close: FloatArray, targets: FloatArray, cash: float, rules: Rules
) -> Simulation:
    """Return the account that follows ``targets``.

    Parameters
    ----------
    open_, close : FloatArray, shape (n,), n >= 1
        Prices, quote units, positive.
    targets : FloatArray, shape (n,)
        Position wanted as a fraction of equity in [-1, 1], decided at each close and filled at the
        next open. The last one is never filled. No NaN.
    cash : float
        Quote units at the start, at most 9e10.
    rules : Rules
        Costs and limits.

    Raises
    ------
    ConfigError
        More cash than is counted in 62 bits.

    Notes
    -----
    A target equal to the last one keeps the position as it is: nothing is rebalanced as prices
    drift. A buy spends ``target x equity`` (never more than the cash), so fee and slippage come out
    of the position rather than out of borrowed money. A short whose equity is used up is closed.
    """
    if not cash <= MOST_CASH:
        raise ConfigError(f"cash: expected at most {MOST_CASH:g}; found {cash}")
    changes = int(np.count_nonzero(targets[1:] != targets[:-1])) + 2
    state = new_state(instrument_of(rules, float(open_[0])), round(cash * CASH_UNITS), 4 * changes)
    equity, position = np.empty(close.shape[0]), np.empty(close.shape[0])
    run(state, terms_of(rules), open_, close, _NO_TIMES, targets, equity, position)
    fills = state.fills[: state.counters["fills"][0]]
    table = np.empty((len(fills) + 1, 8))
    unit, last = float(state.positions["unit"][0]), close.shape[0] - 1
    table = table[: trips_of(fills, unit, last, float(close[-1]), table)]
    account = state.account[0]
    return Simulation(
        equity,
        position,
        RoundTrips(
            table[:, 0].astype(np.int64),
            table[:, 1].astype(np.int64),
            is_open=table[:, 7] != 0.0,
            **{name: table[:, column].copy() for name, column in _COLUMNS.items()},
        ),
        float(account["fees_value"]) / CASH_UNITS,
        float(account["turnover"]) / CASH_UNITS,
        int(account["fills"]),
        int(account["rejects"]),
    )


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
