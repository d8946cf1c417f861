"""Books against a naive one: a dictionary a side, sorted when somebody looks."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.feed import books
from tradelake.feed.books import Applied, Book
from tradelake.market.records import BookUpdate, Level


def update(bids=(), asks=(), *, reset=False, ts=1) -> BookUpdate:
    return BookUpdate("BTC/USD", ts, ts, list(bids), list(asks), reset)


class Naive:
    """The same rules, by brute force."""

    def __init__(self) -> None:
        self.sides: tuple[dict[float, float], dict[float, float]] | None = None
        self.was_crossed = False

    def apply(self, change: BookUpdate) -> Applied:
        if change.reset:
            self.sides, self.was_crossed = ({}, {}), False
        if self.sides is None:
            return Applied.DISCARDED
        for side, levels in zip(self.sides, (change.bids, change.asks), strict=True):
            for price, size in levels:
                side.pop(price, None)
                if size:
                    side[price] = size
        bids, asks = self.sides
        if bids and asks and max(bids) >= min(asks):
            self.was_crossed = True
        return Applied.CROSSED if self.was_crossed else Applied.DONE

    def top(self, n: int) -> tuple[list[Level], list[Level]]:
        bids, asks = self.sides or ({}, {})
        return sorted(bids.items(), reverse=True)[:n], sorted(asks.items())[:n]


# Few prices and sizes, so that levels are met again, deleted, and books cross.
levels = st.lists(
    st.tuples(
        st.integers(1, 30).map(lambda tick: tick / 8), st.sampled_from((0.0, 0.0, 0.5, 1.0, 7.25))
    ),
    max_size=8,
)
updates = st.builds(
    update, levels, levels, reset=st.sampled_from((False,) * 5 + (True,)), ts=st.integers(1, 99)
)


@given(st.lists(updates, max_size=40))
def test_book_equals_the_naive_one_after_every_update(changes):
    book, naive = Book(), Naive()
    for change in changes:
        assert book.apply(change) is naive.apply(change)
        assert book.top(100) == naive.top(100)
        assert book.top(3) == naive.top(3)
        bids, asks = naive.top(1)
        assert book.crossed == bool(bids and asks and bids[0][0] >= asks[0][0])
        assert book.was_crossed == naive.was_crossed


def test_deltas_are_discarded_when_no_reset_came_before():
    book = Book()
    assert book.apply(update([(9.0, 1.0)])) is Applied.DISCARDED
    assert not book.whole
    assert book.top(5) == ([], [])


def test_reset_replaces_everything_when_it_comes_in_mid_session():
    book = Book()
    book.apply(update([(9.0, 1.0), (8.0, 1.0)], [(10.0, 1.0)], reset=True))
    book.apply(update([(9.5, 1.0)]))
    assert book.updates == 1
    assert book.apply(update([(7.0, 2.0)], [(11.0, 2.0)], reset=True, ts=5)) is Applied.DONE
    assert book.top(5) == ([(7.0, 2.0)], [(11.0, 2.0)])
    assert (book.updates, book.ts_event) == (0, 5)


@pytest.mark.parametrize("bid", [10.0, 10.5])
def test_book_stays_suspect_until_a_reset_when_it_was_locked_or_crossed(bid):
    book = Book()
    book.apply(update([(9.0, 1.0)], [(10.0, 1.0)], reset=True))
    assert book.apply(update([(bid, 1.0)])) is Applied.CROSSED
    assert book.apply(update([(bid, 0.0)])) is Applied.CROSSED
    assert not book.crossed
    assert book.apply(update([(9.0, 1.0)], [(10.0, 1.0)], reset=True)) is Applied.DONE


@pytest.mark.parametrize(
    "level",
    [(math.nan, 1.0), (math.inf, 1.0), (-1.0, 1.0), (0.0, 1.0), (9.0, -1.0), (9.0, math.nan)],
)
@pytest.mark.parametrize("reset", [True, False])
def test_book_is_gone_until_the_next_reset_when_a_level_is_impossible(level, reset):
    book = Book()
    book.apply(update([(9.0, 1.0)], [(10.0, 1.0)], reset=True))
    assert book.apply(update([(8.0, 1.0), level], reset=reset)) is Applied.INVALID
    assert book.top(5) == ([], [])
    assert book.apply(update([(8.0, 1.0)])) is Applied.DISCARDED
    assert book.apply(update([(8.0, 1.0)], reset=True)) is Applied.DONE


def test_book_keeps_the_levels_next_to_the_market_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(books, "MAX_LEVELS", 3)
    book = Book()
    book.apply(update([(float(p), 1.0) for p in range(1, 6)], [(9.0, 1.0)], reset=True))
    book.apply(update([(6.0, 1.0)], [(8.0, 1.0), (7.0, 1.0), (10.0, 1.0)]))
    bids, asks = book.top(9)
    assert [price for price, _ in bids] == [6.0, 5.0, 4.0]
    assert [price for price, _ in asks] == [7.0, 8.0, 9.0]
    assert book.dropped_levels == 4


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "books_binance_spot_btcusdt_ethusdt_2024-08-08_2354_2359",
        "books_bitstamp_btcusd_2015-05-01_0000_0300",
    ],
)
def test_recorded_books_equal_the_naive_ones(name):
    path = Path(os.environ.get("TRADELAKE_DATA", "")) / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"recorded data {name} is not in TRADELAKE_DATA")
    kept: dict[str, tuple[Book, Naive]] = {}
    for number, change in enumerate(read_updates(path)):
        book, naive = kept.setdefault(change.symbol, (Book(), Naive()))
        assert book.apply(change) is naive.apply(change)
        if number % 50 == 0:
            assert book.top(10) == naive.top(10)
    for book, naive in kept.values():
        assert book.top(10**6) == naive.top(10**6)


def read_updates(path: Path):
    rows = pq.read_table(path, columns=["symbol", "ts_ns", "bids", "asks", "reset"])
    for symbol, ts, bids, asks, reset in zip(*(c.to_pylist() for c in rows.columns), strict=True):
        sides = [[(level["price"], level["size"]) for level in side or ()] for side in (bids, asks)]
        yield BookUpdate(symbol, ts, ts, *sides, reset)
