"""Reads the lake: bars as columns for research, SQL for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import (
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    LessThan,
)
from pyiceberg.table import Table as IcebergTable

from tradelake.errors import ConfigError, InsufficientData
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.watermarks import Watermark, read_watermarks
from tradelake.market.arrays import BarArrays
from tradelake.market.channels import (
    AGGREGATE,
    BARS,
    DAILY_BARS,
    HISTORY,
    UPDATED_BARS,
)
from tradelake.market.resample import resample
from tradelake.market.timeframes import event_timeframe, timeframe_ns
from tradelake.ports import InstrumentRows
from tradelake.topology import tables
from tradelake.topology.tables import TABLES, Table

_PREFERENCE: Final = {HISTORY: 0, BARS: 1, DAILY_BARS: 1, AGGREGATE: 1, UPDATED_BARS: 2}
_COLUMNS: Final = (
    "venue",
    "ts_event_ns",
    "source",
    "channel",
    "ts_available_ns",
    "revision",
    "open",
    "high",
    "low",
    "close",
    "volume",
)
_BASE: Final = "1m"


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a table holds now; times are ns since 1970 UTC and None where it is empty."""

    name: str
    rows: int
    files: int
    bytes: int
    first_ns: int | None
    last_ns: int | None
    snapshot_id: str


