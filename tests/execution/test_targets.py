"""Targets on bars: the fast path is the matching core, trade for trade and unit for unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.errors import ConfigError
from tradelake.execution import targets
from tradelake.execution.clock import merged
from tradelake.execution.layout import Sizing
from tradelake.execution.machine import Machine
from tradelake.execution.outcome import Simulation
from tradelake.execution.rules import Rules
from tradelake.execution.state import new_state
from tradelake.market.arrays import BarArrays

CASH = 10_000.0
MINUTE_NS = 60_000_000_000


@st.composite
def runs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, Rules]:
    size = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.001, 0.05, 0.5]))
    first = draw(st.sampled_from([0.01, 1.0, 60_000.0]))
    close = first * np.exp(np.cumsum(rng.normal(0, spread, size)))
    open_ = close * np.exp(rng.normal(0, spread, size))
    choice = st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.5, 1e-12, 0.999, -0.3])
    wanted = rng.choice(np.array(draw(st.lists(choice, min_size=1, max_size=4))), size)
    rules = Rules(
        fee_bps=draw(st.sampled_from([0.0, 15.0, 25.0, 500.0])),
        slippage_bps=draw(st.sampled_from([0.0, 5.0, 300.0])),
        allow_short=draw(st.booleans()),
        quantity_step=draw(st.sampled_from([1e-9, 0.25, 1.0])),
    )
    return open_, close, wanted, rules


def sent_as_orders(
    open_: np.ndarray, close: np.ndarray, wanted: np.ndarray, rules: Rules
) -> Machine:
    """Send every new target as an order at its bar's close."""
    rows = targets.instrument_of(rules, float(open_[0]))
    made = Machine(["BTC/USD"], rows, targets.terms_of(rules), round(CASH * 1e8))
    opens = np.arange(len(close)) * MINUTE_NS
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    bars = BarArrays("BTC/USD", "1m", opens, open_, high, low, close, np.ones(len(close)))
    made.load(merged([bars]))
    last = 0.0
    for bar in range(len(close)):
        made.advance(bar, bar + 1, stops=False)
        if wanted[bar] != last and bar + 1 < len(close):
            last = wanted[bar]
            now_ns = int(opens[bar]) + MINUTE_NS
            made.place("BTC/USD", 1, last, now_ns=now_ns, sizing=Sizing.TARGET)
    return made


@settings(deadline=None, max_examples=200)
@given(runs())
def test_fills_and_equity_are_those_of_target_orders_in_any_run(run) -> None:
    open_, close, wanted, rules = run
    machine = sent_as_orders(open_, close, wanted, rules)
    size = len(close)
    state = new_state(
        targets.instrument_of(rules, float(open_[0])), round(CASH * 1e8), 8 * size + 16
    )
    equity, position = np.empty(size), np.empty(size)
    opens = np.arange(size) * MINUTE_NS
    targets.run(state, targets.terms_of(rules), open_, close, opens, wanted, equity, position)
    fills = state.fills[: state.counters["fills"][0]]
    for name in fills.dtype.names or ():
        if name != "order":  # a decision has its number before the close that forestalls it
            np.testing.assert_array_equal(fills[name], machine.fills[name], name)
    np.testing.assert_array_equal(equity, machine.equity)
    np.testing.assert_array_equal(state.account, machine.state.account)
    np.testing.assert_array_equal(state.positions, machine.state.positions)


@settings(deadline=None, max_examples=200)
@given(runs())
def test_equity_changes_by_pnl_less_fees_in_any_run(run) -> None:
    open_, close, wanted, rules = run
    outcome = targets.simulate(open_, close, wanted, CASH, rules)
    change = outcome.trips.pnl.sum() - outcome.trips.fees.sum()
    scale = CASH + outcome.notional
    assert outcome.equity[-1] - CASH == pytest.approx(change, abs=1e-7 + 1e-10 * scale)
    assert outcome.fees == pytest.approx(outcome.trips.fees.sum(), abs=1e-7 + 1e-10 * scale)


@settings(deadline=None, max_examples=100)
@given(runs(), st.data())
def test_account_does_not_see_the_future_when_bars_are_cut(run, data) -> None:
    open_, close, wanted, rules = run
    cut = data.draw(st.integers(1, len(close)))
    whole = targets.simulate(open_, close, wanted, CASH, rules)
    part = targets.simulate(open_[:cut], close[:cut], wanted[:cut], CASH, rules)
    np.testing.assert_array_equal(part.equity, whole.equity[:cut])


def simulate(open_: Any, close: Any, wanted: Any, cash: float = CASH, **rules: Any) -> Simulation:
    given_rules = {"fee_bps": 0.0, "slippage_bps": 0.0, "quantity_step": 1e-9} | rules
    columns = (np.array(column, float) for column in (open_, close, wanted))
    return targets.simulate(*columns, cash, Rules(**given_rules))


def test_target_is_filled_at_the_next_open_when_decided_at_a_close() -> None:
    outcome = simulate([1, 100, 120], [1, 110, 130], [1, 1, 1])
    assert outcome.position.tolist() == [0.0, 100.0, 100.0]
    assert outcome.equity.tolist() == [10_000.0, 11_000.0, 13_000.0]


def test_fee_is_taken_in_the_asset_received_when_bought_and_sold() -> None:
    # 2 BTC at 40,000 as taker: 0.005 BTC; 2 BTC sold: 200 USD (Alpaca's fee page).
    prices = [40_000.0] * 3
    outcome = simulate(prices, prices, [1, 0, 0], cash=80_000.0, fee_bps=25.0)
    assert outcome.position[1] == 1.995
    assert outcome.equity[2] == pytest.approx(1.995 * 40_000.0 * (1 - 0.0025), abs=1e-8)
    assert outcome.fees == pytest.approx(200.0 + 1.995 * 40_000.0 * 0.0025, abs=1e-8)


def test_short_target_is_flat_and_counted_when_shorts_are_not_allowed() -> None:
    outcome = simulate([10] * 4, [10] * 4, [1, -1, -1, 0])
    assert outcome.position.tolist() == [0.0, 1000.0, 0.0, 0.0]
    assert outcome.rejects == 1


def test_short_is_closed_when_its_equity_is_used_up() -> None:
    outcome = simulate([10, 10, 30, 5], [10, 10, 30, 5], [-1] * 4, allow_short=True)
    assert outcome.position.tolist() == [0.0, -1000.0, 0.0, 0.0]
    assert outcome.equity[-1] == -10_000.0


def test_open_trip_is_valued_at_the_last_close_when_the_run_ends() -> None:
    outcome = simulate([10, 10], [10, 12], [1, 1])
    assert outcome.trips.is_open.tolist() == [True]
    assert outcome.trips.pnl.tolist() == [2_000.0]


def test_cash_is_refused_when_62_bits_do_not_hold_it() -> None:
    with pytest.raises(ConfigError, match="cash"):
        simulate([1, 1], [1, 1], [0, 0], cash=1e12)
