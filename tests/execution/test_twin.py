"""The rules of docs/explanation/matching.md one by one, with numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.execution import scenarios as sc
from tests.execution.scenarios import MINUTE_NS, START_NS, instrument, instruments, terms
from tradelake.execution.layout import (
    OrderType,
    Reason,
    Side,
    Sizing,
    Status,
    TimeInForce,
)
from tradelake.execution.terms import Draw, Impact, Rung, Slippage, Trading
from tradelake.execution.twin import Twin
from tradelake.execution.twin import draws as twin_draws

BUY, SELL = int(Side.BUY), int(Side.SELL)
CASH = 10**8
BASE = 10**8
"""Units in one of the base asset, of the instrument the tests use."""
FEES = np.array([[0.0, 0.0, 0.0015, 0.0025]])


def twin(cash: float = 1_000_000.0, rows: Any = None, **changes: Any) -> Twin:
    rows = instruments() if rows is None else rows
    names = [f"S{number}" for number in range(int(rows["symbol"].max()) + 1)]
    return Twin(names, rows, terms(**changes), round(cash * CASH))


def place(core: Twin, side: int = BUY, amount: float = 1.0, at: int = 0, **more: Any) -> int:
    arguments = {"type": OrderType.MARKET, "tif": TimeInForce.GTC, "sizing": Sizing.QUANTITY}
    arguments.update(more)
    symbol = arguments.pop("symbol", 0)
    return core.place(START_NS + at * MINUTE_NS, symbol, side, amount=amount, **arguments)


def bar(
    core: Twin,
    at: int,
    prices: tuple[float, float, float, float],
    volume: float = 1e6,
    symbol: int = 0,
) -> None:
    open_ns = START_NS + at * MINUTE_NS
    core.bar(symbol, open_ns, open_ns + MINUTE_NS, *prices, volume, at)


def flat(core: Twin, at: int, price: float, volume: float = 1e6) -> None:
    bar(core, at, (price, price, price, price), volume)


def holding(amount: float = 1.0, price: float = 100.0, **changes: Any) -> Twin:
    core = twin(**changes)
    place(core, BUY, amount)
    flat(core, 0, price)
    return core


def outcome(core: Twin, order: int) -> tuple[Status, Reason]:
    row = core.orders[order]
    return Status(row["status"]), Reason(row["reason"])


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


def test_volume_share_slippage_fills_half_at_the_published_price() -> None:
    """Zipline's test: 100 of a bar of 2,000, limit 2.5 %, impact 0.1, 3.5 gives 3.50021875."""
    core = twin(slippage_kind=Slippage.VOLUME_SHARE, slippage=0.1, participation=0.025)
    order = place(core, BUY, 100.0)
    flat(core, 0, 3.5, volume=2_000.0)
    assert core.fills[0]["quantity"] == 50 * BASE
    assert core.fills[0]["price"] == pytest.approx(3.50021875, abs=1e-12)
    assert outcome(core, order)[0] == Status.WORKING


def queued(**changes: Any) -> tuple[Twin, int]:
    core = twin(rung=Rung.BOOK, **changes)
    core.book_reset(0, START_NS)
    core.book_level(0, START_NS, BUY, 10.0, 100.0, 0)
    core.book_level(0, START_NS, SELL, 10.1, 100.0, 0)
    order = place(core, BUY, 50.0, type=OrderType.LIMIT, limit=10.0)
    core.advance(START_NS)
    return core, order


def test_queue_fills_ten_when_a_hundred_stood_ahead_and_eighty_then_thirty_trade() -> None:
    core, order = queued()
    core.trade(0, START_NS + 1, 10.0, 80.0, SELL, 1)
    assert core.orders[order]["ahead"] == 20.0
    assert len(core.fills) == 0
    core.trade(0, START_NS + 2, 10.0, 30.0, SELL, 2)
    assert core.fills[0]["quantity"] == 10 * BASE
    assert core.fills[0]["maker"] == 1