class LakeReader:
    """Reads the tables of one environment.

    Parameters
    ----------
    catalog : LakeCatalog
        Where the tables are.
    """

    def __init__(self, catalog: LakeCatalog) -> None:
        self._catalog = catalog

    @property
    def catalog(self) -> LakeCatalog:
        """Where the tables are."""
        return self._catalog

    def bars(
        self,
        symbol: str,
        timeframe: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        source: str | None = None,
    ) -> BarArrays:
        """Return the newest revision of each bar with ``start_ns <= ts_event < end_ns``.

        Bars of different venues or sources are never mixed. Where the timeframe itself is not
        stored, or 1-minute bars reach further, it is made of these; a bar then exists where at
        least one minute does.
        Event bars of a UTC day that was rebuilt are those of its last rebuild alone.

        Parameters
        ----------
        symbol, timeframe : str
            Pair and timeframe.
        start_ns, end_ns : int, optional
            Bounds of the bars' opens, ns since 1970 UTC; open-ended by default.
        source : {"alpaca", "tradelake"}, optional
            Whose bars; by default the source with more of them. Of several venues likewise the one
            with more.

        Raises
        ------
        InsufficientData
            The lake has no such bars.
        """
        found = self._stored(symbol, timeframe, start_ns, end_ns, source)
        timed = event_timeframe(timeframe) is None
        if timed and timeframe_ns(timeframe) > timeframe_ns(_BASE):
            minutes = self._stored(symbol, _BASE, start_ns, end_ns, source)
            made = None if minutes is None else resample(minutes, timeframe)
            if made is not None and (found is None or len(made) > len(found)):
                found = made
        if found is None or not len(found):
            raise InsufficientData(
                f"the lake has no {timeframe} bars of {symbol}"
                f"{f' from {source}' if source else ''} in the interval asked for"
            )
        return found

    def _stored(
        self,
        symbol: str,
        timeframe: str,
        start_ns: int | None,
        end_ns: int | None,
        source: str | None,
    ) -> BarArrays | None:
        table = self._load(tables.BARS)
        if table is None:
            return None
        where: BooleanExpression = And(EqualTo("symbol", symbol), EqualTo("timeframe", timeframe))
        if source is not None:
            where = And(where, EqualTo("source", source))
        if start_ns is not None:
            where = And(where, GreaterThanOrEqual("ts_event_ns", start_ns))
        if end_ns is not None:
            where = And(where, LessThan("ts_event_ns", end_ns))
        rows = table.scan(row_filter=where, selected_fields=_COLUMNS).to_arrow()
        if not rows.num_rows:
            return None
        series = _largest_series(rows)
        timed = event_timeframe(timeframe) is None
        newest = _newest_revision(series if timed else _newest_rebuild(series))
        available_ns = newest["ts_available_ns"].to_numpy()
        columns = {
            name: newest[name].to_numpy() for name in ("open", "high", "low", "close", "volume")
        }
        return BarArrays(
            symbol=symbol,
            timeframe=timeframe,
            ts_event_ns=newest["ts_event_ns"].to_numpy(),
            snapshot_id=_snapshot_id(table),
            over_ns=None if timed else np.maximum.accumulate(available_ns),
            **columns,
        )

    def instruments(self, symbols: Sequence[str]) -> InstrumentRows:
        """Return the rows of the table ``instruments`` on some symbols, oldest first.

        Of several venues those of the one with more rows; none where there is no such table.
        """
        table = self._load(tables.INSTRUMENTS)
        if table is None or not symbols:
            return InstrumentRows([], "")
        rows = table.scan(row_filter=In("symbol", tuple(symbols))).to_arrow()
        mine = largest_venue(rows).sort_by("ts_event_ns")
        return InstrumentRows(mine.to_pylist(), _snapshot_id(table))

    def sql(self, query: str) -> pa.Table:
        """Return the answer of a SELECT over the lake's tables, run by DuckDB.

        The query sees the lake's tables and nothing else of this machine.

        Raises
        ------
        ConfigError
            The query is wrong; the message is DuckDB's.
        """
        connection = duckdb.connect()
        try:
            folders = self._register(connection)
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET allowed_directories = {folders!r}")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            statements = connection.extract_statements(query)
            if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
                raise ConfigError("SQL: expected one SELECT")
            return connection.sql(statements[0]).to_arrow_table()
        except duckdb.Error as error:
            raise ConfigError(f"SQL: {str(error).splitlines()[0]}") from error
        finally:
            connection.close()

    def _register(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        folders = []
        for table in TABLES:
            stored = self._load(table)
            if stored is None:
                continue
            tasks = list(stored.scan().plan_files())
            plain = all(
                task.file.file_path.startswith("file://") and not task.delete_files
                for task in tasks
            )
            if tasks and plain:
                files = [task.file.file_path.removeprefix("file://") for task in tasks]
                folders.append(stored.location().removeprefix("file://"))
                connection.read_parquet(files).create_view(table.name)
            else:
                connection.register(table.name, stored.scan().to_arrow())
        return folders

    def facts(self) -> list[TableFacts]:
        """Return what each table holds, in the order of the topology."""
        answer = []
        for table in TABLES:
            stored = self._load(table)
            if stored is None:
                answer.append(TableFacts(table.name, 0, 0, 0, None, None, ""))
                continue
            files = [task.file for task in stored.scan().plan_files()]
            first, last = self._extent(table) if files else (None, None)
            answer.append(
                TableFacts(
                    table.name,
                    sum(file.record_count for file in files),
                    len(files),
                    sum(file.file_size_in_bytes for file in files),
                    first,
                    last,
                    _snapshot_id(stored),
                )
            )
        return answer

    def _extent(self, table: Table) -> tuple[int, int]:
        row = self.sql(
            f"SELECT min(epoch_ns({table.time})) AS low, max(epoch_ns({table.time})) AS high "  # noqa: S608 - names of the topology
            f"FROM {table.name}"
        ).to_pylist()[0]
        return int(row["low"]), int(row["high"])

    def watermarks(self, table: Table) -> dict[str, Watermark]:
        """Return what the table holds of each source, by ``stream/lane/venue/bucket``."""
        stored = self._load(table)
        return {} if stored is None else read_watermarks(stored.properties)

    def _load(self, table: Table) -> IcebergTable | None:
        """Return the table, or None where it was not made yet: whoever reads may not make it."""
        try:
            return self._catalog.load(table)
        except NoSuchTableError:
            return None


def largest_venue(rows: pa.Table) -> pa.Table:
    """Return the rows of the venue with most of them, the first by name of several."""
    if not rows.num_rows:
        return rows
    venues = rows.group_by("venue").aggregate([([], "count_all")])
    most = venues.sort_by([("count_all", "descending"), ("venue", "ascending")])["venue"][0]
    return rows.filter(pc.equal(rows["venue"], most))


def _largest_series(rows: pa.Table) -> pa.Table:
    """Return the rows of the venue and source that have most of them."""
    by = ("venue", "source")
    counts = rows.group_by(by).aggregate([([], "count_all")])
    best = counts.sort_by([("count_all", "descending"), *((name, "ascending") for name in by)])
    for name in by:
        rows = rows.filter(pc.equal(rows[name], best[name][0]))
    return rows


def _newest_rebuild(rows: pa.Table) -> pa.Table:
    """Return event bars without those of a day that was rebuilt, but for its last rebuild's.

    Rebuilt bars have one odd revision a day, which grows with what the lake knows of it.
    """
    revision = rows["revision"].to_numpy()
    day = rows["ts_event_ns"].to_numpy() // timeframe_ns("1d")
    rebuilt = revision % 2 == 1
    days, index = np.unique(day, return_inverse=True)
    last = np.full(len(days), -1, dtype=np.int64)
    np.maximum.at(last, index[rebuilt], revision[rebuilt])
    wanted = np.where(last[index] < 0, ~rebuilt, rebuilt & (revision == last[index]))
    return rows.filter(pa.array(wanted))


def _newest_revision(rows: pa.Table) -> pa.Table:
    rank = np.array([_PREFERENCE.get(channel, 0) for channel in rows["channel"].to_pylist()])
    ts_event = rows["ts_event_ns"].to_numpy()
    keys = (rows["revision"].to_numpy(), rows["ts_available_ns"].to_numpy(), rank, ts_event)
    order = np.lexsort(keys)
    sorted_ts = ts_event[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = sorted_ts[1:] != sorted_ts[:-1]
    return rows.take(pa.array(order[last]))


def _snapshot_id(table: IcebergTable) -> str:
    snapshot = table.current_snapshot()
    return "" if snapshot is None else str(snapshot.snapshot_id)
