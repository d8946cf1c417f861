"""The compiled order book against a dictionary, and what it does at its edges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.execution import book as books_of
from tradelake.execution.book import new_books

BIDS, ASKS = 0, 1


def told(levels: list[tuple[int, float, float]], room: int = 64) -> books_of.Books:
    books = new_books(1, room)
    for half, price, size in levels:
        books_of.set_level(books, 0, half, price, size, False)
    return books


steps = st.tuples(
    st.sampled_from([BIDS, ASKS]),
    st.integers(1, 40).map(lambda n: n / 4),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)


@settings(deadline=None)
@given(st.lists(steps, max_size=120))
def test_book_holds_what_a_dictionary_holds_when_levels_come_and_go(levels):
    books, plain = told(levels), ({}, {})
    for half, price, size in levels:
        if size > 0.0:
            plain[half][price] = size
        else:
            plain[half].pop(price, None)
    for half, best in ((BIDS, max), (ASKS, min)):
        count = books.counts[0, half]
        keys = books.keys[0, half, :count]
        prices = sorted(keys if half == BIDS else -keys)
        assert prices == sorted(plain[half])
        assert all(
            books_of.size_at(books, 0, half, price) == plain[half][price] for price in prices
        )
        if prices:
            assert books_of.best(books, 0, half) == best(plain[half])
        else:
            assert math.isnan(books_of.best(books, 0, half))


def test_book_tells_that_it_is_crossed_when_bid_and_ask_meet():
    books = told([(BIDS, 99.0, 1.0), (ASKS, 100.0, 1.0)])
    assert not books_of.is_crossed(books, 0)
    books_of.set_level(books, 0, BIDS, 100.0, 1.0, False)
    assert books_of.is_crossed(books, 0)


def test_book_lets_its_worst_level_go_when_it_is_full():
    books = told([(BIDS, price, 1.0) for price in (5.0, 4.0, 6.0, 7.0, 3.0)], room=3)
    assert sorted(books.keys[0, BIDS]) == [5.0, 6.0, 7.0]
    assert books.dropped[0] == 2


def test_book_is_empty_when_reset():
    books = told([(BIDS, 5.0, 1.0), (ASKS, 6.0, 1.0)])
    books_of.reset(books, 0)
    assert math.isnan(books_of.best(books, 0, BIDS))
    assert books_of.size_at(books, 0, ASKS, 6.0) == 0.0


def test_walk_tells_units_and_cost_up_to_the_limit():
    books = told([(ASKS, 100.0, 1.0), (ASKS, 101.0, 2.0), (ASKS, 103.0, 5.0)])
    assert books_of.walk(books, 0, ASKS, 1.0, 2, math.nan) == (2, 201.0)
    assert books_of.walk(books, 0, ASKS, 1.0, 9, 101.0) == (3, 302.0)


@pytest.mark.parametrize(("keeps", "room"), [(False, 4), (True, 3)])
def test_what_was_taken_comes_back_only_when_the_level_does(keeps, room):
    books = told([(ASKS, 100.0, 2.0)])
    books.taken[0, ASKS, 0] = 1.0
    assert books_of.room_at(books, 0, ASKS, 0, 1.0) == 1
    books_of.set_level(books, 0, ASKS, 100.0, 4.0, keeps)
    assert books_of.room_at(books, 0, ASKS, 0, 1.0) == room


def test_a_level_returns_what_had_not_traded_of_it():
    books = told([(BIDS, 100.0, 5.0)])
    books_of.add_traded(books, 0, BIDS, 100.0, 2.0)
    assert books_of.set_level(books, 0, BIDS, 100.0, 1.0, False) == 3.0
