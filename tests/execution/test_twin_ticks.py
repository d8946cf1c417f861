"""The twin on quotes, trades and books: takers, makers, triggers and the queue."""

from __future__ import annotations

import pytest

from tests.execution.scenarios import START_NS
from tests.execution.twins import BASE, BUY, SELL, outcome, place, queued, twin
from tradelake.execution.layout import OrderType, Status
from tradelake.execution.terms import Rung


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
