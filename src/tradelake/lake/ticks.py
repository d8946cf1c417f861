"""Reads trades, quotes and minute bars of an interval back from the lake, as records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThan,
)

from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.reader import LakeReader
from tradelake.market.channels import HISTORY
from tradelake.market.records import Bar, Quote, Trade
from tradelake.ports import Gap
from tradelake.topology import tables
from tradelake.topology.streams import CLEAN
from tradelake.topology.tables import Table

_FILLED: Final = (tables.TRADES, tables.QUOTES, tables.BARS)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRADE: Final = (
    "symbol",
    "ts_event_ns",
    "ts_ingest_ns",
    "trade_id",
    "price",
    "size",
    "taker_side",
    "flags",
)
_QUOTE: Final = (
    "symbol",
    "ts_event_ns",
    "ts_ingest_ns",
    "bid",
    "bid_size",
    "ask",
    "ask_size",
    "occurrence",
    "flags",
)
_BAR: Final = (
    "symbol",
    "ts_event_ns",
    "ts_available_ns",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "vwap",
    "trades",
    "timeframe",
    "source",
    "channel",
    "revision",
    "status",
    "flags",
)


class LakeTicks:
    """:class:`tradelake.ports.TickSource` on the lake's tables.

    Parameters
    ----------
    catalog : LakeCatalog
        Where the tables are.
    """

    def __init__(self, catalog: LakeCatalog) -> None:
        self._catalog = catalog
        self._reader = LakeReader(catalog)

    def symbols(self, venue: str, start_ns: int, end_ns: int) -> list[str]:
        """Return the symbols with a trade or quote at ``start_ns <= ts_event < end_ns``, sorted."""
        found: set[str] = set()
        for table in (tables.TRADES, tables.QUOTES):
            rows = self._rows(table, ("symbol",), venue, start_ns, end_ns)
            found.update(rows["symbol"].unique().to_pylist())
        return sorted(found)

    def trades(self, venue: str, symbol: str, start_ns: int, end_ns: int) -> list[Trade]:
        """Return the trades with ``start_ns <= ts_event < end_ns`` by (ts_event, trade_id)."""
        rows = self._rows(tables.TRADES, _TRADE, venue, start_ns, end_ns, symbol)
        by = [("ts_event_ns", "ascending"), ("trade_id", "ascending")]
        return [
            Trade(symbol, ts_event, ts_ingest, trade_id, price, size, side or "", flags or "")
            for symbol, ts_event, ts_ingest, trade_id, price, size, side, flags in _tuples(
                rows.sort_by(by), _TRADE
            )
        ]

    def quotes(self, venue: str, symbol: str, start_ns: int, end_ns: int) -> list[Quote]:
        """Return the quotes with ``start_ns <= ts_event < end_ns``, by time and occurrence."""
        rows = self._rows(tables.QUOTES, _QUOTE, venue, start_ns, end_ns, symbol)
        by = [("ts_event_ns", "ascending"), ("occurrence", "ascending")]
        return [
            Quote(
                symbol, ts_event, ts_ingest, bid, bid_size, ask, ask_size, occurrence, flags or ""
            )
            for symbol, ts_event, ts_ingest, bid, bid_size, ask, ask_size, occurrence, flags in (
                _tuples(rows.sort_by(by), _QUOTE)
            )
        ]

    def bars(self, venue: str, timeframe: str, start_ns: int, end_ns: int) -> list[Bar]:
        """Return every revision of every bar that opens in the interval, but for history's.

        ``ts_ingest`` is when the bar could be used: the table keeps no other. An unknown number of
        trades is -1.
        """
        rows = self._rows(tables.BARS, _BAR, venue, start_ns, end_ns, timeframe=timeframe)
        bars = []
        for values in _tuples(rows, _BAR):
            fields = dict(zip(_BAR, values, strict=True))
            if fields["channel"] == HISTORY:
                continue
            fields["ts_event"] = fields.pop("ts_event_ns")
            fields["ts_ingest"] = fields.pop("ts_available_ns")
            fields["vwap"] = fields["vwap"] or 0.0
            fields["flags"] = fields["flags"] or ""
            if fields["trades"] is None:
                fields["trades"] = -1
            bars.append(Bar(**fields))
        return bars

    def is_delivered(self, gap: Gap) -> bool:
        """Whether the lake holds the last batch, of each bucket and epoch, put to fill a gap.

        Tables are written in their order, trades first: the last batch is in whichever holds it.
        """
        marks = [self._reader.watermarks(table) for table in _FILLED]
        for epoch, bucket, seq in gap.fill.positions():
            source = f"{CLEAN.name}/backfill/{gap.venue}/{bucket}"
            if not any(source in one and one[source].is_past(epoch, seq) for one in marks):
                return False
        return True

    def whole_until_ns(self, venue: str) -> int | None:
        """Return the event time up to which every live source's trades are here.

        None where there is no source.
        """
        prefixes = (f"{CLEAN.name}/live/{venue}/", f"{CLEAN.name}/live/{venue}~")
        marks = self._reader.watermarks(tables.TRADES).items()
        return min(
            (mark.watermark_ns for source, mark in marks if source.startswith(prefixes)),
            default=None,
        )

    def _rows(
        self,
        table: Table,
        columns: Sequence[str],
        venue: str,
        start_ns: int,
        end_ns: int,
        symbol: str | None = None,
        timeframe: str | None = None,
    ) -> pa.Table:
        where: BooleanExpression = And(EqualTo("venue", venue), *interval(table, start_ns, end_ns))
        if symbol is not None:
            where = And(where, EqualTo("symbol", symbol))
        if timeframe is not None:
            where = And(where, EqualTo("timeframe", timeframe))
        try:
            stored = self._catalog.load(table)
        except NoSuchTableError:
            return pa.table({name: [] for name in columns})
        return stored.scan(row_filter=where, selected_fields=tuple(columns)).to_arrow()


def interval(
    table: Table, start_ns: int | None, end_ns: int | None
) -> tuple[BooleanExpression, ...]:
    """Return conditions on rows with ``start_ns <= ts_event < end_ns``; None leaves an end open."""
    conditions: list[BooleanExpression] = [AlwaysTrue()]
    if start_ns is not None:
        conditions.append(GreaterThanOrEqual("ts_event_ns", start_ns))
        # The partition is by this one; it is floored to microseconds.
        conditions.append(GreaterThanOrEqual(table.time, _text(start_ns)))
    if end_ns is not None:
        conditions.append(LessThan("ts_event_ns", end_ns))
        conditions.append(LessThan(table.time, _text(end_ns + 1_000)))
    return tuple(conditions)


def _text(ts_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=ts_ns // 1_000)).isoformat()


def _tuples(rows: pa.Table, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in columns), strict=True))
