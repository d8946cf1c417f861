"""Targets on bars: a walk is the matching core, trade for trade and unit for unit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.backtest import curve as curves
from tradelake.backtest import kernels, measures
from tradelake.backtest.walk import Start, Walk, walk
from tradelake.errors import ConfigError
from tradelake.execution import targets
from tradelake.execution.clock import merged
from tradelake.execution.layout import Sizing
from tradelake.execution.machine import Machine
from tradelake.execution.rules import Rules
from tradelake.market.arrays import BarArrays

CASH = 10_000.0
MINUTE_NS = 60_000_000_000


class Left(NamedTuple):
    """What a walk leaves, by name."""

    equity: np.ndarray
    position: np.ndarray
    entry_price: np.ndarray
    exit_price: np.ndarray
    pnl: np.ndarray
    trip_fees: np.ndarray
    is_open: np.ndarray
    fees: float
    notional: float
    rejects: int


def left(walked: Walk) -> Left:
    bars, held = walked.held()
    bounds = np.concatenate(([0], bars, [len(walked.equity)]))
    position = np.repeat(np.concatenate(([0.0], held)), np.diff(bounds))
    account = walked.account
    money = float(account["fees_value"]) * 1e-8, float(account["turnover"]) * 1e-8
    return Left(walked.equity, position, *walked.trips().T[3:], *money, int(account["rejects"]))


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


@settings(deadline=None, max_examples=300)
@given(runs())
def test_account_is_that_of_target_orders_to_the_last_unit_in_any_run(run) -> None:
    open_, close, wanted, rules = run
    machine = sent_as_orders(open_, close, wanted, rules)
    walked = walk(open_, close, wanted, CASH, rules)
    np.testing.assert_array_equal(walked.equity, machine.equity)
    np.testing.assert_array_equal(walked.account, machine.state.account[0])
    fills = machine.fills
    bars, held = walked.held()
    last = np.append(fills["event"][1:] != fills["event"][:-1], True)[: len(fills)]
    moved = fills["side"] * (fills["quantity"] - np.where(fills["fee_in_base"], fills["fee"], 0))
    units = np.cumsum(moved)[last] * float(machine.state.positions["unit"][0])
    changed = np.isin(bars, fills["event"])
    np.testing.assert_array_equal(bars[changed], fills["event"][last])
    np.testing.assert_array_equal(held[changed], units)


@settings(deadline=None, max_examples=200)
@given(runs())
def test_equity_changes_by_pnl_less_fees_in_any_run(run) -> None:
    open_, close, wanted, rules = run
    outcome = left(walk(open_, close, wanted, CASH, rules))
    change = outcome.pnl.sum() - outcome.trip_fees.sum()
    scale = CASH + outcome.notional
    assert outcome.equity[-1] - CASH == pytest.approx(change, abs=1e-7 + 1e-10 * scale)
    assert outcome.fees == pytest.approx(outcome.trip_fees.sum(), abs=1e-7 + 1e-10 * scale)


@settings(deadline=None, max_examples=100)
@given(runs(), st.data())
def test_account_does_not_see_the_future_when_bars_are_cut(run, data) -> None:
    open_, close, wanted, rules = run
    cut = data.draw(st.integers(1, len(close)))
    whole = walk(open_, close, wanted, CASH, rules)
    part = walk(open_[:cut], close[:cut], wanted[:cut], CASH, rules)
    np.testing.assert_array_equal(part.equity, whole.equity[:cut])


def simulate(open_: Any, close: Any, wanted: Any, cash: float = CASH, **rules: Any) -> Left:
    given_rules = {"fee_bps": 0.0, "slippage_bps": 0.0, "quantity_step": 1e-9} | rules
    columns = (np.array(column, float) for column in (open_, close, wanted))
    return left(walk(*columns, cash, Rules(**given_rules)))


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
    assert outcome.is_open.tolist() == [1.0]
    assert outcome.pnl.tolist() == [2_000.0]


def test_cash_is_refused_when_62_bits_do_not_hold_it() -> None:
    with pytest.raises(ConfigError, match="cash"):
        simulate([1, 1], [1, 1], [0, 0], cash=1e12)


@settings(deadline=None, max_examples=200)
@given(runs())
def test_cash_is_never_overspent_when_long_only(run) -> None:
    open_, close, wanted, given_rules = run
    rules = Rules(given_rules.fee_bps, given_rules.slippage_bps, False, given_rules.quantity_step)
    outcome = left(walk(open_, close, wanted, CASH, rules))
    cash = outcome.equity - outcome.position * close
    assert (cash >= -1e-9 * np.maximum(outcome.equity, CASH)).all()
    assert (outcome.position >= 0.0).all()


def test_slippage_works_against_the_trader_when_buying_and_selling() -> None:
    outcome = simulate([1, 100, 100], [1, 100, 100], [1, 0, 0], slippage_bps=100.0)
    assert outcome.entry_price[0] == pytest.approx(101.0)
    assert outcome.exit_price[0] == pytest.approx(99.0)


def test_target_is_counted_as_reject_when_its_quantity_rounds_to_nothing() -> None:
    outcome = simulate([1, 60_000], [1, 60_000], [1, 1], cash=10.0, quantity_step=1.0)
    assert outcome.position.tolist() == [0.0, 0.0]
    assert outcome.rejects == 1


def test_position_is_kept_when_the_target_is_repeated_while_prices_move() -> None:
    outcome = simulate([10, 10, 40, 5], [10, 20, 40, 5], [0.5] * 4)
    assert outcome.position.tolist() == [0.0, 500.0, 500.0, 500.0]


@pytest.mark.parametrize("flat_at_end", [False, True])
def test_a_walk_that_is_not_kept_has_the_sums_of_one_that_is(flat_at_end: bool) -> None:
    rng = np.random.default_rng(5)
    size = 3 * kernels.BLOCK + 17
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-3, size)))
    wanted = rng.choice([0.0, 1.0, 0.5], size // 40 + 1).repeat(40)[:size]
    kept = walk(close, close, wanted, CASH, Rules(), flat_at_end=flat_at_end)
    start = Start.of(close, close, CASH, Rules())
    bare = Walk(start, kept=False, flat_from=size - 1 if flat_at_end else None)
    bare.follow_all(wanted)
    np.testing.assert_array_equal(bare.curve, kept.curve)
    np.testing.assert_array_equal(bare.account, kept.account)
    assert (bare.trades, bare.wins) == (kept.trades, kept.wins)
    assert len(bare.equity) == 0
    assert kept.trades > 500
    followed = curves.start(CASH)
    measures.follow(followed, kept.equity)
    unheld = np.arange(curves.CELLS) != curves.HELD
    np.testing.assert_array_equal(followed[unheld], kept.curve[unheld])


def test_mean_equity_is_that_of_the_curve_although_flat_bars_are_not_added() -> None:
    rng = np.random.default_rng(6)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-3, 5_000)))
    wanted = rng.choice([0.0, 1.0, 0.5], 126).repeat(40)[:5_000]
    kept = walk(close, close, wanted, CASH, Rules())
    assert curves.mean(kept.curve) == pytest.approx(kept.equity.mean(), rel=1e-13)


@pytest.mark.parametrize(
    "bad",
    [
        {"fee_bps": -1.0},
        {"fee_bps": 10_000.0},
        {"slippage_bps": np.nan},
        {"quantity_step": -1e-9},
        {"quantity_step": np.inf},
    ],
)
def test_rules_are_refused_when_a_number_makes_no_sense(bad) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Rules(**bad)
