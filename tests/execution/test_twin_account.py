"""The twin's account: fees, tiers, costs, promises, what is rejected, and conservation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.execution import scenarios as sc
from tests.execution.scenarios import MINUTE_NS, START_NS, instrument, instruments
from tests.execution.twins import (
    BASE,
    BUY,
    CASH,
    FEES,
    SELL,
    bar,
    flat,
    holding,
    outcome,
    place,
    twin,
)
from tradelake.execution.layout import OrderType, Reason, Sizing, Status
from tradelake.execution.terms import Trading
from tradelake.execution.twin import Twin


def test_fees_are_taken_in_the_asset_received_when_two_bitcoin_trade_at_forty_thousand() -> None:
    """Alpaca's published example: 0.005 BTC of a taker's buy, 200 USD of a taker's sell."""
    core = twin(tiers=FEES)
    place(core, BUY, 2.0)
    flat(core, 0, 40_000.0)
    assert core.fills[0]["fee"] == round(0.005 * BASE)
    assert core.positions[0]["quantity"] == round(1.995 * BASE)
    place(core, BUY, 0.006, at=1)
    flat(core, 1, 40_000.0)
    place(core, SELL, 2.0, at=2)
    flat(core, 2, 40_000.0)
    assert core.fills[2]["fee"] == 200 * CASH
    assert core.fills[2]["fee_in_base"] == 0


def test_fees_of_a_maker_are_its_own_rate_when_a_limit_fills_inside() -> None:
    """Alpaca's published example: 0.003 BTC of a maker's buy, 120 USD of a maker's sell."""
    core = twin(tiers=FEES)
    place(core, BUY, 2.0, type=OrderType.LIMIT, limit=40_000.0)
    bar(core, 0, (40_100.0, 40_100.0, 39_900.0, 40_100.0))
    place(core, SELL, 1.9, at=1, type=OrderType.LIMIT, limit=40_000.0)
    bar(core, 1, (39_900.0, 40_100.0, 39_900.0, 40_000.0))
    assert core.fills[0]["fee"] == round(0.003 * BASE)
    assert core.fills[1]["fee"] == 114 * CASH
    assert list(core.fills["maker"]) == [1, 1]


def test_buy_is_cut_to_the_cash_there_is_and_says_so() -> None:
    core = twin(cash=150.0)
    order = place(core, BUY, 2.0)
    flat(core, 0, 100.0)
    assert core.fills[0]["quantity"] == 150_000_000
    assert outcome(core, order) == (Status.FILLED, Reason.INSUFFICIENT_BALANCE)
    assert core.account[0]["cash"] == 0


def test_promises_keep_cash_and_holdings_from_other_orders() -> None:
    core = holding(cash=1_000.0)
    place(core, BUY, 8.0, at=1, type=OrderType.LIMIT, limit=100.0)
    poor = place(core, BUY, 2.0, at=1, type=OrderType.LIMIT, limit=90.0)
    place(core, SELL, 0.6, at=1, type=OrderType.LIMIT, limit=120.0)
    short = place(core, SELL, 0.6, at=1)
    bar(core, 1, (101.0, 101.0, 100.5, 101.0))
    assert core.account[0]["promised"] == 800 * CASH
    assert core.positions[0]["promised"] == 60_000_000
    assert outcome(core, poor) == (Status.REJECTED, Reason.INSUFFICIENT_BALANCE)
    assert outcome(core, short) == (Status.REJECTED, Reason.INSUFFICIENT_QUANTITY)


def test_cost_leaves_in_proportion_and_profit_is_net_of_the_fee() -> None:
    core = holding(3.0, 100.0, fee_in_quote=True, tiers=FEES)
    assert core.positions[0]["cost"] == round(300.75 * CASH)
    place(core, SELL, 1.0, at=1)
    flat(core, 1, 110.0)
    assert core.fills[1]["realised"] == round((110.0 - 0.275 - 100.25) * CASH)
    assert core.positions[0]["cost"] == round(200.50 * CASH)


def test_fill_that_crosses_flat_is_booked_as_two() -> None:
    core = holding(1.0, 100.0, allow_short=True)
    place(core, SELL, 3.0, at=1)
    flat(core, 1, 90.0)
    assert list(core.fills["quantity"]) == [BASE, BASE, 2 * BASE]
    assert core.positions[0]["quantity"] == -2 * BASE
    assert core.positions[0]["cost"] == -180 * CASH
    assert core.fills[1]["realised"] == -10 * CASH


