"""Ticks come out of the lake as columns in the order in which they came."""

from __future__ import annotations

import pytest

from tradelake.errors import InsufficientData, InvalidData
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.tick_columns import LakeColumns
from tradelake.lake.ticks import LakeTicks
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import BookUpdate, Quote, Trade
from tradelake.market.ticks import QuoteArrays, TradeArrays
from tradelake.stream.envelope import Batch

NOON = 1_723_075_200_000_000_000 + 43_200_000_000_000


def _trade(ts_ns: int, trade_id: int, price: float = 1.5, side: str = "buy") -> Trade:
    return Trade("BTC/USD", NOON + ts_ns, NOON + ts_ns + 5, trade_id, price, 0.25, side)  # type: ignore[arg-type]


def _quote(ts_ns: int, bid: float, occurrence: int = 0) -> Quote:
    return Quote("BTC/USD", NOON + ts_ns, NOON, bid, 2.0, bid + 1.0, 4.0, occurrence)


def _book(ts_ns: int, price: float, *, reset: bool = False, occurrence: int = 0) -> BookUpdate:
    return BookUpdate("BTC/USD", NOON + ts_ns, NOON, [(price, 1.0)], [], reset, occurrence)


def _deliver(
    catalog: LakeCatalog, *records: object, epoch: int = 1, seq: int = 0, **of: str
) -> None:
    lane, venue = of.get("lane", "live"), of.get("venue", "us")
    IcebergWriter(catalog).deliver(
        "clean",
        [Batch(lane, venue, epoch, 3, seq, NOON, list(records))],  # type: ignore[arg-type]
    )


@pytest.fixture
def columns(catalog: LakeCatalog) -> LakeColumns:
    return LakeColumns(catalog)


def test_trades_and_quotes_are_those_of_the_records(
    catalog: LakeCatalog, columns: LakeColumns
) -> None:
    _deliver(catalog, _trade(9, 4), _trade(0, 2, side=""), _quote(1, 8.0), _quote(5, 9.0))
    _deliver(catalog, _trade(0, 1, side="sell"), epoch=7, lane="backfill")
    _deliver(catalog, _trade(3, 99), venue="eu-1")
    ticks = LakeTicks(catalog)
    trades, quotes = columns.trades("BTC/USD"), columns.quotes("BTC/USD")
    expected = TradeArrays.of("BTC/USD", ticks.trades("us", "BTC/USD", 0, 2 * NOON))
    assert trades.side.tolist() == expected.side.tolist() == [-1, 0, 1]
    assert trades.ts_ns.tolist() == expected.ts_ns.tolist()
    told = QuoteArrays.of("BTC/USD", ticks.quotes("us", "BTC/USD", 0, 2 * NOON))
    assert (quotes.bid.tolist(), quotes.ask.tolist()) == (told.bid.tolist(), told.ask.tolist())


def test_an_interval_has_its_end_left_out(catalog: LakeCatalog, columns: LakeColumns) -> None:
    _deliver(catalog, *(_trade(ts, ts) for ts in range(5)))
    found = columns.trades("BTC/USD", NOON + 1, NOON + 4)
    assert (found.ts_ns - NOON).tolist() == [1, 2, 3]
    with pytest.raises(InsufficientData, match="no trades of BTC/USD in the interval"):
        columns.trades("BTC/USD", NOON + 5, NOON + 9)


def test_quotes_of_one_instant_keep_the_order_in_which_they_came(
    catalog: LakeCatalog, columns: LakeColumns
) -> None:
    _deliver(catalog, _quote(0, 7.0), _quote(0, 3.0), seq=1)
    _deliver(catalog, _quote(0, 9.0), _quote(0, 1.0), seq=2)
    assert columns.quotes("BTC/USD").bid.tolist() == [7.0, 3.0, 9.0, 1.0]


def test_a_book_begins_with_a_reset_and_leaves_out_what_a_stale_leader_wrote(
    catalog: LakeCatalog, columns: LakeColumns
) -> None:
    _deliver(catalog, _book(0, 5.0), _book(1, 6.0, reset=True), _book(2, 7.0), epoch=1)
    _deliver(catalog, _book(10, 8.0, reset=True), epoch=2)
    _deliver(catalog, _book(11, 99.0), epoch=1, seq=1)
    found = columns.books("BTC/USD")
    assert found.price[~found.reset].tolist() == [6.0, 7.0, 8.0]
    assert (found.ts_ns - NOON).tolist() == [1, 1, 2, 10, 10]


def test_a_book_without_a_reset_is_refused(catalog: LakeCatalog, columns: LakeColumns) -> None:
    _deliver(catalog, _book(0, 5.0), _book(2, 7.0))
    with pytest.raises(InsufficientData, match=r"no whole book of BTC/USD .* expected a reset"):
        columns.books("BTC/USD")


def test_ticks_are_whatever_there_is(catalog: LakeCatalog, columns: LakeColumns) -> None:
    with pytest.raises(InsufficientData, match="no ticks of BTC/USD"):
        columns.ticks("BTC/USD")
    _deliver(catalog, _quote(0, 7.0), _book(1, 6.0, reset=True))
    assert [type(one).__name__ for one in columns.ticks("BTC/USD")] == ["QuoteArrays", "BookArrays"]
    (quotes,) = columns.ticks("BTC/USD", books=False)
    assert len(quotes) == 1


def test_bad_rows_are_refused_or_masked_as_asked(
    catalog: LakeCatalog, columns: LakeColumns
) -> None:
    crossed = Quote("BTC/USD", NOON, NOON, 5.0, 1.0, 4.0, 1.0, 0, "crossed")
    _deliver(catalog, crossed, _quote(3, 7.0))
    with pytest.raises(InvalidData, match="crossed: expected a bid below the ask"):
        columns.quotes("BTC/USD")
    masked = columns.quotes("BTC/USD", bad="mask")
    assert (masked.usable.tolist(), masked.found) == ([False, True], {"crossed": 1})
