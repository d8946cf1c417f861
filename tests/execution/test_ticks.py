"""The compiled core on quotes and trades, rule by rule, and conservation on random tapes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.tick_venue import CASH, Venue, level, quote, terms, trade
from tradelake.execution.layout import OrderType, Reason, Sizing, Status, TimeInForce
from tradelake.execution.terms import Rung


def test_a_market_order_takes_the_displayed_size_and_waits_for_the_next_quote_q1():
    venue = Venue(terms(), quote(10, 99.0, 5.0, 100.0, 2.0), quote(20, 99.0, 5.0, 101.0, 5.0))
    venue.to(1).buy(3.0)
    venue.end()
    assert venue.fills() == [(2.0, 100.0, 0, 10), (1.0, 101.0, 0, 20)]
    assert venue.order(0)["status"] == Status.FILLED


def test_a_market_order_fills_whole_at_the_top_when_beyond_top_q1():
    venue = Venue(terms(beyond_top=True), quote(10, 99.0, 5.0, 100.0, 2.0), trade(20, 99.5, 1.0))
    venue.to(1).buy(3.0)
    assert venue.end().fills() == [(3.0, 100.0, 0, 10)]


def test_two_orders_share_what_a_quote_displays_q1():
    venue = Venue(terms(), quote(10, 99.0, 5.0, 100.0, 2.0), trade(20, 99.5, 1.0))
    venue.to(1)
    venue.buy(1.5)
    venue.buy(1.5)
    assert venue.end().fills() == [(1.5, 100.0, 0, 10), (0.5, 100.0, 0, 10)]


def test_an_order_arrives_between_ticks_when_entry_takes_time_t2():
    rows = quote(10, 99.0, 5.0, 100.0, 5.0), quote(14, 99.0, 5.0, 102.0, 5.0), trade(30, 99.0, 1.0)
    venue = Venue(terms(entry_ns=5), *rows)
    venue.to(1).buy(1.0)
    assert venue.end().fills() == [(1.0, 102.0, 0, 15)]


def test_a_cancel_comes_too_late_when_it_travels_longer_than_the_fill_t2():
    rows = (
        quote(10, 99.0, 5.0, 101.0, 5.0),
        quote(20, 99.0, 5.0, 101.0, 5.0),
        trade(22, 99.5, 9.0, -1),
        trade(40, 99.5, 9.0, -1),
    )
    venue = Venue(terms(entry_ns=5), *rows)
    order = venue.to(1).buy(1.0, kind=OrderType.LIMIT, limit=100.0)
    venue.to(2)
    assert venue.machine.cancel(order, now_ns=20)
    assert venue.end().fills() == [(1.0, 100.0, 1, 22)]
    assert venue.order(order)["status"] == Status.FILLED


def test_a_replace_moves_a_limit_when_it_arrives_o4():
    rows = (
        quote(10, 98.0, 5.0, 101.0, 5.0),
        trade(20, 99.5, 9.0, -1),
        trade(30, 98.0, 9.0, -1),
    )
    venue = Venue(terms(), *rows)
    first = venue.to(1).buy(1.0, kind=OrderType.LIMIT, limit=99.0)
    venue.to(2)
    second = venue.machine.replace(first, now_ns=20, limit=98.5)
    assert venue.end().fills() == [(1.0, 98.5, 1, 30)]
    assert venue.order(first)["reason"] == Reason.REPLACED
    assert venue.order(second)["status"] == Status.FILLED


def test_a_marketable_limit_takes_and_its_rest_makes_q1_q2():
    venue = Venue(terms(), quote(10, 99.0, 5.0, 100.0, 2.0), quote(20, 99.0, 5.0, 99.5, 5.0))
    venue.to(1).buy(3.0, kind=OrderType.LIMIT, limit=100.0)
    assert venue.end().fills() == [(2.0, 100.0, 0, 10), (1.0, 100.0, 1, 20)]


def test_a_resting_limit_fills_up_to_the_size_of_a_trade_through_it_q2():
    rows = quote(10, 99.0, 5.0, 101.0, 5.0), trade(20, 99.9, 0.4, -1), trade(30, 99.9, 9.0, -1)
    venue = Venue(terms(), *rows)
    venue.to(1).buy(1.0, kind=OrderType.LIMIT, limit=100.0)
    assert venue.end().fills() == [(0.4, 100.0, 1, 20), (0.6, 100.0, 1, 30)]


@pytest.mark.parametrize(("touch", "filled"), [(False, []), (True, [(1.0, 100.0, 1, 20)])])
def test_a_trade_at_the_limit_fills_only_when_a_touch_does_q2(touch, filled):
    venue = Venue(terms(touch=touch), quote(10, 99.0, 5.0, 101.0, 5.0), trade(20, 100.0, 3.0, -1))
    venue.to(1).buy(1.0, kind=OrderType.LIMIT, limit=100.0)
    assert venue.end().fills() == filled


def test_a_trade_whose_taker_bought_fills_no_bid_q2():
    venue = Venue(terms(), quote(10, 99.0, 5.0, 101.0, 5.0), trade(20, 99.0, 3.0, 1))
    venue.to(1).buy(1.0, kind=OrderType.LIMIT, limit=100.0)
    assert venue.end().fills() == []


def test_a_stop_triggers_on_the_last_trade_and_takes_the_bid_q3():
    rows = (
        quote(10, 99.0, 5.0, 100.0, 5.0),
        trade(15, 99.5, 1.0),
        quote(20, 90.0, 5.0, 91.0, 5.0),
        trade(30, 95.0, 1.0),
        trade(40, 94.0, 1.0),
    )
    venue = Venue(terms(), *rows)
    venue.to(1).buy(1.0)
    venue.to(2).buy(1.0, -1, kind=OrderType.STOP, stop=95.0)
    assert venue.end().fills() == [(1.0, 100.0, 0, 10), (1.0, 90.0, 0, 30)]


def test_a_stop_triggers_on_the_bid_when_there_are_no_trades_q3():
    rows = (
        quote(10, 99.0, 5.0, 100.0, 5.0),
        quote(20, 99.0, 5.0, 100.0, 5.0),
        quote(30, 94.0, 5.0, 96.0, 5.0),
    )
    venue = Venue(terms(), *rows)
    venue.to(1).buy(1.0)
    venue.to(2).buy(1.0, -1, kind=OrderType.STOP, stop=95.0)
    assert venue.end().fills() == [(1.0, 100.0, 0, 10), (1.0, 94.0, 0, 30)]


def test_a_trailing_stop_follows_the_last_trade_o5():
    rows = (
        quote(10, 99.0, 5.0, 100.0, 5.0),
        trade(20, 100.0, 1.0),
        trade(30, 110.0, 1.0),
        trade(40, 105.5, 1.0),
        quote(45, 104.0, 5.0, 106.0, 5.0),
        trade(50, 105.0, 1.0),
    )
    venue = Venue(terms(), *rows)
    venue.to(1).buy(1.0)
    venue.to(2).buy(1.0, -1, kind=OrderType.TRAILING_STOP, trail=5.0)
    venue.to(5)
    assert venue.order(1)["stop"] == 105.0
    assert venue.end().fills()[1:] == [(1.0, 104.0, 0, 50)]


def test_an_ioc_order_drops_what_the_quote_does_not_show_o1():
    venue = Venue(terms(), quote(10, 99.0, 5.0, 100.0, 2.0), quote(20, 99.0, 5.0, 100.0, 2.0))
    venue.to(1).buy(3.0, tif=TimeInForce.IOC)
    assert venue.end().fills() == [(2.0, 100.0, 0, 10)]
    assert venue.order(0)["reason"] == Reason.IOC_REST


def test_a_target_buys_at_the_ask_and_sells_at_the_bid_q1():
    rows = quote(10, 100.0, 5e3, 100.0 + 25.0, 5e3), quote(20, 120.0, 5e3, 125.0, 5e3)
    venue = Venue(terms(), *rows, trade(30, 120.0, 1.0))
    venue.to(1).buy(0.5, sizing=Sizing.TARGET)
    venue.to(2).buy(0.0, sizing=Sizing.TARGET)
    assert venue.end().fills() == [(400.0, 125.0, 0, 10), (400.0, 120.0, 0, 20)]


def test_a_taker_fills_at_the_next_trade_when_there_are_no_quotes_q1():
    venue = Venue(terms(), trade(10, 99.0, 1.0), trade(20, 100.0, 2.0), trade(30, 101.0, 2.0))
    venue.to(1).buy(3.0)
    assert venue.end().fills() == [(2.0, 100.0, 0, 20), (1.0, 101.0, 0, 30)]


def test_a_bracket_works_from_its_entry_on_o3():
    rows = (
        quote(10, 99.0, 5.0, 100.0, 5.0),
        trade(20, 100.0, 1.0),
        quote(30, 103.0, 5.0, 104.0, 5.0),
        trade(40, 90.0, 1.0),
    )
    venue = Venue(terms(), *rows)
    venue.to(1)
    venue.machine.bracket("S0", 1, 1.0, now_ns=10, stop_loss=95.0, take_profit=103.0)
    assert venue.end().fills() == [(1.0, 100.0, 0, 10), (1.0, 103.0, 1, 30)]
    assert venue.order(1)["reason"] == Reason.OCO


def test_slippage_worsens_a_taker_and_half_spread_does_not_q1():
    venue = Venue(
        terms(slippage=0.001, half_spread=0.01), quote(10, 99.0, 5.0, 100.0, 5.0), trade(20, 99, 1)
    )
    venue.to(1).buy(1.0)
    (quantity, price, _, _), *_ = venue.end().fills()
    assert (quantity, price) == (1.0, pytest.approx(100.1))


def test_a_taker_gets_no_more_than_the_trade_where_nothing_is_displayed_q1():
    venue = Venue(terms(beyond_top=True), trade(10, 100.0, 9.0), trade(20, 100.0, 2.0))
    venue.to(1).buy(5.0)
    assert venue.end().fills() == [(2.0, 100.0, 0, 20)]


def test_a_position_is_marked_at_its_first_fill_where_only_one_side_is_displayed_q3():
    venue = Venue(terms(), quote(10, 0.0, 0.0, 100.0, 5.0), quote(20, 0.0, 0.0, 101.0, 5.0))
    venue.to(1).buy(1.0)
    assert venue.end().machine.state.positions["price"][0] == 100.0


def test_a_cancel_of_an_exit_comes_before_its_entry_takes_t4():
    venue = Venue(terms(), *[quote(ts, 99.0, 5.0, 100.0, 5.0) for ts in (10, 20)])
    venue.to(1)
    entry = venue.machine.bracket("S0", 1, 1.0, now_ns=10, stop_loss=90.0, take_profit=110.0)
    venue.machine.cancel(entry + 1, now_ns=10)
    venue.end()
    assert venue.machine.orders["quantity"].tolist() == [10**6, 0, 0]
    assert venue.machine.orders["reason"].tolist() == [0, Reason.BY_STRATEGY, Reason.OCO]


KINDS = st.sampled_from(["quote", "trade", "level"])


@st.composite
def tapes(draw):
    rows, ts = [], 0
    for _ in range(draw(st.integers(5, 40))):
        ts += draw(st.integers(0, 3))
        middle = 100.0 + draw(st.integers(-8, 8)) / 4
        size = draw(st.integers(1, 40)) / 10
        kind = draw(KINDS)
        if kind == "quote":
            rows.append(quote(ts, middle - 0.5, size, middle + 0.5, size))
        elif kind == "trade":
            rows.append(trade(ts, middle, size, draw(st.sampled_from([-1, 0, 1]))))
        else:
            side = draw(st.sampled_from([-1, 1]))
            rows.append(level(ts, side, middle, draw(st.sampled_from([0.0, size]))))
    return rows


@settings(max_examples=60, deadline=None)
@given(tapes(), st.data(), st.sampled_from([Rung.QUOTES, Rung.BOOK]), st.booleans())
def test_every_unit_is_accounted_for_on_random_tapes_m4(rows, data, rung, in_quote):
    rules = terms(rung, fee=0.0025, fee_in_quote=in_quote, entry_ns=1, partial_probability=0.2)
    venue = Venue(rules, *rows)
    for event in range(1, len(rows)):
        venue.to(event)
        if data.draw(st.booleans()):
            kind = data.draw(st.sampled_from(list(OrderType)))
            price = 100.0 + data.draw(st.integers(-8, 8)) / 4
            side = data.draw(st.sampled_from([1, 1, -1]))
            venue.buy(1.5, side, kind=kind, limit=price, stop=price, trail=0.5)
    venue.end()
    fills, account = venue.machine.fills, venue.machine.state.account[0]
    position = venue.machine.state.positions[0]
    in_base = fills["fee_in_base"] == 1
    held = (fills["side"] * fills["quantity"]).sum() - fills["fee"][in_base].sum()
    paid = (fills["side"] * fills["value"]).sum() + fills["fee"][~in_base].sum()
    assert position["quantity"] == held
    assert account["cash"] == CASH - paid
    assert account["cash"] + position["cost"] == CASH + position["realised"]
    assert (fills["quantity"] > 0).all()