@pytest.mark.parametrize(("pro_rata", "ahead"), [(True, 60.0), (False, 60.0)])
def test_queue_is_never_longer_than_what_is_displayed(pro_rata: bool, ahead: float) -> None:
    core, order = queued(queue_pro_rata=pro_rata)
    core.book_level(0, START_NS + 1, BUY, 10.0, 60.0, 1)
    assert core.orders[order]["ahead"] == ahead


def test_queue_loses_its_share_of_cancels_when_others_had_joined_behind() -> None:
    core, order = queued()
    core.book_level(0, START_NS + 1, BUY, 10.0, 200.0, 1)
    core.book_level(0, START_NS + 2, BUY, 10.0, 150.0, 2)
    assert core.orders[order]["ahead"] == 75.0
    last, order = queued(queue_pro_rata=False)
    last.book_level(0, START_NS + 1, BUY, 10.0, 200.0, 1)
    last.book_level(0, START_NS + 2, BUY, 10.0, 150.0, 2)
    assert last.orders[order]["ahead"] == 100.0


def test_queue_is_empty_when_the_level_vanishes_and_whole_fill_when_traded_through() -> None:
    core, order = queued()
    core.book_level(0, START_NS + 1, BUY, 10.0, 0.0, 1)
    assert core.orders[order]["ahead"] == 0.0
    core.trade(0, START_NS + 2, 9.9, 0.1, SELL, 2)
    assert outcome(core, order)[0] == Status.FILLED


def test_taker_walks_the_book_and_what_it_took_is_gone_until_the_level_is_told() -> None:
    core, _ = queued()
    core.book_level(0, START_NS, SELL, 10.2, 100.0, 0)
    place(core, BUY, 150.0)
    core.advance(START_NS)
    assert list(core.fills["price"]) == [10.1, 10.2]
    assert list(core.fills["quantity"]) == [100 * BASE, 50 * BASE]
    place(core, BUY, 60.0)
    core.advance(START_NS)
    assert core.fills[2]["price"] == 10.2
    assert core.fills[2]["quantity"] == 50 * BASE
    core.book_level(0, START_NS + 1, SELL, 10.1, 100.0, 1)
    assert core.fills[3]["price"] == 10.1


def test_stop_comes_before_the_target_when_one_bar_reaches_both() -> None:
    core = twin()
    entry = place(core, BUY, 1.0, stop_exit=95.0, target_exit=105.0)
    flat(core, 0, 100.0)
    bar(core, 1, (100.0, 110.0, 90.0, 100.0))
    assert outcome(core, entry + 1) == (Status.FILLED, Reason.NONE)
    assert outcome(core, entry + 2) == (Status.CANCELLED, Reason.OCO)
    assert core.fills[1]["price"] == 95.0


def test_stop_fills_at_the_open_when_a_gap_jumps_over_it() -> None:
    core = holding()
    place(core, SELL, 1.0, at=1, type=OrderType.STOP, stop=95.0)
    bar(core, 1, (90.0, 92.0, 88.0, 91.0))
    assert core.fills[1]["price"] == 90.0


def test_limit_fills_at_the_open_as_a_taker_when_the_open_is_better() -> None:
    core = twin()
    place(core, BUY, 1.0, type=OrderType.LIMIT, limit=100.0)
    bar(core, 0, (95.0, 101.0, 94.0, 96.0))
    assert core.fills[0]["price"] == 95.0
    assert core.fills[0]["maker"] == 0


@pytest.mark.parametrize(("touch", "fills"), [(False, 0), (True, 1)])
def test_limit_needs_a_price_beyond_it_unless_a_touch_is_enough(touch: bool, fills: int) -> None:
    core = twin(touch=touch)
    place(core, BUY, 1.0, type=OrderType.LIMIT, limit=95.0)
    bar(core, 0, (100.0, 101.0, 95.0, 96.0))
    assert len(core.fills) == fills


