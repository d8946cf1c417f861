"""A folder of recorded Parquet files as a market to play.

Files are named ``<channel>_<session>.parquet``; those that share what follows the channel are one
session. Sessions with trades, quotes and books are streamed, in time order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tradelake.errors import ConfigError
from tradelake.exchange.barfiles import BarFiles
from tradelake.exchange.schemas import SCHEMAS, check_file
from tradelake.exchange.source import BarHistory, Session, Tick
from tradelake.market.records import BookUpdate, Level, Quote, TakerSide, Trade

_CHUNK: Final = 2048
_SIDES: Final[Mapping[str | None, TakerSide]] = {"buy": "buy", "sell": "sell"}


def trade_id_of(symbol: str, text: str | None, ts_ns: int, row: int) -> int:
    """A recorded trade's id as int64: the number itself, else a hash of the id, or of time and row.

    >>> trade_id_of("BTC/USD", "3735683259", 0, 0)
    3735683259
    """
    if text is not None and text.isdecimal() and int(text) < 1 << 63:
        return int(text)
    named = f"{symbol}|{text}" if text is not None else f"{symbol}|{ts_ns}|{row}"
    digest = hashlib.blake2b(named.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _numbers(column: pa.ChunkedArray | pa.Array) -> list[float]:
    """Values of a column; what is missing is sent as no number, as a faulty venue would."""
    if column.null_count:
        column = pc.fill_null(column.cast("float64"), math.nan)
    values: list[float] = column.to_pylist()
    return values


def _columns(table: pa.Table, channel: str) -> Iterator[list[Any]]:
    for name, kind in SCHEMAS[channel].items():
        column = table.column(name)
        yield _numbers(column) if kind == "double" else column.to_pylist()


def _levels(column: pa.ChunkedArray) -> Iterator[list[Level]]:
    array = column.combine_chunks()
    flat = array.flatten()
    prices, sizes = (_numbers(pc.struct_field(flat, name)) for name in ("price", "size"))
    levels: list[Level] = list(zip(prices, sizes, strict=True))
    offsets = array.offsets.to_numpy()
    for start, stop in pairwise((offsets - offsets[0]).tolist()):
        yield levels[start:stop]


def _trades(table: pa.Table, first_row: int) -> Iterator[Tick]:
    columns = zip(*_columns(table, "trades"), strict=True)
    for row, (symbol, ts, price, size, side, name) in enumerate(columns, first_row):
        trade_id = trade_id_of(symbol, name, ts, row)
        yield Trade(symbol, ts, 0, trade_id, price, size, _SIDES.get(side, ""))


def _quotes(table: pa.Table, _first_row: int) -> Iterator[Tick]:
    columns = zip(*_columns(table, "quotes"), strict=True)
    for symbol, ts, bid, bid_size, ask, ask_size in columns:
        yield Quote(symbol, ts, 0, bid, bid_size, ask, ask_size)


def _books(table: pa.Table, _first_row: int) -> Iterator[Tick]:
    plain = (table.column(name).to_pylist() for name in ("symbol", "ts_ns", "reset"))
    levels = (_levels(table.column(name)) for name in ("bids", "asks"))
    for symbol, ts, reset, bids, asks in zip(*plain, *levels, strict=True):
        yield BookUpdate(symbol, ts, 0, bids, asks, reset=bool(reset))


_READERS: Final = {"books": _books, "quotes": _quotes, "trades": _trades}
"""In the order of publication at equal times: the book explains the quote, the quote the trade."""


@dataclass(frozen=True)
class RecordedSession:
    """Files of one venue and stretch of time.

    Parameters
    ----------
    name : str
        What the file names share.
    files : mapping of str to Path
        By channel: trades, quotes, books.
    symbols : tuple of str
        The symbols to play.
    start_ns, end_ns : int
        Time of the first and last tick of those symbols.
    limit : int or None
        Stop after this many ticks.
    """

    name: str
    files: Mapping[str, Path]
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    limit: int | None

    @cached_property
    def weight(self) -> int:
        """Rows of its files; read once, since every status asks."""
        rows: int = sum(pq.read_metadata(path).num_rows for path in self.files.values())
        return max(1, rows)

    def ticks(self) -> Iterator[Tick]:
        """Ticks of all channels by time; at equal times books, quotes, trades, each as recorded."""
        tables = {channel: self._table(channel) for channel in _READERS if channel in self.files}
        times = [table.column("ts_ns").to_numpy() for table in tables.values()]
        channels = np.repeat(np.arange(len(times)), [len(ts) for ts in times])
        order = channels[np.argsort(np.concatenate(times), kind="stable")][: self.limit]
        nexts = [_chunks(channel, table).__next__ for channel, table in tables.items()]
        for channel in order.tolist():
            yield nexts[channel]()

    def _table(self, channel: str) -> pa.Table:
        table = pq.read_table(self.files[channel], columns=list(SCHEMAS[channel]))
        table = table.filter(pc.is_in(table.column("symbol"), value_set=pa.array(self.symbols)))
        return table.take(np.argsort(table.column("ts_ns").to_numpy(), kind="stable"))


def _chunks(channel: str, table: pa.Table) -> Iterator[Tick]:
    for first in range(0, len(table), _CHUNK):
        yield from _READERS[channel](table.slice(first, _CHUNK), first)


def _session(
    name: str, files: Mapping[str, Path], wanted: frozenset[str] | None, limit: int | None
) -> RecordedSession | None:
    symbols: set[str] = set()
    starts, ends = [], []
    for channel, path in files.items():
        check_file(path, channel)
        table = pq.read_table(path, columns=["symbol", "ts_ns"])
        found = set(pc.unique(table.column("symbol")).to_pylist())
        chosen = found if wanted is None else found & wanted
        if chosen:
            mask = pc.is_in(table.column("symbol"), value_set=pa.array(sorted(chosen)))
            bounds = pc.min_max(table.column("ts_ns").filter(mask))
            starts.append(bounds["min"].as_py())
            ends.append(bounds["max"].as_py())
            symbols |= chosen
    if not symbols:
        return None
    return RecordedSession(name, files, tuple(sorted(symbols)), min(starts), max(ends), limit)


class RecordedMarket:
    """A folder of recordings.

    Parameters
    ----------
    folder : Path
        Where the files are.
    symbols : sequence of str, optional
        Play only these.
    sessions : sequence of str, optional
        Play the sessions whose names contain one of these, whichever channels they have; by default
        those with trades, quotes and books.
    limit : int, optional
        Ticks per session.
    history_pattern : str
        Which files in the folder REST serves bars from.

    Raises
    ------
    ConfigError
        The folder is missing, empty, or holds nothing that was asked for; or a file has the wrong
        schema.
    """

    def __init__(
        self,
        folder: Path,
        *,
        symbols: Sequence[str] = (),
        sessions: Sequence[str] = (),
        limit: int | None = None,
        history_pattern: str = "bars_1m_*.parquet",
    ) -> None:
        if not folder.is_dir():
            raise ConfigError(f"recorded data: expected a folder; {folder} does not exist")
        if not any(folder.glob("*.parquet")):
            raise ConfigError(f"recorded data: expected Parquet files; found none in {folder}")
        self._folder = folder
        self._history = BarFiles(sorted(folder.glob(history_pattern)))
        groups = _group(folder)
        if sessions:
            chosen = {n: f for n, f in groups.items() if any(part in n for part in sessions)}
        else:
            chosen = {n: f for n, f in groups.items() if len(f) == len(_READERS)}
        wanted = frozenset(symbols) if symbols else None
        opened = [_session(name, files, wanted, limit) for name, files in chosen.items()]
        self._sessions = sorted((s for s in opened if s is not None), key=attrgetter("start_ns"))
        if not self._sessions and (sessions or symbols or not self._history.paths):
            raise ConfigError(
                "recorded data: expected sessions"
                f" {', '.join(sessions) or 'with trades, quotes and books'}"
                f" of {', '.join(symbols) or 'any symbol'};"
                f" {folder} has {', '.join(groups) or 'none'}"
            )

    @property
    def description(self) -> str:
        """Folder and sessions."""
        names = ", ".join(session.name for session in self._sessions)
        return f"recorded {self._folder.name}: {names or 'bars only'}"

    @property
    def symbols(self) -> Sequence[str]:
        """Symbols of the sessions, sorted."""
        return sorted({symbol for session in self._sessions for symbol in session.symbols})

    @property
    def sessions(self) -> Sequence[Session]:
        """Sessions in time order."""
        return self._sessions

    @property
    def history(self) -> BarHistory:
        """Bars of the folder's minute files."""
        return self._history


def _group(folder: Path) -> dict[str, dict[str, Path]]:
    """Files of streamed channels by session name."""
    groups: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.parquet")):
        channel, _, name = path.stem.partition("_")
        if channel in _READERS:
            groups.setdefault(name, {})[channel] = path
    return groups
