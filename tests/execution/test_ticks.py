"""Rungs 3 and 4: each rule once with numbers by hand, conservation over random tapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.execution.layout import NONE, OrderType, Reason, Sizing, Status, TimeInForce
from tradelake.execution.terms import INSTRUMENT, Rung, Terms
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.tape import TICK, TickKind

UNIT = 1e-6
CASH = 10**13
"""100,000 in cash units."""
NAN = float("nan")


def terms(rung: int = Rung.QUOTES, *, entry_ns: int = 0, fee: float = 0.0, **changes) -> Terms:
    latency = np.zeros((3, 3), np.int64)
    latency[1, 1] = entry_ns
    values = {
        "rung": rung,
        "seed": 7,
        "allow_short": False,
        "fee_in_quote": False,
        "halt_waits": True,
        "types_offered": 31,
        "tifs_offered": 3,
        "cap": 0,
        "tiers": np.array([[0.0, 0.0, fee, fee]]),
        "latency": latency,
        "half_spread": 0.0,
        "slippage_kind": 0,
        "slippage": 0.0,
        "participation": 0.0,
        "touch": False,
        "beyond_top": False,
        "own_trades_stay": False,
        "queue_pro_rata": True,
        "partial_probability": 0.0,
        "impact_kind": 0,
        "impact": 0.0,
        "impact_power": 0.5,
        "impact_permanent": 0.0,
        "impact_half_life_ns": 0.0,
        "impact_window": 10,
        "delisting_haircut": 0.0,
    }
    return Terms(**(values | changes))


def listing(symbols: int = 1):
    rows = np.zeros(symbols, INSTRUMENT)
    rows["symbol"], rows["renamed_to"], rows["unit"] = np.arange(symbols), NONE, UNIT
    return rows


def quote(ts: int, bid: float, bid_size: float, ask: float, ask_size: float, symbol: int = 0):
    return (ts, symbol, TickKind.QUOTE, 0, bid, bid_size, ask, ask_size, -1)


def trade(ts: int, price: float, size: float, side: int = 0, symbol: int = 0):
    return (ts, symbol, TickKind.TRADE, side, price, size, 0.0, 0.0, -1)


def level(ts: int, side: int, price: float, size: float, kind: int = TickKind.LEVEL):
    return (ts, 0, kind, side, price, size, 0.0, 0.0, -1)


def tape(*rows):
    ticks = np.array(list(rows), TICK)
    for symbol in np.unique(ticks["symbol"]):
        newest = -1
        for row in np.flatnonzero(ticks["symbol"] == symbol):
            ticks["before"][row] = newest
            if ticks["kind"][row] == TickKind.TRADE:
                newest = row
    return ticks


class Venue:
    """A machine whose orders are placed between ticks."""

    def __init__(self, rules: Terms, *rows, symbols: int = 1) -> None:
        self.machine = TickMachine([f"S{n}" for n in range(symbols)], listing(symbols), rules, CASH)
        self.machine.load(tape(*rows))
        self.at = 0

    def to(self, event: int) -> Venue:
        self.machine.advance(self.at, event, stops=False)
        self.at = event
        return self

    def end(self) -> Venue:
        return self.to(len(self.machine.market.tape))

    def buy(self, amount: float, side: int = 1, now_ns: int | None = None, **said) -> int:
        now = self.now_ns if now_ns is None else now_ns
        return self.machine.place("S0", side, amount, now_ns=now, **said)

    @property
    def now_ns(self) -> int:
        return int(self.machine.market.tape["ts_ns"][self.at - 1]) if self.at else 0

    def fills(self) -> list[tuple[float, float, int, int]]:
        """Quantity in base units, price, maker and time of each fill."""
        rows = self.machine.fills
        return [
            (round(row["quantity"] * UNIT, 9), row["price"], int(row["maker"]), int(row["ts_ns"]))
            for row in rows
        ]

    def order(self, number: int):
        return self.machine.orders[number]


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


def test_a_taker_walks_the_book_and_what_it_took_is_gone_l1():
    rows = (
        level(10, 1, 99.0, 5.0, TickKind.PART),
        level(10, -1, 101.0, 2.0, TickKind.PART),
        level(10, -1, 100.0, 1.0),
        level(20, 1, 98.0, 5.0),
        level(30, -1, 100.0, 4.0),
    )
    venue = Venue(terms(Rung.BOOK), *rows)
    venue.to(3).buy(2.0)
    venue.to(4).buy(1.5)
    assert venue.end().fills() == [
        (1.0, 100.0, 0, 10),
        (1.0, 101.0, 0, 10),
        (1.0, 101.0, 0, 20),
        (0.5, 100.0, 0, 30),
    ]


def test_what_own_orders_took_stays_taken_when_the_terms_say_so_l1():
    rows = (
        level(10, 1, 99.0, 5.0, TickKind.PART),
        level(10, -1, 100.0, 2.0),
        level(20, -1, 100.0, 2.0),
        level(30, -1, 100.0, 2.0),
    )
    venue = Venue(terms(Rung.BOOK, own_trades_stay=True), *rows)
    venue.to(2).buy(1.5)
    venue.to(3).buy(1.5)
    assert [row[0] for row in venue.end().fills()] == [1.5, 0.5]


def test_nothing_is_matched_against_a_crossed_book_l1():
    rows = (
        level(10, 1, 99.0, 5.0, TickKind.PART),
        level(10, -1, 100.0, 2.0),
        level(20, 1, 100.0, 2.0),
        level(30, 1, 100.0, 0.0),
    )
    venue = Venue(terms(Rung.BOOK), *rows)
    venue.to(3).buy(1.0)
    assert venue.end().fills() == [(1.0, 100.0, 0, 30)]
    assert venue.machine.crossed("S0") == 1


def book_with_queue(*rows, **changes) -> Venue:
    opening = level(10, 1, 100.0, 100.0, TickKind.PART), level(10, -1, 101.0, 50.0)
    venue = Venue(terms(Rung.BOOK, **changes), *opening, *rows)
    venue.to(2).buy(20.0, kind=OrderType.LIMIT, limit=100.0)
    return venue


def test_the_queue_ahead_trades_first_l2():
    # The published case: 100 ahead; a sell of 80 leaves 20; a sell of 30 then fills 10.
    venue = book_with_queue(trade(20, 100.0, 80.0, -1), trade(30, 100.0, 30.0, -1))
    venue.to(3)
    assert venue.order(0)["ahead"] == 20.0
    assert venue.fills() == []
    assert venue.end().fills() == [(10.0, 100.0, 1, 30)]


def test_a_trade_through_fills_whole_l2():
    venue = book_with_queue(trade(20, 99.5, 1.0, -1))
    assert venue.end().fills() == [(20.0, 100.0, 1, 20)]


@pytest.mark.parametrize(("pro_rata", "ahead"), [(True, 70.0), (False, 70.0)])
def test_cancels_leave_no_more_ahead_than_the_level_shows_l2(pro_rata, ahead):
    venue = book_with_queue(level(20, 1, 100.0, 70.0), queue_pro_rata=pro_rata)
    assert venue.end().order(0)["ahead"] == pytest.approx(ahead)


@pytest.mark.parametrize(("pro_rata", "ahead"), [(True, 70.0), (False, 100.0)])
def test_cancels_shorten_the_queue_by_their_share_of_the_level_l2(pro_rata, ahead):
    rows = level(20, 1, 100.0, 200.0), level(30, 1, 100.0, 140.0)
    venue = book_with_queue(*rows, queue_pro_rata=pro_rata)
    assert venue.end().order(0)["ahead"] == pytest.approx(ahead)


def test_what_traded_is_no_cancel_l2():
    rows = (
        level(20, 1, 100.0, 200.0),
        trade(25, 100.0, 40.0, -1),
        level(30, 1, 100.0, 160.0),
    )
    assert book_with_queue(*rows).end().order(0)["ahead"] == pytest.approx(60.0)


def test_a_level_that_vanishes_leaves_nothing_ahead_l2():
    venue = book_with_queue(level(20, 1, 100.0, 0.0), trade(30, 100.0, 5.0, -1))
    assert venue.end().fills() == [(5.0, 100.0, 1, 30)]


@pytest.mark.parametrize("shown", [30.0, 160.0, 0.0])
def test_a_reset_puts_an_order_behind_all_that_its_snapshot_shows_l2(shown):
    rows = (
        level(20, 0, 0.0, 0.0, TickKind.RESET),
        trade(21, 100.0, 500.0, -1),
        level(22, 1, 100.0, shown, TickKind.PART),
        level(22, -1, 101.0, 9.0),
    )
    venue = book_with_queue(*rows).end()
    assert venue.order(0)["ahead"] == shown
    assert venue.fills() == []


def test_an_order_that_joins_inside_a_snapshot_is_behind_what_it_shows_l2():
    rows = level(20, 0, 0.0, 0.0, TickKind.RESET), level(30, 1, 99.0, 30.0, TickKind.PART)
    venue = book_with_queue(*rows, level(30, -1, 101.0, 9.0))
    venue.to(3).buy(1.0, kind=OrderType.LIMIT, limit=99.0)
    assert venue.end().order(1)["ahead"] == 30.0


@pytest.mark.parametrize("rung", [Rung.QUOTES, Rung.BOOK])
def test_nothing_is_taken_from_an_update_that_is_not_whole_l1(rung):
    opening = level(10, 1, 99.0, 5.0, TickKind.PART), level(10, -1, 101.0, 5.0)
    told = level(20, -1, 100.0, 5.0, TickKind.PART), level(40, -1, 101.0, 0.0)
    venue = Venue(terms(rung), *opening, *told)
    venue.to(3).buy(1.0)
    assert venue.end().fills() == [(1.0, 100.0, 0, 40)]


def test_a_quote_is_not_heeded_where_there_is_a_book_l1():
    opening = level(10, 1, 99.0, 5.0, TickKind.PART), level(10, -1, 101.0, 5.0)
    venue = Venue(terms(Rung.BOOK), *opening, quote(20, 89.0, 9.0, 90.0, 9.0))
    venue.to(3).buy(1.0)
    venue.machine.finish(30)
    assert venue.fills() == [(1.0, 101.0, 0, 20)]


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
