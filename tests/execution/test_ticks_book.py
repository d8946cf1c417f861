"""The compiled core on order books: walking levels, and the queue ahead (L1, L2)."""

from __future__ import annotations

import pytest

from tests.execution.tick_venue import Venue, level, quote, terms, trade
from tradelake.execution.layout import OrderType
from tradelake.execution.terms import Rung
from tradelake.market.tape import TickKind


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
