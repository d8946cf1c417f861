"""Bars out of Parquet files, without a lake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tradelake.errors import ConfigError, InsufficientData
from tradelake.market.arrays import IntArray
from tradelake.market.timeframes import TIMEFRAMES

NUMBERS: Final = ("open", "high", "low", "close", "volume")
Columns = dict[str, npt.NDArray[Any]]


def read_columns(
    paths: Sequence[Path], symbol: str, start_ns: int | None, end_ns: int | None
) -> Columns:
    """Return the columns of one symbol's bars, as they stand in the files, one after the other.

    Parameters
    ----------
    paths : sequence of Path
        Files with the columns ``symbol``, ``ts_ns`` (open of the bar, int64, ns since 1970 UTC),
        ``open``, ``high``, ``low``, ``close`` and ``volume``; others are ignored.
    symbol : str
        Whose.
    start_ns, end_ns : int, optional
        Bounds of the opens; the end is excluded.

    Raises
    ------
    ConfigError
        A file is no Parquet file or lacks a column.
    InsufficientData
        The files have no such bars.
    """
    table = pa.concat_tables([_read(path) for path in paths])
    keep = pc.equal(table["symbol"], symbol)
    if start_ns is not None:
        keep = pc.and_(keep, pc.greater_equal(table["ts_ns"], start_ns))
    if end_ns is not None:
        keep = pc.and_(keep, pc.less(table["ts_ns"], end_ns))
    rows = table.filter(keep)
    if not rows.num_rows:
        known = ", ".join(sorted(map(str, pc.unique(table["symbol"]).to_pylist()))[:20])
        raise InsufficientData(
            f"{', '.join(map(str, paths))}: no bars of {symbol} in the interval asked for; "
            f"symbols: {known}"
        )
    columns: Columns = {"ts_ns": rows["ts_ns"].to_numpy()}
    for name in NUMBERS:
        columns[name] = pc.fill_null(rows[name], np.nan).to_numpy()
    return columns


def timeframe_of(ts_ns: IntArray, where: str) -> str:
    """Return the timeframe that most neighbouring bars are apart.

    Raises
    ------
    ConfigError
        They are apart by no timeframe's length.
    """
    apart, counts = np.unique(np.diff(ts_ns), return_counts=True)
    usual = int(apart[np.argmax(counts)]) if len(apart) else 0
    for name, length_ns in TIMEFRAMES.items():
        if usual == length_ns:
            return name
    raise ConfigError(
        f"{where}: expected bars of one of {', '.join(TIMEFRAMES)}; "
        f"found most of them {usual} ns apart"
    )


def _read(path: Path) -> pa.Table:
    wanted = {"symbol": pa.string(), "ts_ns": pa.int64(), **dict.fromkeys(NUMBERS, pa.float64())}
    try:
        names = pq.read_schema(path).names
        absent = [name for name in wanted if name not in names]
        if absent:
            raise ConfigError(
                f"{path}: expected column {absent[0]}; found columns {', '.join(names)}"
            )
        table = pq.read_table(path, columns=list(wanted)).select(list(wanted))
        return table.cast(pa.schema(wanted.items()))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: expected a Parquet file of bars: {error}") from error
