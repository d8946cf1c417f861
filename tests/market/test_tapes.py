"""Trades, quotes and books as columns: what is refused, masked and flagged, and how they merge."""

from __future__ import annotations

import numpy as np
import pytest

from tradelake.errors import ConfigError, InvalidData
from tradelake.market.records import BookUpdate, Quote, Trade
from tradelake.market.tape import TickKind, merged_ticks
from tradelake.market.ticks import BookArrays, QuoteArrays, TradeArrays


def trades(ts=(1, 2, 3), price=(10.0, 11.0, 12.0), size=(1.0, 1.0, 1.0), side=(1, -1, 0), **said):
    return TradeArrays("BTC/USD", np.array(ts), np.array(price), np.array(size), side, **said)


def quotes(ts=(1, 2), bid=(9.0, 9.5), ask=(10.0, 10.5), size=(1.0, 2.0), **said):
    sizes = np.array(size)
    return QuoteArrays(
        "BTC/USD", np.array(ts), np.array(bid), sizes, np.array(ask), np.array(size), **said
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": (10.0, np.nan, 12.0)}, "price: expected a finite positive price; found nan in"),
        ({"price": (10.0, 11.0, 0.0)}, "BTC/USD trade 2 at 3 ns"),
        ({"size": (1.0, -1.0, 1.0)}, "size: .* found -1.0 in BTC/USD trade 1 at 2 ns"),
        ({"ts": (1, 3, 2)}, "order: .* found 2 in BTC/USD trade 2"),
        ({"side": (1, 2, 0)}, "side: .* found 2 in BTC/USD trade 1"),
        ({"ts": (1.0, 2.0, 3.0)}, "shape: expected whole numbers in ts_ns"),
        ({"size": (1.0, 1.0)}, "shape: expected columns of one equal length"),
    ],
)
def test_trades_are_refused_with_the_first_bad_row(changes, message):
    with pytest.raises(InvalidData, match=message):
        trades(**changes)


def test_quotes_are_refused_when_crossed_or_locked():
    with pytest.raises(InvalidData, match=r"crossed: .* found 10.0 in BTC/USD quote 1 at 2 ns"):
        quotes(bid=(9.0, 10.0), ask=(10.0, 10.0))


def test_bad_rows_are_left_out_when_masked():
    masked = quotes(bid=(9.0, 11.0), bad="mask")
    assert masked.found == {"crossed": 1}
    assert merged_ticks([(0, masked)])["price"].tolist() == [9.0]


def test_crossed_quotes_are_kept_and_counted_when_flagged():
    flagged = quotes(bid=(9.0, 11.0), bad="flag")
    assert flagged.found == {"crossed": 1}
    assert len(merged_ticks([(0, flagged)])) == 2


def test_what_makes_no_sense_is_left_out_even_when_flagged():
    flagged = trades(price=(10.0, np.nan, 12.0), bad="flag")
    assert flagged.found == {"price": 1}
    assert merged_ticks([(0, flagged)])["price"].tolist() == [10.0, 12.0]


def test_a_time_that_goes_back_is_left_out_when_masked():
    masked = trades(ts=(1, 3, 2), bad="mask")
    assert merged_ticks([(0, masked)])["ts_ns"].tolist() == [1, 3]


def test_the_first_row_that_breaks_a_rule_is_told_with_its_time():
    flagged = trades(ts=(1, 5, 9), price=(10.0, np.nan, -1.0), bad="flag")
    assert flagged.first == {"price": 5}
    assert quotes(bid=(9.0, 11.0), bad="flag").first == {"crossed": 2}
    assert trades().first == {}


def test_columns_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        trades().price[0] = 1.0


def test_an_unknown_treatment_is_refused():
    with pytest.raises(ConfigError, match="expected one of refuse, mask, flag"):
        trades(bad="ignore")


def test_tape_is_in_the_order_of_time_then_symbol_then_stream():
    tape = merged_ticks([(1, trades()), (0, trades(ts=(1, 1, 3))), (0, quotes())])
    kinds = [TickKind(kind).name for kind in tape["kind"]]
    assert tape["ts_ns"].tolist() == [1, 1, 1, 1, 2, 2, 3, 3]
    assert tape["symbol"].tolist() == [0, 0, 0, 1, 0, 1, 0, 1]
    assert kinds == ["TRADE", "TRADE", "QUOTE", "TRADE", "QUOTE", "TRADE", "TRADE", "TRADE"]
    assert tape["before"].tolist() == [-1, 0, 1, -1, 1, 3, 1, 5]


def test_records_become_columns():
    made = TradeArrays.of("X", [Trade("X", 5, 6, 1, 10.0, 2.0, "sell")])
    assert (made.ts_ns[0], made.price[0], made.size[0], made.side[0]) == (5, 10.0, 2.0, -1)
    told = QuoteArrays.of("X", [Quote("X", 5, 6, 9.0, 1.0, 10.0, 2.0)])
    assert (told.bid[0], told.bid_size[0], told.ask[0], told.ask_size[0]) == (9.0, 1.0, 10.0, 2.0)


def test_book_updates_become_rows_whose_last_ends_the_update():
    updates = [
        BookUpdate("X", 5, 6, [(9.0, 1.0)], [(10.0, 2.0)], reset=True),
        BookUpdate("X", 7, 8, [], [(10.0, 0.0)]),
    ]
    tape = merged_ticks([(0, BookArrays.of("X", updates))])
    assert [TickKind(kind).name for kind in tape["kind"]] == ["RESET", "PART", "LEVEL", "LEVEL"]
    assert tape["side"].tolist() == [0, 1, -1, -1]


def test_an_update_ends_with_its_last_usable_level_when_the_last_is_masked():
    updates = [BookUpdate("X", 5, 6, [(9.0, 1.0)], [(np.nan, 2.0)])]
    tape = merged_ticks([(0, BookArrays.of("X", updates, bad="mask"))])
    assert [TickKind(kind).name for kind in tape["kind"]] == ["LEVEL"]


def test_two_books_of_one_symbol_are_refused():
    book = BookArrays.of("X", [BookUpdate("X", 5, 6, [(9.0, 1.0)], [])])
    with pytest.raises(InvalidData, match="expected one book a symbol"):
        merged_ticks([(0, book), (0, book)])