def test_stop_limit_fills_at_its_limit_only_when_the_close_has_reached_it() -> None:
    core = twin()
    far = place(core, BUY, 1.0, type=OrderType.STOP_LIMIT, stop=105.0, limit=106.0)
    bar(core, 0, (100.0, 110.0, 99.0, 108.0))
    assert outcome(core, far)[0] == Status.WORKING
    assert core.orders[far]["triggered"] == 1
    bar(core, 1, (108.0, 109.0, 105.0, 107.0))
    assert core.fills[0]["price"] == 106.0
    near = twin()
    place(near, BUY, 1.0, type=OrderType.STOP_LIMIT, stop=105.0, limit=106.0)
    bar(near, 0, (100.0, 110.0, 99.0, 105.5))
    assert near.fills[0]["price"] == 106.0


def test_stop_of_an_entry_that_filled_inside_works_at_once_and_its_target_does_not() -> None:
    core = twin()
    entry = place(
        core, BUY, 1.0, type=OrderType.LIMIT, limit=99.0, stop_exit=90.0, target_exit=101.0
    )
    bar(core, 0, (100.0, 102.0, 98.0, 101.0))
    assert outcome(core, entry + 2)[0] == Status.WORKING
    bar(core, 1, (100.0, 102.0, 98.0, 101.0))
    assert outcome(core, entry + 2)[0] == Status.FILLED
    hit = twin()
    entry = place(hit, BUY, 1.0, type=OrderType.LIMIT, limit=99.0, stop_exit=98.5)
    bar(hit, 0, (100.0, 102.0, 98.0, 101.0))
    assert hit.fills[1]["price"] == 98.5


def test_target_and_stop_both_work_when_the_entry_filled_at_the_open() -> None:
    core = twin()
    entry = place(core, BUY, 1.0, stop_exit=90.0, target_exit=101.0)
    bar(core, 0, (100.0, 102.0, 98.0, 101.0))
    assert outcome(core, entry + 2)[0] == Status.FILLED
    assert core.positions[0]["quantity"] == 0


def test_exits_work_for_the_entry_less_its_fee_and_promise_one_quantity() -> None:
    core = twin(tiers=FEES)
    entry = place(core, BUY, 2.0, stop_exit=90.0, target_exit=110.0)
    flat(core, 0, 100.0)
    assert list(core.orders["quantity"][entry + 1 :]) == [199_500_000, 199_500_000]
    assert core.positions[0]["promised"] == 199_500_000


def test_exits_end_with_their_entry_when_it_is_cancelled_before_it_filled() -> None:
    core = twin()
    entry = place(core, type=OrderType.LIMIT, limit=50.0, stop_exit=40.0, target_exit=60.0)
    flat(core, 0, 100.0)
    assert core.cancel(START_NS + MINUTE_NS, entry)
    flat(core, 1, 100.0)
    assert outcome(core, entry) == (Status.CANCELLED, Reason.BY_STRATEGY)
    assert outcome(core, entry + 1) == (Status.CANCELLED, Reason.PARENT_ENDED)


def test_trailing_stop_follows_the_high_only_after_the_bar_was_matched() -> None:
    core = holding()
    order = place(core, SELL, 1.0, at=1, type=OrderType.TRAILING_STOP, trail=5.0)
    bar(core, 1, (100.0, 120.0, 96.0, 118.0))
    assert outcome(core, order)[0] == Status.WORKING
    assert core.orders[order]["water"] == 120.0
    bar(core, 2, (118.0, 119.0, 114.0, 114.0))
    assert core.fills[1]["price"] == 115.0


def test_order_waits_for_the_next_bar_when_it_arrives_inside_one() -> None:
    core = twin(latency=np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.int64))
    place(core)
    flat(core, 0, 100.0)
    assert len(core.fills) == 0
    flat(core, 1, 101.0)
    assert core.fills[0]["price"] == 101.0


