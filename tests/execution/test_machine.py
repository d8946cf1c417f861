"""The compiled core on bars: oracles of fees and costs, what fills when, conservation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from tests.execution.machines import machine, place, play, prices, statuses
from tests.execution.scenarios import MINUTE_NS, START_NS, bar_scenarios, instrument, instruments
from tests.execution.test_twin_agrees import Compiled, Scenario, feed
from tradelake.execution import draws
from tradelake.execution.layout import OrderType, Reason, Side, Status, TimeInForce
from tradelake.execution.terms import Trading

ALPACA_TIERS = np.array([[0.0, 0.0, 0.0015, 0.0025], [0.0, 1e5 * 1e8, 0.0012, 0.0022]])


def test_fee_is_taken_in_the_asset_received_when_a_taker_buys_and_sells() -> None:
    # 2 BTC at 40,000 as taker: 0.005 BTC; 2 BTC sold: 200 USD (Alpaca's fee page).
    made = machine((40_000.0,) * 4, (40_000.0,) * 4, tiers=ALPACA_TIERS[:1])
    place(made, amount=2.0)
    made.advance(0, 1)
    assert made.fills["fee"].tolist() == [500_000]  # of 1e-8 BTC
    assert made.state.positions["quantity"][0] == 199_500_000
    place(made, Side.SELL, 1.995)
    made.advance(1, 2)
    assert made.fills["fee"][1] == round(1.995 * 40_000 * 0.0025 * 1e8)


def test_maker_fee_is_charged_when_a_limit_rested() -> None:
    made = machine((41_000.0, 41_000.0, 39_000.0, 41_000.0), tiers=ALPACA_TIERS[:1])
    place(made, amount=2.0, kind=OrderType.LIMIT, limit=40_000.0)
    play(made)
    assert made.fills["maker"].tolist() == [1]
    assert made.fills["fee"].tolist() == [300_000]  # 0.003 BTC


def test_volume_share_slippage_cuts_and_worsens_a_fill() -> None:
    # zipline's published case: 100 ordered, volume 2,000, limit 2.5 %, impact .1, price 3.5.
    bar = (3.5, 3.5, 3.5, 3.5, 2_000.0)
    made = machine(bar, slippage_kind=1, slippage=0.1, participation=0.025)
    place(made, amount=100.0)
    play(made)
    assert made.fills["quantity"].tolist() == [50 * 10**8]
    assert prices(made) == [pytest.approx(3.50021875, abs=1e-12)]
    assert statuses(made) == [Status.WORKING]


def test_stop_fills_first_when_one_bar_reaches_stop_and_target() -> None:
    made = machine((100.0, 100.0, 100.0, 100.0), (100.0, 120.0, 80.0, 100.0))
    made.bracket("BTC/USD", 1, 1.0, now_ns=0, stop_loss=90.0, take_profit=110.0)
    play(made)
    assert prices(made) == [100.0, 90.0]
    assert statuses(made) == [Status.FILLED, Status.FILLED, Status.CANCELLED]
    assert made.orders["reason"][2] == Reason.OCO


def test_stop_fills_at_the_open_when_the_market_gaps_through_it() -> None:
    made = machine((100.0,) * 4, (80.0, 95.0, 70.0, 95.0))
    made.bracket("BTC/USD", 1, 1.0, now_ns=0, stop_loss=90.0, take_profit=110.0)
    play(made)
    assert prices(made) == [100.0, 80.0]


def test_stop_of_a_bracket_works_in_the_bar_whose_inside_filled_the_entry() -> None:
    made = machine((100.0, 120.0, 80.0, 100.0))
    made.bracket(
        "BTC/USD",
        1,
        1.0,
        now_ns=0,
        kind=OrderType.LIMIT,
        limit=95.0,
        stop_loss=90.0,
        take_profit=110.0,
    )
    play(made)
    assert prices(made) == [95.0, 90.0]


def test_target_waits_for_the_next_bar_when_the_entry_filled_inside() -> None:
    made = machine((100.0, 120.0, 92.0, 100.0), (100.0, 120.0, 100.0, 100.0))
    made.bracket(
        "BTC/USD",
        1,
        1.0,
        now_ns=0,
        kind=OrderType.LIMIT,
        limit=95.0,
        stop_loss=90.0,
        take_profit=110.0,
    )
    play(made)
    assert prices(made) == [95.0, 110.0]
    assert made.fills["event"].tolist() == [0, 1]


def test_limit_is_not_filled_when_it_is_only_touched_unless_touch_is_enough() -> None:
    for touch, filled in ((False, 0), (True, 1)):
        made = machine((100.0, 100.0, 95.0, 100.0), touch=touch)
        place(made, kind=OrderType.LIMIT, limit=95.0)
        play(made)
        assert len(made.fills) == filled


def test_limit_fills_at_the_open_as_a_taker_never_beyond_itself() -> None:
    made = machine((95.0, 100.0, 95.0, 100.0), half_spread=0.1)
    place(made, kind=OrderType.LIMIT, limit=97.0)
    play(made)
    assert (prices(made), made.fills["maker"].tolist()) == ([97.0], [0])


def test_stop_limit_fills_in_its_bar_only_when_the_close_reached_the_limit() -> None:
    for close, filled in ((104.0, 1), (106.0, 0)):
        made = machine((100.0, 107.0, 100.0, close))
        place(made, kind=OrderType.STOP_LIMIT, stop=103.0, limit=105.0)
        play(made)
        assert len(made.fills) == filled


def test_trailing_stop_does_not_fill_in_the_bar_that_raised_it() -> None:
    made = machine((100.0,) * 4, (100.0, 120.0, 100.0, 119.0), (119.0, 119.0, 90.0, 90.0))
    place(made)
    made.advance(0, 1)
    place(made, Side.SELL, kind=OrderType.TRAILING_STOP, trail=5.0)
    made.advance(1, 3, stops=False)
    assert prices(made) == [100.0, 115.0]


def test_order_waits_for_the_next_bar_when_it_arrives_inside_one() -> None:
    latency = np.zeros((3, 3), np.int64)
    latency[1] = 0, MINUTE_NS // 2, 0
    made = machine((100.0,) * 4, (101.0,) * 4, latency=latency)
    place(made)
    play(made)
    assert prices(made) == [101.0]


def test_rest_waits_for_the_next_bar_unless_it_is_ioc() -> None:
    for tif, filled in ((TimeInForce.GTC, 2), (TimeInForce.IOC, 1)):
        made = machine(
            (10.0, 10.0, 10.0, 10.0, 100.0), (11.0, 11.0, 11.0, 11.0, 100.0), participation=0.1
        )
        place(made, amount=15.0, tif=tif)
        play(made)
        assert len(made.fills) == filled
        assert statuses(made) == [Status.FILLED if filled == 2 else Status.CANCELLED]


def test_position_is_closed_at_the_last_price_less_haircut_when_delisted() -> None:
    gone = START_NS // MINUTE_NS * MINUTE_NS + 90_000_000_000
    rows = instruments(instrument(), instrument(from_ns=gone, trading=int(Trading.DELISTED)))
    made = machine((100.0,) * 4, (120.0,) * 4, rows=rows, delisting_haircut=0.25)
    place(made)
    play(made)
    made.finish(gone + MINUTE_NS)
    assert prices(made) == [100.0, 90.0]
    assert made.orders["reason"].tolist() == [0, Reason.DELISTED]


def test_fee_tier_follows_the_notional_of_the_thirty_days_before() -> None:
    day = 1440
    flat = (100.0,) * 4
    made = machine(*[flat] * (31 * day + 2), cash=10_000_000.0, tiers=ALPACA_TIERS)
    rates = []
    for bar in (0, 1, day, 31 * day):
        made.advance(bar and 1, bar, stops=False)
        made.place("BTC/USD", 1, 1_000.0, now_ns=int(made.bars["open_ns"][bar]))
        made.advance(bar, bar + 1)
        rates.append(made.fills["fee"][-1] / made.fills["quantity"][-1])
    assert rates == pytest.approx([0.0025, 0.0025, 0.0022, 0.0022])


def test_fill_that_crosses_flat_is_booked_as_two() -> None:
    made = machine((100.0,) * 4, (100.0,) * 4, allow_short=True, tiers=ALPACA_TIERS[:1])
    place(made, Side.SELL, 1.0)
    made.advance(0, 1)
    made.place("BTC/USD", 1, 3.0, now_ns=0)
    made.advance(1, 2)
    assert len(made.fills) == 3
    closing = made.fills["quantity"][1] - made.fills["fee"][1]
    assert closing == 10**8
    assert made.state.positions["cost"][0] == made.fills["value"][2]


def test_next_change_names_the_bar_that_fills_and_touches_nothing() -> None:
    made = machine(*[(100.0, 101.0, 99.0, 100.0)] * 50, (100.0, 100.0, 80.0, 90.0))
    place(made, kind=OrderType.LIMIT, limit=90.0)
    made.advance(0, 1)
    assert made.next_change(1, 51) == 50
    assert made.orders["status"].tolist() == [Status.WORKING]
    assert made.advance(1, 51) == 51
    assert made.fills["event"].tolist() == [50]


def test_draws_are_those_of_splitmix64() -> None:
    # First output for seed 0 of the reference implementation (Vigna, splitmix64.c).
    assert int(draws.mix(np.uint64(0))) == 0xE220A8397B1DCDAF


@settings(deadline=None, max_examples=100)
@given(bar_scenarios)
def test_value_is_conserved_to_the_last_unit_in_any_scenario(scenario: Scenario) -> None:
    compiled = Compiled(scenario)
    feed(compiled, scenario)
    state, fills = compiled.machine.state, compiled.machine.fills
    cash_fees = np.where(fills["fee_in_base"] == 1, 0, fills["fee"])
    moved = int((-fills["side"] * fills["value"] - cash_fees).sum())
    assert scenario.cash_units + moved == state.account["cash"][0]
    base_fees = np.where(fills["fee_in_base"] == 1, fills["fee"], 0)
    units = (fills["side"] * fills["quantity"] - base_fees).sum()
    assert units == state.positions["quantity"].sum()
    costs = int(state.positions["cost"].sum())
    realised = int(state.positions["realised"].sum())
    assert state.account["cash"][0] + costs == scenario.cash_units + realised
    assert realised == fills["realised"].sum()
    if not scenario.terms.allow_short:
        assert state.account["cash"][0] >= 0
        assert (state.positions["quantity"] >= 0).all()
    flat = compiled.machine.working()
    assert state.account["promised"][0] == flat["promised"][flat["side"] == 1].sum()
    assert state.positions["promised"].sum() == flat["promised"][flat["side"] == -1].sum()


@settings(deadline=None, max_examples=30)
@given(bar_scenarios)
def test_run_is_the_same_when_it_is_repeated(scenario: Scenario) -> None:
    first, second = Compiled(scenario), Compiled(scenario)
    feed(first, scenario)
    feed(second, scenario)
    np.testing.assert_array_equal(first.machine.fills, second.machine.fills)
