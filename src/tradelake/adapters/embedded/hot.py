"""The hot store of one machine: bars in a SQLite file, shared by processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tradelake.errors import Transient
from tradelake.market.records import Bar

BUSY_MS: Final = 5_000

_KEY: Final = ("venue", "source", "channel", "symbol", "timeframe", "ts_event")
_BAR: Final = tuple(Bar.__struct_fields__)
_COLUMNS: Final = _KEY + tuple(name for name in _BAR if name not in _KEY)

_CREATE: Final = f"""
CREATE TABLE IF NOT EXISTS bars (
  {", ".join(_COLUMNS)}, PRIMARY KEY ({", ".join(_KEY)})
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bars_recent ON bars (symbol, timeframe, ts_event);
"""
_UPSERT: Final = (
    f"INSERT INTO bars ({', '.join(_COLUMNS)})"  # noqa: S608 - our own column names
    f" VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _COLUMNS if name not in _KEY)}"
    " WHERE excluded.revision >= bars.revision"
)
_RECENT: Final = (
    f"SELECT {', '.join(_BAR)} FROM bars WHERE symbol = ? AND timeframe = ?"  # noqa: S608
    " ORDER BY ts_event DESC, venue, source, channel LIMIT ?"
)


class SqliteHotStore:
    """Bars in a SQLite file.

    Processes may share the file: writes are short transactions in WAL mode, readers never wait.
    Each call opens its own connection, so an instance may be used by several threads.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made when they are absent.
    busy_ms : int
        How long a writer waits for another one.
    """

    def __init__(self, path: Path, busy_ms: int = BUSY_MS) -> None:
        self._path = path
        self._busy_s = busy_ms / 1000
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_CREATE)

    def upsert_bars(self, venue: str, bars: Sequence[Bar]) -> None:
        """Write bars in one transaction; a stored bar of a later revision stays.

        Raises
        ------
        Transient
            The file stayed locked for ``busy_ms``.
        """
        rows = [(venue, *(getattr(bar, name) for name in _COLUMNS[1:])) for bar in bars]
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_UPSERT, rows)

    def recent_bars(self, symbol: str, timeframe: str, limit: int) -> list[Bar]:
        """Return the latest ``limit`` bars of every venue, source and channel, oldest first."""
        with self._connection() as connection:
            rows = connection.execute(_RECENT, (symbol, timeframe, limit)).fetchall()
        return [Bar(*row) for row in reversed(rows)]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self._path, timeout=self._busy_s, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = NORMAL")
                yield connection
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise Transient(f"hot store {self._path}: {error}") from error
