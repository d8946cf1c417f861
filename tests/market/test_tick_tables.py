"""Arrow tables become the columns that records become."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.errors import InvalidData
from tradelake.market.records import BookUpdate, Quote, Trade
from tradelake.market.tick_tables import books_of, quotes_of, trades_of
from tradelake.market.ticks import BookArrays, QuoteArrays, TradeArrays

LEVELS = pa.list_(pa.struct([("price", pa.float64()), ("size", pa.float64())]))
levels = st.lists(st.tuples(st.floats(0.01, 1e5), st.floats(0.0, 1e3)).map(tuple), max_size=4)
updates = st.lists(st.tuples(st.booleans(), levels, levels), max_size=12)


def _table(told: list[BookUpdate]) -> pa.Table:
    as_dicts = lambda side: [{"price": p, "size": s} for p, s in side]  # noqa: E731
    return pa.table(
        {
            "ts_ns": pa.array([one.ts_event for one in told], pa.int64()),
            "bids": pa.array([as_dicts(one.bids) for one in told], LEVELS),
            "asks": pa.array([as_dicts(one.asks) for one in told], LEVELS),
            "reset": pa.array([one.reset for one in told], pa.bool_()),
        }
    )


def _same(found: object, expected: object) -> None:
    for field in fields(expected):  # type: ignore[arg-type]
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, field.name)
            assert ours.dtype == theirs.dtype
        else:
            assert ours == theirs


@settings(deadline=None)
@given(updates, st.integers(0, 3))
def test_books_are_those_of_the_records_from_the_first_reset_on(
    told: list[tuple[bool, list, list]], chunks: int
) -> None:
    records = [
        BookUpdate("BTC/USD", place, 0, bids, asks, reset=reset)
        for place, (reset, bids, asks) in enumerate(told)
    ]
    first = next((place for place, one in enumerate(records) if one.reset), len(records))
    table = _table(records)
    for at in range(chunks):  # a table of several chunks
        cut = len(records) * at // 3
        table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    _same(books_of("BTC/USD", table), BookArrays.of("BTC/USD", records[first:]))


def test_levels_that_are_null_are_none() -> None:
    rows = pa.table(
        {
            "ts_ns": [1, 2],
            "bids": pa.array([[{"price": 1.0, "size": 2.0}], None], LEVELS),
            "asks": pa.array([None, [{"price": 3.0, "size": 0.0}]], LEVELS),
            "reset": pa.array([True, None]),
        }
    )
    found = books_of("BTC/USD", rows)
    assert found.side.tolist() == [0, 1, -1]
    assert found.last.tolist() == [False, True, True]


def test_trades_are_those_of_the_records() -> None:
    records = [
        Trade("A/USD", ts, 0, ts, 1.5 + ts, 2.0, side)
        for ts, side in enumerate(("buy", "sell", ""))
    ]
    rows = pa.table(
        {
            "ts_ns": [0, 1, 2],
            "price": [1.5, 2.5, 3.5],
            "size": [2.0] * 3,
            "side": ["buy", "sell", None],
        }
    )
    _same(trades_of("A/USD", rows), TradeArrays.of("A/USD", records))


def test_quotes_are_those_of_the_records_and_nulls_are_bad_rows() -> None:
    columns = {"ts_ns": [0, 1], "bid": [1.0, None], "bid_size": [2.0, 2.0], "ask": [1.5, 1.5],
               "ask_size": [1.0, 1.0]}  # fmt: skip
    records = [
        Quote("A/USD", 0, 0, 1.0, 2.0, 1.5, 1.0),
        Quote("A/USD", 1, 0, math.nan, 2.0, 1.5, 1),
    ]
    rows = pa.table(columns)
    _same(quotes_of("A/USD", rows, "mask"), QuoteArrays.of("A/USD", records, "mask"))
    assert quotes_of("A/USD", rows, "mask").found == {"price": 1}
    with pytest.raises(InvalidData, match=r"price: expected a finite positive bid; found nan in A"):
        quotes_of("A/USD", rows)