def test_taker_pays_half_spread_slippage_and_never_more_than_its_limit() -> None:
    core = twin(half_spread=0.001, slippage=0.002)
    place(core, BUY, 1.0)
    place(core, BUY, 1.0, type=OrderType.LIMIT, limit=100.1)
    flat(core, 0, 100.0)
    assert core.fills[0]["price"] == pytest.approx(100.3)
    assert core.fills[1]["price"] == 100.1


def test_fills_of_a_bar_share_its_participation_in_order_of_arrival() -> None:
    core = twin(participation=0.1)
    place(core, BUY, 60.0)
    ioc = place(core, BUY, 60.0, tif=TimeInForce.IOC)
    flat(core, 0, 1.0, volume=1_000.0)
    assert list(core.fills["quantity"]) == [60 * BASE, 40 * BASE]
    assert outcome(core, ioc) == (Status.CANCELLED, Reason.IOC_REST)
    first = twin(participation=0.1, rung=Rung.NEXT_OPEN)
    place(first, BUY, 600.0)
    flat(first, 0, 1.0, volume=1_000.0)
    assert first.fills[0]["quantity"] == 600 * BASE


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


def test_replacement_keeps_its_turn_only_when_it_merely_shrinks() -> None:
    core, order = queued()
    smaller = core.replace(START_NS + 1, order, amount=40.0)
    core.advance(START_NS + 1)
    assert core.orders[smaller]["ahead"] == 100.0
    assert outcome(core, order) == (Status.CANCELLED, Reason.REPLACED)
    moved = core.replace(START_NS + 2, smaller, limit=9.9)
    core.advance(START_NS + 2)
    assert core.orders[moved]["ahead"] == 0.0
    late = core.replace(START_NS + 3, order, limit=9.8)
    core.advance(START_NS + 3)
    assert outcome(core, late) == (Status.REJECTED, Reason.PARENT_ENDED)


def test_refused_replacement_leaves_the_old_order_working() -> None:
    core = holding(cash=200.0)
    old = place(core, BUY, 1.0, at=1, type=OrderType.LIMIT, limit=90.0)
    flat(core, 1, 100.0)
    new = core.replace(START_NS + 2 * MINUTE_NS, old, amount=5.0)
    flat(core, 2, 100.0)
    assert outcome(core, new) == (Status.REJECTED, Reason.INSUFFICIENT_BALANCE)
    assert outcome(core, old)[0] == Status.WORKING
    assert core.account[0]["promised"] == 90 * CASH


def test_quote_fills_a_taker_up_to_what_it_shows_and_the_rest_at_the_next() -> None:
    core = twin(rung=Rung.QUOTES)
    core.quote(0, START_NS, 99.0, 5.0, 101.0, 1.0, 0)
    order = place(core, BUY, 3.0)
    core.advance(START_NS)
    assert core.orders[order]["filled"] == BASE
    core.quote(0, START_NS + 1, 99.0, 5.0, 102.0, 9.0, 1)
    assert list(core.fills["price"]) == [101.0, 102.0]
    assert core.equity() == 1_000_000.0 - 101.0 - 204.0 + 3 * 100.5


