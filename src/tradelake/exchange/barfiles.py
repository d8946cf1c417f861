"""Minute bars of a folder of Parquet files, loaded when first asked for.

A series never mixes venues: the venue is the word after ``bars_1m_`` in the file name, and a symbol
is served from the venue that has most rows of it. Files of that venue are merged; of bars with the
same open the first file's stays.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tradelake.exchange.schemas import check_file
from tradelake.exchange.source import BarColumns, FloatArray

_COLUMNS = ("ts_ns", "open", "high", "low", "close", "volume", "trades", "vwap")


def _venue_of(path: Path) -> str:
    return path.stem.split("_")[2] if path.stem.count("_") >= 2 else ""


def _float(table: pa.Table, name: str) -> FloatArray:
    return np.asarray(pc.fill_null(table.column(name).cast("float64"), np.nan).to_numpy())


class BarFiles:
    """History over recorded minute-bar files; safe to use from several threads.

    Parameters
    ----------
    paths : sequence of Path
        Files in the schema of recorded bars.

    Raises
    ------
    ConfigError
        A file has another schema.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            check_file(path, "bars")
        self.paths = tuple(paths)
        self._lock = threading.Lock()
        self._sources: dict[str, list[Path]] | None = None
        self._loaded: dict[str, BarColumns] = {}

    def symbols(self) -> Sequence[str]:
        """Symbols with bars, sorted."""
        with self._lock:
            return sorted(self._catalogue())

    def minutes(self, symbol: str) -> BarColumns | None:
        """All minute bars of a symbol, or None; the first call reads the files."""
        with self._lock:
            if symbol not in self._loaded:
                paths = self._catalogue().get(symbol)
                if paths is None:
                    return None
                self._loaded[symbol] = _load(paths, symbol)
            return self._loaded[symbol]

    def _catalogue(self) -> dict[str, list[Path]]:
        if self._sources is None:
            rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
            files: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
            for path in self.paths:
                for symbol, count in _rows_by_symbol(path).items():
                    rows[symbol][_venue_of(path)] += count
                    files[symbol, _venue_of(path)].append(path)
            self._sources = {
                symbol: files[symbol, venues.most_common(1)[0][0]]
                for symbol, venues in rows.items()
            }
        return self._sources


def _rows_by_symbol(path: Path) -> Counter[str]:
    """Rows of each symbol, from the statistics of row groups that hold one symbol only."""
    rows: Counter[str] = Counter()
    with pq.ParquetFile(path) as parquet:
        column = parquet.schema_arrow.names.index("symbol")
        for group in range(parquet.num_row_groups):
            chunk = parquet.metadata.row_group(group).column(column)
            found = chunk.statistics
            if found is not None and found.has_min_max and found.min == found.max:
                rows[found.min] += chunk.num_values
                continue
            counts = pc.value_counts(parquet.read_row_group(group, ["symbol"]).column(0))
            rows.update({entry["values"]: entry["counts"] for entry in counts.to_pylist()})
    return rows


def _read(path: Path, symbol: str) -> pa.Table:
    alone = set(_rows_by_symbol(path)) == {symbol}
    filters = None if alone else [("symbol", "=", symbol)]
    return pq.read_table(path, columns=[*_COLUMNS], filters=filters)


def _load(paths: Sequence[Path], symbol: str) -> BarColumns:
    table = pa.concat_tables([_read(path, symbol) for path in paths], promote_options="permissive")
    opens = table.column("ts_ns").to_numpy()
    if np.any(opens[1:] <= opens[:-1]):
        _, rows = np.unique(opens, return_index=True)
        table = table.take(pa.array(rows))
    high, low, close = (_float(table, name) for name in ("high", "low", "close"))
    volume, vwap = _float(table, "volume"), _float(table, "vwap")
    typical = np.where(volume > 0, (high + low + close) / 3, 0.0)
    trades = pc.fill_null(table.column("trades"), 0).to_numpy()
    return BarColumns(
        ts_ns=table.column("ts_ns").to_numpy(),
        open=_float(table, "open"),
        high=high,
        low=low,
        close=close,
        volume=volume,
        trades=np.asarray(trades, dtype=np.int64),
        vwap=np.where(np.isnan(vwap), typical, vwap),
    )
