"""The matching core: compiled and plain agree, value is conserved, costs are Alpaca's."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.errors import ConfigError
from tradelake.execution import reference, step
from tradelake.execution.outcome import Simulation
from tradelake.execution.rules import Rules

CASH = 10_000.0


@st.composite
def scenarios(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, Rules]:
    size = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.001, 0.05, 0.5]))
    close = draw(st.sampled_from([1e-4, 1.0, 60_000.0])) * np.exp(
        np.cumsum(rng.normal(0, spread, size))
    )
    open_ = close * np.exp(rng.normal(0, spread, size))
    choices = draw(
        st.lists(
            st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.5, 1e-12, 0.999, -0.3]), min_size=1, max_size=4
        )
    )
    targets = rng.choice(np.array(choices), size)
    rules = Rules(
        fee_bps=draw(st.sampled_from([0.0, 15.0, 25.0, 500.0])),
        slippage_bps=draw(st.sampled_from([0.0, 5.0, 300.0])),
        allow_short=draw(st.booleans()),
        quantity_step=draw(st.sampled_from([0.0, 1e-9, 1.0])),
    )
    return open_, close, targets, rules


def same(left: Simulation, right: Simulation) -> None:
    assert (left.fills, left.rejects) == (right.fills, right.rejects)
    close = {"rtol": 1e-9, "atol": 1e-7}
    for name in ("equity", "position"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), **close)
    for field in fields(left.trips):
        np.testing.assert_allclose(
            getattr(left.trips, field.name), getattr(right.trips, field.name), **close
        )
    assert left.fees == pytest.approx(right.fees)
    assert left.notional == pytest.approx(right.notional)


@settings(deadline=None, max_examples=300)
@given(scenarios())
def test_compiled_core_agrees_with_its_plain_twin_in_any_scenario(scenario) -> None:
    open_, close, targets, rules = scenario
    same(
        step.simulate(open_, close, targets, CASH, rules),
        reference.simulate(open_, close, targets, CASH, rules),
    )


@settings(deadline=None, max_examples=200)
@given(scenarios())
def test_equity_changes_by_pnl_less_fees_in_any_scenario(scenario) -> None:
    open_, close, targets, rules = scenario
    outcome = step.simulate(open_, close, targets, CASH, rules)
    change = outcome.trips.pnl.sum() - outcome.trips.fees.sum()
    scale = CASH + outcome.notional
    assert outcome.equity[-1] - CASH == pytest.approx(change, abs=1e-10 * scale)
    assert outcome.fees == pytest.approx(outcome.trips.fees.sum(), abs=1e-10 * scale)


@settings(deadline=None, max_examples=200)
@given(scenarios())
def test_cash_is_never_overspent_when_long_only(scenario) -> None:
    open_, close, targets, given_rules = scenario
    rules = Rules(given_rules.fee_bps, given_rules.slippage_bps, False, given_rules.quantity_step)
    outcome = step.simulate(open_, close, targets, CASH, rules)
    cash = outcome.equity - outcome.position * close
    assert (cash >= -1e-9 * np.maximum(outcome.equity, CASH)).all()
    assert (outcome.position >= 0.0).all()


@settings(deadline=None, max_examples=100)
@given(scenarios(), st.data())
def test_account_does_not_see_the_future_when_bars_are_cut(scenario, data) -> None:
    open_, close, targets, rules = scenario
    cut = data.draw(st.integers(1, len(close)))
    whole = step.simulate(open_, close, targets, CASH, rules)
    part = step.simulate(open_[:cut], close[:cut], targets[:cut], CASH, rules)
    np.testing.assert_array_equal(part.equity, whole.equity[:cut])


def simulate(open_, close, targets, **rules) -> Simulation:
    given_rules = {"fee_bps": 0.0, "slippage_bps": 0.0, "quantity_step": 0.0} | rules
    return step.simulate(
        np.array(open_, float),
        np.array(close, float),
        np.array(targets, float),
        CASH,
        Rules(**given_rules),
    )


def test_target_is_filled_at_the_next_open_when_decided_at_a_close() -> None:
    outcome = simulate([1, 100, 120], [1, 110, 130], [1, 1, 1])
    assert outcome.position.tolist() == [0.0, 100.0, 100.0]
    assert outcome.equity.tolist() == [10_000.0, 11_000.0, 13_000.0]


def test_fee_is_taken_in_the_asset_received_when_bought_and_sold() -> None:
    # 2 BTC at 40,000 as taker: 0.005 BTC; 2 BTC sold: 200 USD (Alpaca's fee page).
    outcome = step.simulate(
        np.array([1.0, 40_000.0, 40_000.0]),
        np.array([1.0, 40_000.0, 40_000.0]),
        np.array([1.0, 0.0, 0.0]),
        80_000.0,
        Rules(25.0, 0.0),
    )
    assert outcome.position[1] == pytest.approx(2.0 - 0.005, abs=1e-12)
    sold = 1.995 * 40_000.0
    assert outcome.equity[2] == pytest.approx(sold * (1 - 0.0025), abs=1e-6)
    assert outcome.fees == pytest.approx(200.0 + sold * 0.0025)


def test_slippage_works_against_the_trader_when_buying_and_selling() -> None:
    outcome = simulate([1, 100, 100], [1, 100, 100], [1, 0, 0], slippage_bps=100.0)
    assert outcome.trips.entry_price[0] == pytest.approx(101.0)
    assert outcome.trips.exit_price[0] == pytest.approx(99.0)


def test_short_target_is_clamped_to_flat_and_counted_when_shorts_are_not_allowed() -> None:
    outcome = simulate([10, 10, 10, 10], [10, 10, 10, 10], [1, -1, -1, 0])
    assert outcome.position.tolist() == [0.0, 1000.0, 0.0, 0.0]
    assert outcome.rejects == 1


def test_target_is_counted_as_reject_when_its_quantity_rounds_to_nothing() -> None:
    outcome = simulate([20_000, 20_000], [20_000, 20_000], [1, 1], quantity_step=1.0)
    assert (outcome.fills, outcome.rejects) == (0, 1)


def test_position_is_kept_when_the_target_is_repeated_while_prices_move() -> None:
    outcome = simulate([10, 10, 20, 40], [10, 10, 20, 40], [0.5, 0.5, 0.5, 0.5])
    assert outcome.position.tolist() == [0.0, 500.0, 500.0, 500.0]
    assert outcome.fills == 1


def test_short_is_closed_when_its_equity_is_used_up() -> None:
    outcome = simulate([10, 10, 30, 5], [10, 10, 30, 5], [-1, -1, -1, -1], allow_short=True)
    assert outcome.position.tolist() == [0.0, -1000.0, 0.0, 0.0]
    assert outcome.equity[-1] == -10_000.0


def test_open_trip_is_valued_at_the_last_close_when_the_run_ends() -> None:
    outcome = simulate([10, 10], [10, 12], [1, 1])
    assert outcome.trips.is_open.tolist() == [True]
    assert outcome.trips.pnl.tolist() == [2_000.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"fee_bps": -1.0},
        {"fee_bps": 10_000.0},
        {"slippage_bps": float("nan")},
        {"quantity_step": -1},
    ],
)
def test_rules_are_refused_when_a_number_makes_no_sense(bad) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Rules(**bad)