def test_target_is_a_fraction_of_the_equity_at_the_fill_price() -> None:
    core = holding(2.0, 100.0, cash=1_000.0)
    place(core, BUY, 0.5, at=1, sizing=Sizing.TARGET)
    flat(core, 1, 200.0)
    assert core.positions[0]["quantity"] == 3 * BASE
    place(core, SELL, 0.0, at=2, sizing=Sizing.CLOSE)
    flat(core, 2, 200.0)
    assert core.positions[0]["quantity"] == 0
    assert core.equity() == 1_200.0


def test_notional_buys_no_more_than_it_says_at_the_fill_price() -> None:
    rows = instruments(instrument(increment=1_000_000))
    core = twin(rows=rows)
    place(core, BUY, 100.0, sizing=Sizing.NOTIONAL)
    flat(core, 0, 30.0)
    assert core.fills[0]["quantity"] == 333_000_000


def test_fee_tier_follows_the_thirty_days_before_and_changes_at_midnight() -> None:
    tiers = np.array([[0.0, 0.0, 0.0, 0.0025], [0.0, 1e5 * CASH, 0.0, 0.0022]])
    core = twin(tiers=tiers, fee_in_quote=True)
    day = 24 * 60
    for at in (0, 1, day, 40 * day):
        place(core, BUY, 1_000.0, at=at)
        flat(core, at, 100.0)
    assert list(core.fills["fee"]) == [250 * CASH, 250 * CASH, 220 * CASH, 250 * CASH]


def test_halt_rejects_what_arrives_and_lets_what_works_wait_or_cancels_it() -> None:
    halt = START_NS + MINUTE_NS
    rows = instruments(
        instrument(),
        instrument(from_ns=halt, trading=Trading.HALTED),
        instrument(from_ns=halt + MINUTE_NS),
    )
    for waits, status in ((True, Status.FILLED), (False, Status.CANCELLED)):
        core = twin(rows=rows, halt_waits=waits)
        old = place(core, BUY, 1.0, type=OrderType.LIMIT, limit=90.0)
        flat(core, 0, 100.0)
        new = place(core, BUY, 1.0, at=1)
        flat(core, 1, 80.0)
        assert len(core.fills) == 0
        flat(core, 2, 80.0)
        assert outcome(core, new) == (Status.REJECTED, Reason.HALTED)
        assert outcome(core, old)[0] == status


def test_delisting_closes_the_position_less_fee_and_haircut_and_says_so() -> None:
    rows = instruments(
        instrument(), instrument(from_ns=START_NS + MINUTE_NS, trading=Trading.DELISTED)
    )
    core = twin(rows=rows, cash=200.0, delisting_haircut=0.1)
    place(core)
    stop = place(core, SELL, 1.0, at=0, type=OrderType.STOP, stop=50.0)
    flat(core, 0, 100.0)
    core.advance(START_NS + MINUTE_NS)
    assert outcome(core, stop)[1] in (Reason.DELISTED, Reason.INSUFFICIENT_QUANTITY)
    assert outcome(core, 2) == (Status.FILLED, Reason.DELISTED)
    assert core.account[0]["cash"] == 190 * CASH