def test_resting_limit_fills_when_a_trade_prints_through_it_or_a_quote_reaches_it() -> None:
    core = twin(rung=Rung.QUOTES)
    core.quote(0, START_NS, 99.0, 5.0, 101.0, 1.0, 0)
    place(core, BUY, 3.0, type=OrderType.LIMIT, limit=100.0)
    core.trade(0, START_NS + 1, 100.0, 9.0, SELL, 1)
    assert len(core.fills) == 0
    core.trade(0, START_NS + 2, 99.5, 2.0, SELL, 2)
    core.quote(0, START_NS + 3, 99.0, 5.0, 100.0, 0.5, 3)
    assert list(core.fills["quantity"]) == [2 * BASE, BASE // 2]
    assert list(core.fills["price"]) == [100.0, 100.0]
    assert list(core.fills["maker"]) == [1, 1]


def test_stop_triggers_on_the_last_trade_and_on_the_quote_only_without_trades() -> None:
    core = twin(rung=Rung.QUOTES, allow_short=True)
    core.quote(0, START_NS, 99.0, 5.0, 101.0, 5.0, 0)
    first = place(core, SELL, 1.0, type=OrderType.STOP, stop=98.0)
    core.quote(0, START_NS + 1, 97.0, 5.0, 101.0, 5.0, 1)
    assert outcome(core, first)[0] == Status.FILLED
    core.trade(0, START_NS + 2, 99.0, 1.0, SELL, 2)
    second = place(core, SELL, 1.0, type=OrderType.STOP, stop=98.0)
    core.quote(0, START_NS + 3, 96.0, 5.0, 101.0, 5.0, 3)
    assert outcome(core, second)[0] == Status.WORKING
    core.trade(0, START_NS + 4, 98.0, 1.0, SELL, 4)
    assert outcome(core, second)[0] == Status.FILLED


def test_square_root_impact_is_worked_out_from_the_window_before() -> None:
    core = twin(impact_kind=Impact.SQUARE_ROOT, impact=1.0, impact_window=2)
    for at, price in enumerate((100.0, 110.0, 99.0)):
        flat(core, at, price, volume=100.0)
    place(core, BUY, 25.0, at=3)
    flat(core, 3, 100.0)
    up, down = math.log(1.1), math.log(0.9)
    sigma = (up - down) / 2.0
    assert core.fills[0]["price"] == pytest.approx(100.0 * (1.0 + sigma * math.sqrt(0.25)))


def test_permanent_impact_moves_later_fills_and_decays_by_half() -> None:
    core = twin(
        impact_kind=Impact.ALMGREN,
        impact=0.0,
        impact_permanent=0.1,
        impact_half_life_ns=float(MINUTE_NS),
        impact_window=1,
    )
    flat(core, 0, 100.0, volume=100.0)
    place(core, BUY, 20.0, at=1)
    flat(core, 1, 100.0, volume=100.0)
    place(core, BUY, 1.0, at=2)
    flat(core, 2, 100.0, volume=100.0)
    assert list(core.fills["price"]) == pytest.approx([100.0, 101.0])


def test_fill_is_cut_to_the_drawn_share_when_the_venue_cuts_it() -> None:
    core = twin(partial_probability=1.0, seed=3)
    place(core, BUY, 10.0)
    flat(core, 0, 10.0)
    share = twin_draws.uniform(3, 0, twin_draws.PARTIAL + 1)
    assert core.fills[0]["quantity"] == math.floor(10 * BASE * share)


def test_splitmix_agrees_with_its_published_sequence() -> None:
    """Vigna's splitmix64.c seeded with 1234567 begins 6457827717110365317, 3203168211198807973."""
    assert twin_draws.mix(1234567) == 6457827717110365317
    assert twin_draws.mix(1234567 + 0x9E3779B97F4A7C15) == 3203168211198807973


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


def test_strategy_hears_of_a_fill_one_response_latency_later() -> None:
    core = twin(cash=200.0, latency=np.array([[0, 0, 0], [0, 0, 0], [0, 500, 0]], np.int64))
    order = place(core)
    flat(core, 0, 100.0)
    assert core.seen(START_NS + 499).cash == 200 * CASH
    told = core.seen(START_NS + 500)
    assert (told.cash, told.quantities) == (100 * CASH, (BASE,))
    assert told.orders[order].status == Status.FILLED


@pytest.mark.parametrize("kind", [Draw.UNIFORM, Draw.EXPONENTIAL])
def test_latency_of_an_order_depends_on_its_id_alone(kind: Draw) -> None:
    latency = np.array([[0, 0, 0], [kind, 10, 1_000], [0, 0, 0]], np.int64)
    first, second = twin(latency=latency), twin(latency=latency)
    place(second, at=5)
    ids = [place(first), place(first)], [place(second)]
    assert first.orders[ids[0][1]]["arrives_ns"] == second.orders[1]["arrives_ns"]
    assert first.orders[0]["arrives_ns"] >= START_NS + 10


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
