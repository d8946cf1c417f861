"""Appends to the lake exactly once.

Two guards, both inside the commit's own optimistic transaction. *Transport*: per (stream, source) a
table property holds, for each epoch, the last seq whose rows are in the table
(:mod:`tradelake.lake.watermarks`); it changes in the same commit as the rows, so a crash can never
separate them (snapshot properties would not survive expiry). A commit without new rows makes an
empty snapshot all the same: by the snapshot the catalog knows, and refuses, a writer that was
overtaken. *Identity*: rows that are in the table already are left out and counted, which covers
backfill that overlaps and appends that are repeated. The library's own commit retries are off,
because a rebased append would double rows: on conflict the table is reloaded and both guards are
asked again.

An older epoch's batches, a stale leader's or those of a spool that was drained late, are written
like all others. Order-book updates among them are marked ``STALE_LEADER`` when a newer epoch was
seen before them: two books, each in its own order, cannot be merged into one.

Watermarks take in every batch of a delivery, those without a row for the table too. The trades
table, from which bars are rebuilt, follows batches of the clean stream even where there is no trade
to write: those of the backfill lane always, the others once event time has come ``FOLLOW_NS``
further.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table import Table as IcebergTable
from sqlalchemy.exc import OperationalError

from tradelake.errors import Transient
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.duplicates import fresh_rows
from tradelake.lake.rows import rows_by_batch, table_of, to_arrow
from tradelake.lake.watermarks import (
    WATERMARK_PREFIX,
    Progress,
    Watermark,
    duplicate_key,
    read_watermarks,
)
from tradelake.market import channels
from tradelake.market.timeframes import SECOND_NS
from tradelake.ports import Delivery
from tradelake.stream.envelope import Batch
from tradelake.topology import streams, tables
from tradelake.topology.tables import TABLES, Table
from tradelake.usecases.unreadable import has_own_stamp

STALE_LEADER: Final = "stale_leader"
"""Flag of order-book rows that came under an older epoch than the newest known of their source."""
FOLLOW_NS: Final = 60 * SECOND_NS
_ATTEMPTS: Final = 12
_BACKOFF_S: Final = 0.05
_MARKED: Final = (tables.BOOKS, tables.BOOK_SNAPSHOTS)
_CHANNEL_OF_TABLE: Final = {
    tables.TRADES.name: channels.TRADES,
    tables.QUOTES.name: channels.QUOTES,
    tables.BOOKS.name: channels.ORDERBOOKS,
    tables.BOOK_SNAPSHOTS.name: channels.SNAPSHOTS,
    tables.INSTRUMENTS.name: channels.INSTRUMENTS,
    tables.DERIVED.name: channels.DERIVED,
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

        One commit a table, in the order of the topology. A batch the table's watermark of its
        source holds is skipped whole.

        Raises
        ------
        InvalidData
            A record has no table or does not fit its columns; nothing was committed.
        Transient
            The catalog kept refusing; tables committed before stay and are recognised next time.
        """
        kinds = {table_of(record).name for batch in batches for record in batch.records}
        follows = stream == streams.CLEAN.name and any(map(has_own_stamp, batches))
        appends = [
            (table, _StreamAppend(table, stream, batches))
            for table in TABLES
            if table.name in kinds or (table is tables.TRADES and follows)
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
        kept = fresh_rows(self._table, target, self._rows)
        if len(kept):
            with target.transaction() as transaction:
                transaction.append(self._rows.take(pa.array(kept)))
        return Delivery(len(kept), self._rows.num_rows - len(kept), 0)


class _StreamAppend:
    """All batches of a delivery, as one table sees them."""

    def __init__(self, table: Table, stream: str, batches: Sequence[Batch]) -> None:
        self._table = table
        self._batches = batches
        self._sources = [f"{stream}/{batch.source_key}" for batch in batches]
        self._rows, self._origin = rows_by_batch(table, batches)
        self._sizes = np.bincount(self._origin, minlength=len(batches))

    def commit(self, target: IcebergTable) -> Delivery:
        marks = read_watermarks(target.properties)
        progress = {
            source: Progress(marks.get(source, Watermark()))
            for source, batch in zip(self._sources, self._batches, strict=True)
            if has_own_stamp(batch)
        }
        new, stale = self._go_through(progress)
        skipped = int(np.count_nonzero((self._sizes > 0) & ~new))
        chosen = np.flatnonzero(new[self._origin])
        if not len(chosen) and not self._has_to_follow(new, progress):
            return Delivery(0, 0, skipped)
        rows = self._rows.take(pa.array(chosen))
        kept = fresh_rows(self._table, target, rows)
        fresh = rows.take(pa.array(kept))
        if self._table in _MARKED:
            fresh = _marked(fresh, stale[self._origin[chosen[kept]]])
        properties = self._advanced(progress, rows, self._origin[chosen], kept)
        if len(kept) or properties:
            with target.transaction() as transaction:
                transaction.append(fresh)
                transaction.set_properties(properties)
        return Delivery(len(kept), len(chosen) - len(kept), skipped)

    def _go_through(
        self, progress: Mapping[str, Progress]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which batches are new, and which of an epoch older than one seen before."""
        new = np.ones(len(self._batches), dtype=bool)
        stale = np.zeros(len(self._batches), dtype=bool)
        for at, (source, batch) in enumerate(zip(self._sources, self._batches, strict=True)):
            known = progress.get(source)
            if known is not None:
                stale[at] = known.is_stale(batch)
                new[at] = known.is_new(batch)
        return new, stale

    def _has_to_follow(self, new: npt.NDArray[np.bool_], progress: Mapping[str, Progress]) -> bool:
        if any(self._batches[int(at)].lane == "backfill" for at in np.flatnonzero(new)):
            return True
        return any(one.gained_ns() >= FOLLOW_NS for one in progress.values())

    def _advanced(
        self,
        progress: Mapping[str, Progress],
        rows: pa.Table,
        origin: npt.NDArray[np.int64],
        kept: npt.NDArray[np.int64],
    ) -> dict[str, str]:
        """Return the watermarks as properties, with the rows written and left out by source."""
        written = Counter[str]()
        sizes = np.bincount(origin[kept], minlength=len(self._batches))
        for at in np.flatnonzero(sizes):
            written[self._sources[at]] += int(sizes[at])
        duplicates: dict[str, Counter[str]] = {}
        left_out = np.setdiff1d(np.arange(rows.num_rows), kept, assume_unique=True)
        for at, key in zip(origin[left_out], self._keys(rows, left_out), strict=True):
            duplicates.setdefault(self._sources[at], Counter())[key] += 1
        return {
            WATERMARK_PREFIX + source: msgspec.json.encode(
                one.advanced(written[source], duplicates.get(source, {}))
            ).decode()
            for source, one in progress.items()
        }

    def _keys(self, rows: pa.Table, indices: npt.NDArray[np.int64]) -> list[str]:
        """Return under which key each of the rows counts as a duplicate."""
        chosen = rows.select([name for name in ("symbol", "channel") if name in rows.column_names])
        chosen = chosen.take(pa.array(indices))
        symbols = chosen["symbol"].to_pylist()
        channel = _CHANNEL_OF_TABLE.get(self._table.name)
        names = chosen["channel"].to_pylist() if channel is None else [channel] * len(symbols)
        return [duplicate_key(*pair) for pair in zip(names, symbols, strict=True)]


def _marked(rows: pa.Table, stale: npt.NDArray[np.bool_]) -> pa.Table:
    """Return ``rows`` with ``STALE_LEADER`` among the flags of those that are."""
    if not stale.any():
        return rows
    flags = [
        ",".join(sorted({*(flags or "").split(","), STALE_LEADER} - {""})) if is_stale else flags
        for flags, is_stale in zip(rows["flags"].to_pylist(), stale, strict=True)
    ]
    at = rows.schema.get_field_index("flags")
    return rows.set_column(at, rows.schema.field(at), pa.array(flags, rows.schema.field(at).type))
