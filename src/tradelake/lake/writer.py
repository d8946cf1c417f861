"""Appends to the lake exactly once.

Two guards, both inside the commit's own optimistic transaction. *Transport*: per (stream, source) a
table property holds the last (epoch, seq) whose rows are in the table; it changes in the same
commit as the rows, so a crash can never separate them (snapshot properties would not survive
expiry). A commit without new rows makes an empty snapshot all the same: by the snapshot the catalog
knows, and refuses, a writer that was overtaken. *Identity*: rows that are in the table already are
left out and counted, which covers backfill that overlaps and appends that are repeated. The
library's own commit retries are off, because a rebased append would double rows: on conflict the
table is reloaded and both guards are asked again.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, In, LessThanOrEqual
from pyiceberg.table import Table as IcebergTable
from sqlalchemy.exc import OperationalError

from tradelake.errors import Transient
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.rows import records_to_arrow, table_of, to_arrow
from tradelake.market.channels import ORDERBOOKS, QUOTES, TRADES
from tradelake.ports import Delivery
from tradelake.stream.envelope import Batch
from tradelake.topology.tables import TABLES, Table

WATERMARK_PREFIX: Final = "tradelake.watermark."
_ATTEMPTS: Final = 12
_BACKOFF_S: Final = 0.05


class Watermark(msgspec.Struct, frozen=True):
    """What a table holds of one source: the last position, and rows and duplicates counted so far.

    ``duplicates`` counts by ``"<channel> <symbol>"`` (see :func:`duplicate_key`).
    """

    epoch: int = -1
    seq: int = -1
    rows: int = 0
    duplicates: dict[str, int] = {}

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, seq) of the last batch with rows in the table."""
        return (self.epoch, self.seq)


def read_watermarks(properties: Mapping[str, str]) -> dict[str, Watermark]:
    """Return the watermarks in a table's properties by ``stream/source``."""
    return {
        key.removeprefix(WATERMARK_PREFIX): msgspec.json.decode(value, type=Watermark)
        for key, value in properties.items()
        if key.startswith(WATERMARK_PREFIX)
    }


class IcebergWriter:
    """:class:`tradelake.ports.LakeWriter` on pyiceberg.

    Parameters
    ----------
    catalog : LakeCatalog
        Where the tables are.
    pause : callable
        How to wait between attempts; seconds.
    """

    def __init__(self, catalog: LakeCatalog, pause: Callable[[float], None] = time.sleep) -> None:
        self._catalog = catalog
        self._pause = pause

    def deliver(self, stream: str, batches: Sequence[Batch]) -> dict[str, Delivery]:
        """Append the records of batches read from ``stream``, each to the table of its kind.

        One commit a table. A batch at or before the table's watermark of its source is skipped
        whole.

        Raises
        ------
        InvalidData
            A record has no table or does not fit its columns; nothing was committed.
        Transient
            The catalog kept refusing; tables committed before stay and are recognised next time.
        """
        kinds = {table_of(record).name for batch in batches for record in batch.records}
        appends = [
            (table, _StreamAppend(table, stream, batches))
            for table in TABLES
            if table.name in kinds
        ]
        return {table.name: self._committed(table, append) for table, append in appends}

    def append(self, table: Table, columns: Mapping[str, Sequence[Any]]) -> Delivery:
        """Append rows given as columns; rows with known identity are counted as duplicates.

        Raises
        ------
        InvalidData
            The columns do not fit the table.
        Transient
            The catalog kept refusing.
        """
        return self._committed(table, _PlainAppend(table, to_arrow(table, dict(columns))))

    def _committed(self, table: Table, work: _StreamAppend | _PlainAppend) -> Delivery:
        for attempt in range(_ATTEMPTS):
            target = self._catalog.ensure(table)
            try:
                return work.commit(target)
            except (CommitFailedException, CommitStateUnknownException, OperationalError) as error:
                last = error
            self._pause(random.uniform(0, _BACKOFF_S * 2 ** min(attempt, 5)))
        raise Transient(f"lake table {table.name}: {_ATTEMPTS} commits refused: {last}") from last


class _PlainAppend:
    def __init__(self, table: Table, rows: pa.Table) -> None:
        self._table = table
        self._rows = rows

    def commit(self, target: IcebergTable) -> Delivery:
        fresh = without_duplicates(self._table, target, self._rows)
        if fresh.num_rows:
            with target.transaction() as transaction:
                transaction.append(fresh)
        return Delivery(fresh.num_rows, self._rows.num_rows - fresh.num_rows, 0)


