"""The compiled core: oracles of fees and costs, the rules of orders and bars, conservation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.execution.scenarios import (
    MINUTE_NS,
    NAN,
    START_NS,
    bar_scenarios,
    instrument,
    instruments,
    terms,
)
from tests.execution.test_twin_agrees import Compiled, Scenario, feed
from tradelake.errors import InvalidData
from tradelake.execution import draws
from tradelake.execution.clock import merged
from tradelake.execution.layout import OrderType, Reason, Side, Sizing, Status, TimeInForce
from tradelake.execution.machine import Machine
from tradelake.execution.terms import Trading
from tradelake.market.arrays import BarArrays

ALPACA_TIERS = np.array([[0.0, 0.0, 0.0015, 0.0025], [0.0, 1e5 * 1e8, 0.0012, 0.0022]])
HALT = int(Trading.HALTED)


def machine(
    *bars: tuple[float, ...], cash: float = 100_000.0, rows: Any = None, **changes: Any
) -> Machine:
    """A venue with bars of one symbol: open, high, low, close and, where it matters, volume."""
    table = np.array([bar if len(bar) == 5 else (*bar, 1_000.0) for bar in bars])
    made = Machine(
        ["BTC/USD"],
        instruments() if rows is None else rows,
        terms(**changes),
        round(cash * 1e8),
    )
    opens = START_NS // MINUTE_NS * MINUTE_NS + np.arange(len(bars)) * MINUTE_NS
    made.load(merged([BarArrays("BTC/USD", "1m", opens, *table.T)]))
    return made


def place(made: Machine, side: int = Side.BUY, amount: float = 1.0, **order: Any) -> int:
    return made.place("BTC/USD", side, amount, now_ns=START_NS // MINUTE_NS * MINUTE_NS, **order)


def play(made: Machine) -> Machine:
    made.advance(0, len(made.bars), stops=False)
    return made


def prices(made: Machine) -> list[float]:
    return made.fills["price"].tolist()


def statuses(made: Machine) -> list[int]:
    return made.orders["status"].tolist()


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


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"amount": NAN}, Reason.BAD_QUANTITY),
        ({"amount": -1.0}, Reason.BAD_QUANTITY),
        ({"kind": OrderType.LIMIT, "limit": -5.0}, Reason.BAD_PRICE),
        ({"kind": OrderType.LIMIT, "limit": 10.005}, Reason.OFF_INCREMENT),
        ({"amount": 1e-7}, Reason.BELOW_MINIMUM),
        ({"amount": 3_000.0, "kind": OrderType.LIMIT, "limit": 100.0}, Reason.ABOVE_CAP),
        ({"side": Side.SELL}, Reason.INSUFFICIENT_QUANTITY),
        ({"amount": 1_500.0, "kind": OrderType.LIMIT, "limit": 100.0}, Reason.INSUFFICIENT_BALANCE),
        ({"kind": OrderType.STOP, "stop": 110.0}, Reason.UNSUPPORTED),
    ],
)
def test_order_is_rejected_with_its_reason_when_a_check_fails(order, reason) -> None:
    rows = instruments(instrument(tick=0.01, minimum=1_000))
    offered = 0b01011
    made = machine((100.0,) * 4, rows=rows, cap=200_000 * 10**8, types_offered=offered)
    place(made, **order)
    play(made)
    assert made.orders["reason"].tolist() == [reason]
    assert statuses(made) == [Status.REJECTED]
    assert made.state.account["rejects"][0] == 1


@pytest.mark.parametrize(
    ("allow_short", "statuses_then"),
    [(False, [Status.FILLED, Status.FILLED]), (True, [Status.FILLED, Status.REJECTED])],
)
def test_who_sells_what_is_held_is_not_asked_for_the_least_value(
    allow_short, statuses_then
) -> None:
    rows = instruments(instrument(minimum_value=10 * 10**8))
    made = machine(*[(100.0,) * 4] * 2, rows=rows, allow_short=allow_short)
    place(made, amount=1.0)
    made.advance(0, 1)
    made.place("BTC/USD", Side.SELL, 0.01, now_ns=int(made.bars["close_ns"][0]))
    made.advance(1, 2)
    assert statuses(made) == statuses_then


@pytest.mark.parametrize("price", [1e300, 1e18, 5e-324])
def test_a_price_that_nobody_could_mean_is_rejected(price) -> None:
    made = machine((100.0,) * 4)
    place(made, kind=OrderType.LIMIT, limit=price)
    made.bracket("BTC/USD", 1, 1.0, now_ns=0, stop_loss=90.0, take_profit=price)
    play(made)
    assert made.orders["reason"][:2].tolist() == [Reason.BAD_PRICE] * 2
    assert len(made.fills) == 0


def test_an_exit_that_is_worth_more_than_fits_an_integer_ends_unfilled() -> None:
    # Every fill is cut: what the open leaves of the exit would fill inside the bar at its limit.
    made = machine((100.0, 100.0, 99.0, 100.0), allow_short=True, partial_probability=1.0)
    made.bracket("BTC/USD", -1, 1.5, now_ns=0, take_profit=1e14)
    play(made)
    assert made.orders["reason"].tolist() == [0, Reason.BAD_QUANTITY]
    assert prices(made) == [100.0, 100.0]


def test_an_exit_with_nothing_to_close_waits_for_more_when_its_stop_is_reached() -> None:
    # 3 of 10 are bought and sold at the target; the stop has nothing until the other 7 are bought.
    bars = (100.0, 100.0, 100.0, 100.0, 30.0), (112.0, 112.0, 85.0, 90.0, 1_000.0)
    made = machine(*bars, participation=0.1)
    entry = {"kind": OrderType.LIMIT, "limit": 100.0}
    made.bracket("BTC/USD", 1, 10.0, now_ns=0, stop_loss=90.0, take_profit=110.0, **entry)
    play(made)
    sold = made.fills["side"] * made.fills["quantity"] // 10**8
    assert list(zip(sold.tolist(), prices(made), strict=True)) == [
        (3, 100.0),
        (-3, 112.0),
        (7, 100.0),
        (-7, 90.0),
    ]


def test_an_exit_with_nothing_to_close_does_nothing_when_its_entry_does_not_fill() -> None:
    bars = (100.0, 100.0, 100.0, 100.0, 30.0), (112.0, 130.0, 111.0, 112.0, 1_000.0)
    made = machine(*bars, (112.0,) * 4, participation=0.1, allow_short=True)
    entry = {"kind": OrderType.LIMIT, "limit": 100.0}
    made.bracket("BTC/USD", 1, 10.0, now_ns=0, stop_loss=90.0, take_profit=110.0, **entry)
    play(made)
    assert made.fills["side"].tolist() == [1, -1]
    assert made.state.positions["quantity"][0] == 0
    assert statuses(made) == [Status.WORKING] * 3


@pytest.mark.parametrize("wraps", [256, -256, 2**32, -(2**40)])
@pytest.mark.parametrize("code", ["side", "kind", "tif", "sizing"])
def test_a_code_too_wide_for_a_row_is_no_code(code: str, wraps: int) -> None:
    made = machine((100.0,) * 4)
    order = {"side": 1, "kind": 1, "tif": 0, "sizing": 0, "limit": 90.0}
    place(made, **(order | {code: int(order[code]) + wraps}))
    play(made)
    assert statuses(made) == [Status.REJECTED]


def test_unknown_symbol_is_rejected() -> None:
    made = machine((100.0,) * 4)
    made.place("DOGE/USD", 1, 1.0, now_ns=0)
    play(made)
    assert made.orders["reason"].tolist() == [Reason.UNKNOWN_SYMBOL]


def test_market_buy_is_cut_when_the_cash_does_not_suffice() -> None:
    made = machine((100.0,) * 4, cash=250.0)
    place(made, amount=3.0)
    play(made)
    assert made.fills["quantity"].tolist() == [250_000_000]
    assert made.orders["reason"].tolist() == [Reason.INSUFFICIENT_BALANCE]
    assert made.state.account["cash"][0] == 0


def test_cancel_ends_both_exits_when_one_is_cancelled() -> None:
    made = machine((100.0,) * 4, (100.0,) * 4)
    entry = made.bracket("BTC/USD", 1, 1.0, now_ns=0, stop_loss=90.0, take_profit=110.0)
    made.advance(0, 1)
    assert made.cancel(entry + 1, now_ns=int(made.bars["close_ns"][0]))
    made.advance(1, 2)
    assert made.orders["reason"].tolist() == [0, Reason.BY_STRATEGY, Reason.OCO]
    assert made.state.positions["promised"][0] == 0


def test_replacement_takes_the_exits_place_in_its_group() -> None:
    made = machine((100.0,) * 4, (100.0, 111.0, 100.0, 111.0))
    entry = made.bracket("BTC/USD", 1, 1.0, now_ns=0, stop_loss=90.0, take_profit=130.0)
    made.advance(0, 1)
    new = made.replace(entry + 2, now_ns=int(made.bars["close_ns"][0]), limit=110.0)
    made.advance(1, 2, stops=False)
    assert prices(made) == [100.0, 110.0]
    assert made.orders["status"].tolist() == [3, Status.CANCELLED, Status.CANCELLED, Status.FILLED]
    assert made.orders["reason"][entry + 2] == Reason.REPLACED
    assert made.orders["replaces"][new] == entry + 2


def test_working_order_waits_and_new_one_is_rejected_when_trading_is_halted() -> None:
    start = START_NS // MINUTE_NS * MINUTE_NS
    rows = instruments(
        instrument(),
        instrument(from_ns=start + MINUTE_NS, trading=HALT),
        instrument(from_ns=start + 2 * MINUTE_NS),
    )
    made = machine((100.0,) * 4, (90.0,) * 4, (90.0,) * 4, rows=rows)
    place(made, kind=OrderType.LIMIT, limit=95.0)
    made.advance(0, 1)
    made.place("BTC/USD", 1, 1.0, now_ns=start + MINUTE_NS)
    made.advance(1, 3, stops=False)
    assert made.fills["event"].tolist() == [2]
    assert made.orders["reason"].tolist() == [0, Reason.HALTED]


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


def test_target_buys_the_fraction_of_equity_that_it_names() -> None:
    made = machine((100.0,) * 4, (200.0,) * 4, cash=10_000.0)
    place(made, amount=0.5, sizing=Sizing.TARGET)
    made.advance(0, 1)
    assert made.state.positions["quantity"][0] == 50 * 10**8
    made.place("BTC/USD", 1, 0.5, now_ns=0, sizing=Sizing.TARGET)
    made.advance(1, 2)  # equity 15,000: 7,500 is 37.5
    assert made.state.positions["quantity"][0] == 37_5 * 10**7


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


def test_room_grows_when_many_orders_are_sent() -> None:
    made = machine(*[(100.0, 100.0, 99.0, 100.0)] * 3, cash=1e9)
    for number in range(2_000):
        place(made, kind=OrderType.LIMIT, limit=50.0 + number / 100.0)
    place(made)
    play(made)
    assert (len(made.orders), len(made.fills)) == (2_001, 1)


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


@pytest.mark.parametrize("sizing", [Sizing.TARGET, Sizing.NOTIONAL])
def test_an_order_is_sized_to_what_63_bits_hold_when_the_price_has_crashed(sizing: Sizing) -> None:
    # As LUNA in May 2022: from 119 to 0.000001, where 100,000 buy 10^20 units of 10^-9.
    made = machine((119.0,) * 4, (1e-6,) * 4, (1e-6,) * 4)
    made.advance(0, 1)
    made.place("BTC/USD", 1, 1.0 if sizing == Sizing.TARGET else 1e5, now_ns=0, sizing=sizing)
    made.advance(1, 3)
    filled = int(made.fills["quantity"].sum())
    assert 0 < filled <= 4 * 10**18
    assert made.state.account["cash"][0] == round(100_000.0 * 1e8) - made.fills["value"].sum()
    assert made.state.account["cash"][0] >= 0


def test_nothing_is_bought_when_one_unit_is_worth_more_than_63_bits_hold() -> None:
    made = machine((1e300,) * 4)
    place(made, amount=1.0, sizing=Sizing.TARGET)
    play(made)
    assert not len(made.fills)
    assert statuses(made) == [Status.REJECTED]


def test_orders_and_bars_that_do_not_exist_are_refused_when_they_are_named() -> None:
    made = machine((100.0,) * 4)
    assert not made.cancel(7, now_ns=0)
    assert not made.cancel(-1, now_ns=0)
    with pytest.raises(InvalidData, match="id of an order"):
        made.replace(7, now_ns=0, limit=1.0)
    with pytest.raises(InvalidData, match="inputs in 0 to 1"):
        made.advance(0, 2)
    with pytest.raises(InvalidData, match="inputs in 0 to 1"):
        made.next_change(-1, 1)
