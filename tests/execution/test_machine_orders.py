"""Orders at the compiled core: what is rejected, cut, cancelled and replaced, and why."""

from __future__ import annotations

import pytest

from tests.execution.machines import machine, place, play, prices, statuses
from tests.execution.scenarios import MINUTE_NS, NAN, START_NS, instrument, instruments
from tradelake.errors import InvalidData
from tradelake.execution.layout import OrderType, Reason, Side, Sizing, Status
from tradelake.execution.terms import Trading

HALT = int(Trading.HALTED)


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


def test_target_buys_the_fraction_of_equity_that_it_names() -> None:
    made = machine((100.0,) * 4, (200.0,) * 4, cash=10_000.0)
    place(made, amount=0.5, sizing=Sizing.TARGET)
    made.advance(0, 1)
    assert made.state.positions["quantity"][0] == 50 * 10**8
    made.place("BTC/USD", 1, 0.5, now_ns=0, sizing=Sizing.TARGET)
    made.advance(1, 2)  # equity 15,000: 7,500 is 37.5
    assert made.state.positions["quantity"][0] == 37_5 * 10**7


def test_room_grows_when_many_orders_are_sent() -> None:
    made = machine(*[(100.0, 100.0, 99.0, 100.0)] * 3, cash=1e9)
    for number in range(2_000):
        place(made, kind=OrderType.LIMIT, limit=50.0 + number / 100.0)
    place(made)
    play(made)
    assert (len(made.orders), len(made.fills)) == (2_001, 1)


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
