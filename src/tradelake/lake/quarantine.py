"""Reads quarantine, and knows which of its records the lake has by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table as IcebergTable

from tradelake.errors import InvalidData
from tradelake.lake.duplicates import fresh_rows
from tradelake.lake.reader import LakeReader
from tradelake.lake.rows import records_to_arrow, table_of
from tradelake.market.channels import DERIVED
from tradelake.market.records import Record, channel_of
from tradelake.stream.envelope import NO_WATERMARK, Batch
from tradelake.topology.tables import QUARANTINE, TABLES, Table
from tradelake.usecases.replay_quarantine import Quarantined, Selection, revive

_LIVE: Final = "live"
_BACKFILL: Final = "backfill"
_COLUMNS: Final = (
    "venue",
    "symbol",
    "channel",
    "ts_event_ns",
    "ts_ingest_ns",
    "rule",
    "reason",
    "raw",
    "lane",
    "epoch",
    "bucket",
    "seq",
    "position",
)


class LakeQuarantine:
    """:class:`tradelake.usecases.replay_quarantine.QuarantineLake` on the lake.

    Parameters
    ----------
    reader : LakeReader
        The lake.
    """

    def __init__(self, reader: LakeReader) -> None:
        self._reader = reader
        self._catalog = reader.catalog

    def rows(self, selection: Selection) -> Iterator[Quarantined]:
        """Yield rows in the order of their receipt."""
        if not any(one.rows for one in self._reader.facts() if one.name == QUARANTINE.name):
            return
        where = ["TRUE"]
        for column, value in (("rule", selection.rule), ("symbol", selection.symbol)):
            if value:
                where.append(f"{column} = {_quoted(value)}")
        if selection.since_ns is not None:
            where.append(f"ts_ingest_ns >= {selection.since_ns:d}")
        limit = "" if selection.limit is None else f" LIMIT {selection.limit:d}"
        answer = self._reader.sql(
            f"SELECT {', '.join(_COLUMNS)} FROM {QUARANTINE.name}"  # noqa: S608 - values are quoted
            f" WHERE {' AND '.join(where)}"
            f" ORDER BY ts_ingest_ns, venue, lane, epoch, bucket, seq, position{limit}"
        )
        for part in answer.to_batches(max_chunksize=1_000):
            for row in part.to_pylist():
                yield Quarantined(*(row[name] for name in _COLUMNS))

    def are_new(self, venue: str, records: Sequence[Record]) -> list[bool]:
        """Return whether each record is not in its table yet, nor earlier among ``records``.

        Raises
        ------
        InvalidData
            A record has no table or does not fit its columns.
        """
        new = [False] * len(records)
        by_table: dict[str, list[int]] = {}
        for index, record in enumerate(records):
            by_table.setdefault(table_of(record).name, []).append(index)
        for indices in by_table.values():
            table = table_of(records[indices[0]])
            stored = self._table(table)
            if stored is None:
                fresh: Iterable[int] = range(len(indices))
            else:
                batch = _alone(venue, [records[index] for index in indices])
                fresh = map(int, fresh_rows(table, stored, records_to_arrow(table, [batch])))
            for row in fresh:
                new[indices[row]] = True
        return new

    def unstored(self) -> dict[tuple[str, str], int]:
        """Return how many of the venue's points quarantine accounts for, by (channel, symbol).

        Each row that was received live accounts for one, and a point that was rejected in another
        lane alone for one. A point counts one less when the backfill lane has brought it into the
        lake since: it was replayed, or fetched in a form that passed, and stored accounts for it.
        What today's decoders cannot read accounts for one point of the channel and symbol that its
        row names. What a user's transform could not deal with is stored itself, and no point here.
        """
        counts: Counter[tuple[str, str]] = Counter()
        received: dict[tuple[str, ...], _Point] = {}
        for row in self.rows(Selection()):
            if row.channel == DERIVED:
                continue
            try:
                for point in map(_point, revive(row)):
                    known = received.setdefault((point.table, *map(repr, point.identity)), point)
                    known.live += row.lane == _LIVE
            except InvalidData:
                counts[row.channel, row.symbol] += 1
        for name in {point.table for point in received.values()}:
            there = self._backfilled(next(one for one in TABLES if one.name == name))
            for key, point in received.items():
                if point.table == name:
                    counts[point.channel, point.symbol] += max(point.live, 1) - (key in there)
        return {key: count for key, count in counts.items() if count > 0}

    def _backfilled(self, table: Table) -> set[tuple[str, ...]]:
        """Identities that the backfill lane brought into a table."""
        stored = self._table(table)
        if stored is None:
            return set()
        rows = stored.scan(
            row_filter=EqualTo("lane", _BACKFILL), selected_fields=table.identity
        ).to_arrow()
        columns = [rows.column(name).to_pylist() for name in table.identity]
        return {(table.name, *map(repr, identity)) for identity in zip(*columns, strict=True)}

    def _table(self, table: Table) -> IcebergTable | None:
        """Return the table, or None where it was not made yet: whoever reads may not make it."""
        try:
            return self._catalog.load(table)
        except NoSuchTableError:
            return None


@dataclass(slots=True)
class _Point:
    table: str
    identity: tuple[object, ...]
    channel: str
    symbol: str
    live: int = 0


def _point(revived: tuple[str, Record]) -> _Point:
    """Return what names a record in the lake.

    Raises
    ------
    InvalidData
        No table can hold it.
    """
    venue, record = revived
    table = table_of(record)
    row = records_to_arrow(table, [_alone(venue, [record])]).select(list(table.identity))
    return _Point(table.name, tuple(row.to_pylist()[0].values()), channel_of(record), record.symbol)


def _alone(venue: str, records: Sequence[Record]) -> Batch:
    return Batch(_BACKFILL, venue, 0, 0, 0, NO_WATERMARK, list(records))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