class _StreamAppend:
    def __init__(self, table: Table, stream: str, batches: Sequence[Batch]) -> None:
        self._table = table
        self._stream = stream
        self._batches = [
            batch for batch in batches if any(table_of(record) is table for record in batch.records)
        ]
        self._rows = records_to_arrow(table, self._batches)

    def commit(self, target: IcebergTable) -> Delivery:
        marks = read_watermarks(target.properties)
        positions = {source: mark.position for source, mark in marks.items()}
        new: list[Batch] = []
        for batch in self._batches:
            source = self._source(batch)
            if batch.position > positions.get(source, (-1, -1)):
                positions[source] = batch.position
                new.append(batch)
        skipped = len(self._batches) - len(new)
        if not new:
            return Delivery(0, 0, skipped)
        rows = records_to_arrow(self._table, new) if skipped else self._rows
        fresh = without_duplicates(self._table, target, rows)
        properties = self._advanced(marks, positions, new, rows, fresh)
        with target.transaction() as transaction:
            transaction.append(fresh)
            transaction.set_properties(properties)
        return Delivery(fresh.num_rows, rows.num_rows - fresh.num_rows, skipped)

    def _source(self, batch: Batch) -> str:
        return f"{self._stream}/{batch.source_key}"

    def _advanced(
        self,
        marks: Mapping[str, Watermark],
        positions: Mapping[str, tuple[int, int]],
        new: Sequence[Batch],
        rows: pa.Table,
        fresh: pa.Table,
    ) -> dict[str, str]:
        given = _counts(self._table, rows)
        kept = _counts(self._table, fresh)
        properties = {}
        for source in {self._source(batch) for batch in new}:
            mark = marks.get(source, Watermark())
            duplicates = dict(mark.duplicates)
            added = 0
            for (stamp, key), count in given.items():
                if source == f"{self._stream}/{stamp}":
                    stored = kept.get((stamp, key), 0)
                    added += stored
                    if count > stored:
                        duplicates[key] = duplicates.get(key, 0) + count - stored
            epoch, seq = positions[source]
            advanced = Watermark(epoch, seq, mark.rows + added, duplicates)
            properties[WATERMARK_PREFIX + source] = msgspec.json.encode(advanced).decode()
        return properties


_CHANNEL_OF_TABLE: Final = {"trades": TRADES, "quotes": QUOTES, "books": ORDERBOOKS}


def duplicate_key(channel: str, symbol: str) -> str:
    """Key under which a watermark counts duplicates."""
    return f"{channel} {symbol}"


def _counts(table: Table, rows: pa.Table) -> dict[tuple[str, str], int]:
    by = ["lane", "venue", "bucket", "symbol"]
    channel = _CHANNEL_OF_TABLE.get(table.name)
    if channel is None:
        by.append("channel")
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows.group_by(by).aggregate([([], "count_all")]).to_pylist():
        stamp = f"{row['lane']}/{row['venue']}/{row['bucket']}"
        key = duplicate_key(channel or row["channel"], row["symbol"])
        counts[(stamp, key)] += row["count_all"]
    return counts


def without_duplicates(table: Table, target: IcebergTable, rows: pa.Table) -> pa.Table:
    """Return ``rows`` without repeats and without those whose identity is in ``target``.

    The first of equal rows is kept and the order stays.
    """
    keys = list(table.identity)
    order = pa.array(range(rows.num_rows), type=pa.int64())
    numbered = rows.select(keys).append_column("_row", order)
    first = numbered.group_by(keys, use_threads=False).aggregate([("_row", "min")])
    if target.current_snapshot() is not None:
        known = target.scan(
            row_filter=_may_hold(table, rows), selected_fields=tuple(keys)
        ).to_arrow()
        if known.num_rows:
            known = known.select(keys).cast(first.select(keys).schema)
            first = first.join(known, keys=keys, join_type="left anti", use_threads=False)
    if first.num_rows == rows.num_rows:
        return rows
    return rows.take(first.column("_row_min").sort())


def _may_hold(table: Table, rows: pa.Table) -> BooleanExpression:
    values = rows.column(table.lookup)
    if pa.types.is_timestamp(values.type):
        bounds = pc.min_max(values).as_py()
        low, high = bounds["min"].isoformat(), bounds["max"].isoformat()
        near = And(GreaterThanOrEqual(table.lookup, low), LessThanOrEqual(table.lookup, high))
        symbols = pc.unique(rows.column("symbol")).to_pylist()
        return And(near, In("symbol", symbols)) if len(symbols) <= 200 else near
    return In(table.lookup, pc.unique(values).to_pylist())
