"""The twin on bars: which order fills when, at what price."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.execution.scenarios import MINUTE_NS, START_NS
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
    queued,
    twin,
)
from tradelake.execution.layout import OrderType, Reason, Status, TimeInForce
from tradelake.execution.terms import Draw, Impact, Rung, Slippage
from tradelake.execution.twin import draws as twin_draws


def test_volume_share_slippage_fills_half_at_the_published_price() -> None:
    """Zipline's test: 100 of a bar of 2,000, limit 2.5 %, impact 0.1, 3.5 gives 3.50021875."""
    core = twin(slippage_kind=Slippage.VOLUME_SHARE, slippage=0.1, participation=0.025)
    order = place(core, BUY, 100.0)
    flat(core, 0, 3.5, volume=2_000.0)
    assert core.fills[0]["quantity"] == 50 * BASE
    assert core.fills[0]["price"] == pytest.approx(3.50021875, abs=1e-12)
    assert outcome(core, order)[0] == Status.WORKING


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
