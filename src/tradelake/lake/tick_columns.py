"""Trades, quotes and books of the lake as columns: what backtests on ticks run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import And, EqualTo

from tradelake.errors import InsufficientData
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.reader import largest_venue
from tradelake.lake.ticks import interval
from tradelake.lake.writer import STALE_LEADER
from tradelake.market.tape import TickArrays
from tradelake.market.tick_tables import books_of, quotes_of, trades_of
from tradelake.market.ticks import BookArrays, QuoteArrays, TradeArrays, Treatment
from tradelake.topology import tables
from tradelake.topology.tables import Table

_CAME: Final = ("lane", "epoch", "seq")
"""By which way, and when, rows of one instant came; in a file they stand as they were sent."""


class LakeColumns:
    """Ticks of one symbol and interval; of several venues those of the one with more.

    Parameters
    ----------
    catalog : LakeCatalog
        Where the tables are.
    """

    def __init__(self, catalog: LakeCatalog) -> None:
        self._catalog = catalog

    def ticks(
        self,
        symbol: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        books: bool = True,
        bad: Treatment = "refuse",
    ) -> list[TickArrays]:
        """Return what there is of trades, quotes and, where they are wanted, books.

        Raises
        ------
        InsufficientData
            There is nothing of the symbol in the interval.
        InvalidData
            As :meth:`trades`.
        """
        found: list[TickArrays] = []
        kinds: list[Callable[..., TickArrays]] = [self.trades, self.quotes]
        for read in [*kinds, self.books] if books else kinds:
            with suppress(InsufficientData):
                found.append(read(symbol, start_ns, end_ns, bad))
        if not found:
            raise InsufficientData(f"the lake has no ticks of {symbol} in the interval asked for")
        return found

    def trades(
        self,
        symbol: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        bad: Treatment = "refuse",
    ) -> TradeArrays:
        """Return the trades with ``start_ns <= ts_event < end_ns``, by time and trade id.

        Parameters
        ----------
        symbol : str
            Pair.
        start_ns, end_ns : int, optional
            Bounds, ns since 1970 UTC; open-ended by default.
        bad : {"refuse", "mask", "flag"}
            What becomes of rows that are not as they should be.

        Raises
        ------
        InsufficientData
            There are none.
        InvalidData
            As :class:`TradeArrays`.
        """
        columns = ("trade_id", "price", "size", "taker_side")
        rows = self._rows(tables.TRADES, columns, symbol, start_ns, end_ns, ("trade_id",))
        return trades_of(symbol, _renamed(rows, taker_side="side"), bad)

    def quotes(
        self,
        symbol: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        bad: Treatment = "refuse",
    ) -> QuoteArrays:
        """Return the quotes of an interval in the order in which they came.

        Raises
        ------
        InsufficientData, InvalidData
            As :meth:`trades`.
        """
        columns = ("bid", "bid_size", "ask", "ask_size", *_CAME)
        rows = self._rows(tables.QUOTES, columns, symbol, start_ns, end_ns, _CAME)
        return quotes_of(symbol, rows, bad)

    def books(
        self,
        symbol: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        bad: Treatment = "refuse",
    ) -> BookArrays:
        """Return what changed in the book, from the interval's first reset on.

        What a leader that had lost its lease went on to write is left out.

        Raises
        ------
        InsufficientData
            There are no updates, or no reset among them.
        InvalidData
            As :class:`BookArrays`.
        """
        columns = ("bids", "asks", "reset", "flags", *_CAME)
        rows = self._rows(tables.BOOKS, columns, symbol, start_ns, end_ns, _CAME)
        stale = pc.fill_null(pc.match_substring(rows["flags"], STALE_LEADER), fill_value=False)
        found = books_of(symbol, rows.filter(pc.invert(stale)), bad)
        if not len(found):
            raise InsufficientData(
                f"the lake has no whole book of {symbol} in the interval asked for: "
                "expected a reset"
            )
        return found

    def _rows(
        self,
        table: Table,
        columns: Sequence[str],
        symbol: str,
        start_ns: int | None,
        end_ns: int | None,
        order: Sequence[str],
    ) -> pa.Table:
        """Return rows by time, and those of an instant by ``order``, else as they are stored."""
        where = And(EqualTo("symbol", symbol), *interval(table, start_ns, end_ns))
        fields = tuple(dict.fromkeys(("venue", "ts_event_ns", *columns)))
        try:
            rows = self._catalog.load(table).scan(row_filter=where, selected_fields=fields)
            found = largest_venue(rows.to_arrow())
        except NoSuchTableError:
            found = None
        if found is None or not found.num_rows:
            raise InsufficientData(
                f"the lake has no {table.name} of {symbol} in the interval asked for"
            )
        keys = [_sortable(found[name]) for name in reversed(("ts_event_ns", *order))]
        return _renamed(found.take(np.lexsort(keys)), ts_event_ns="ts_ns")


def _sortable(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.asarray(column.to_pylist(), np.str_)
    return np.asarray(column.to_numpy())


def _renamed(rows: pa.Table, **names: str) -> pa.Table:
    return rows.rename_columns([names.get(name, name) for name in rows.column_names])