def test_rename_carries_position_and_orders_over() -> None:
    rows = instruments(
        instrument(0), instrument(0, START_NS + MINUTE_NS, renamed_to=1), instrument(1)
    )
    core = twin(rows=rows)
    place(core)
    bar(core, 0, (100.0, 100.0, 100.0, 100.0))
    late = place(core, SELL, 1.0, at=2)
    bar(core, 2, (120.0, 120.0, 120.0, 120.0), symbol=1)
    assert list(core.positions["quantity"]) == [0, BASE]
    assert outcome(core, late) == (Status.REJECTED, Reason.UNKNOWN_SYMBOL)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"symbol": 9}, Reason.UNKNOWN_SYMBOL),
        ({"symbol": -1}, Reason.UNKNOWN_SYMBOL),
        ({"amount": math.nan}, Reason.BAD_QUANTITY),
        ({"amount": math.inf}, Reason.BAD_QUANTITY),
        ({"amount": -math.inf}, Reason.BAD_QUANTITY),
        ({"amount": -1.0}, Reason.BAD_QUANTITY),
        ({"amount": 0.0}, Reason.BAD_QUANTITY),
        ({"amount": 1e300}, Reason.BAD_QUANTITY),
        ({"amount": 1e10}, Reason.BAD_QUANTITY),
        ({"amount": math.nan, "sizing": Sizing.NOTIONAL}, Reason.BAD_QUANTITY),
        ({"amount": 1e300, "sizing": Sizing.NOTIONAL}, Reason.BAD_QUANTITY),
        ({"amount": math.inf, "sizing": Sizing.TARGET}, Reason.BAD_QUANTITY),
        ({"amount": 1e300, "sizing": Sizing.TARGET}, Reason.BAD_QUANTITY),
        ({"amount": 1e-12}, Reason.BELOW_MINIMUM),
        ({"amount": 0.001}, Reason.BELOW_MINIMUM),
        ({"amount": 3_000.0}, Reason.ABOVE_CAP),
        ({"amount": 3.0, "side": SELL}, Reason.INSUFFICIENT_QUANTITY),
        ({"type": OrderType.LIMIT, "limit": math.nan}, Reason.BAD_PRICE),
        ({"type": OrderType.LIMIT, "limit": -1.0}, Reason.BAD_PRICE),
        ({"type": OrderType.STOP, "stop": math.inf}, Reason.BAD_PRICE),
        ({"type": OrderType.TRAILING_STOP, "trail": 0.0}, Reason.BAD_PRICE),
        ({"type": OrderType.LIMIT, "limit": 90.005}, Reason.OFF_INCREMENT),
        ({"stop_exit": -5.0}, Reason.BAD_PRICE),
        ({"type": OrderType.TRAILING_STOP, "trail": 1.0}, Reason.UNSUPPORTED),
        ({"type": 77}, Reason.UNSUPPORTED),
        ({"tif": 77}, Reason.UNSUPPORTED),
        ({"amount": 190.0, "type": OrderType.LIMIT, "limit": 99.0}, Reason.INSUFFICIENT_BALANCE),
    ],
)
def test_bad_order_is_rejected_with_its_reason(more: dict[str, Any], reason: Reason) -> None:
    rows = instruments(instrument(tick=0.01, minimum=1_000_000))
    offered = sc.ALL_TYPES & ~(1 << OrderType.TRAILING_STOP)
    core = holding(1.0, 100.0, rows=rows, cash=10_000.0, cap=200_000 * CASH, types_offered=offered)
    order = place(core, at=1, **{"side": BUY, "amount": 1.0, **more})
    flat(core, 1, 100.0)
    assert outcome(core, order) == (Status.REJECTED, reason)
    assert core.account[0]["rejects"] == 1
    assert len(core.fills) == 1


def assert_conserved(core: Twin) -> None:
    """M4: the fills give the account back to the last unit."""
    fills, account, positions = core.fills, core.account[0], core.positions
    moved = -fills["side"] * fills["value"]
    fee_cash = np.where(fills["fee_in_base"] == 0, fills["fee"], 0)
    assert core.start_units + int(moved.sum()) - int(fee_cash.sum()) == account["cash"]
    fee_base = np.where(fills["fee_in_base"] == 1, fills["fee"], 0)
    units = int((fills["side"] * fills["quantity"] - fee_base).sum())
    if len(set(positions["unit"])) == 1:
        assert units == int(positions["quantity"].sum())
    assert account["fees_cash"] == int(fee_cash.sum())
    assert account["fees_value"] == int(fills["fee_value"].sum())
    assert account["turnover"] == int(fills["value"].sum())
    assert account["cash"] + int(positions["cost"].sum()) == core.start_units + int(
        positions["realised"].sum()
    )


def assert_orders_add_up(core: Twin) -> None:
    """O2, O3: what is promised is what working orders promise, and nobody fills too much."""
    orders, fills = core.orders, core.fills
    filled = np.bincount(fills["order"], fills["quantity"], minlength=len(orders))
    assert np.array_equal(filled.astype(np.int64), orders["filled"])
    assert (orders["filled"] <= orders["quantity"]).all()
    buys = orders[orders["side"] == BUY]
    assert int(buys["promised"].sum()) == core.account[0]["promised"]
    assert (orders["promised"][orders["status"] >= Status.FILLED] == 0).all()
    if not core.state.terms.allow_short:
        assert core.account[0]["cash"] >= 0
        assert (core.positions["quantity"] >= core.positions["promised"]).all()


@settings(max_examples=40, deadline=None)
@given(sc.bar_scenarios)
def test_account_is_conserved_over_random_bars(scenario: sc.Scenario) -> None:
    core = Twin(scenario.symbols, scenario.instruments, scenario.terms, scenario.cash_units)
    sc.feed(core, scenario)
    assert_conserved(core)
    assert_orders_add_up(core)


@settings(max_examples=40, deadline=None)
@given(sc.tick_scenarios)
def test_account_is_conserved_over_random_quotes_trades_and_books(scenario: sc.Scenario) -> None:
    core = Twin(scenario.symbols, scenario.instruments, scenario.terms, scenario.cash_units)
    sc.feed(core, scenario)
    assert_conserved(core)
    assert_orders_add_up(core)
