"""Trades, quotes and books out of Parquet files, without a lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tradelake.errors import ConfigError, InsufficientData
from tradelake.market.tape import TickArrays
from tradelake.market.tick_tables import books_of, quotes_of, trades_of
from tradelake.market.ticks import Treatment

_LEVELS: Final = pa.list_(pa.struct([("price", pa.float64()), ("size", pa.float64())]))
_KEYS: Final = {"symbol": pa.string(), "ts_ns": pa.int64()}
KINDS: Final = {
    "quotes": dict.fromkeys(("bid", "bid_size", "ask", "ask_size"), pa.float64()),
    "books": {"bids": _LEVELS, "asks": _LEVELS, "reset": pa.bool_()},
    "trades": {"price": pa.float64(), "size": pa.float64(), "side": pa.string()},
}
"""What a file holds, by the columns that it has beside ``symbol`` and ``ts_ns``."""
_READ: Final[Mapping[str, Callable[[str, pa.Table, Treatment], TickArrays]]] = {
    "quotes": quotes_of,
    "books": books_of,
    "trades": trades_of,
}


def read_ticks(
    paths: Sequence[Path],
    symbol: str,
    start_ns: int | None,
    end_ns: int | None,
    *,
    books: bool,
    bad: Treatment,
) -> list[TickArrays]:
    """Return the trades, quotes and books of one symbol, each kind by time.

    Parameters
    ----------
    paths : sequence of Path
        Files with the columns of recordings (``docs/how-to/recorded-data.md``). What a file holds
        is told by its columns; rows of one instant stay as they stand.
    symbol : str
        Whose.
    start_ns, end_ns : int, optional
        Bounds of their times, ns since 1970 UTC; the end is excluded.
    books : bool
        Whether books are wanted; files of them are left alone otherwise.
    bad : {"refuse", "mask", "flag"}
        What becomes of rows that are not as they should be.

    Raises
    ------
    ConfigError
        A file is no Parquet file, or holds no ticks.
    InsufficientData
        The files have no ticks of the symbol in the interval.
    InvalidData
        As the arrays of :mod:`tradelake.market.ticks`.
    """
    tables: dict[str, list[pa.Table]] = {}
    known: set[str] = set()
    for path in paths:
        kind = _kind_of(path)
        if kind == "books" and not books:
            continue
        table = _read(path, kind)
        known.update(map(str, pc.unique(table["symbol"]).to_pylist()))
        tables.setdefault(kind, []).append(_chosen(table, symbol, start_ns, end_ns))
    found: list[TickArrays] = []
    for kind, parts in tables.items():
        rows = pa.concat_tables(parts)
        if rows.num_rows:
            rows = rows.take(np.argsort(rows["ts_ns"].to_numpy(), kind="stable"))
            found.append(_READ[kind](symbol, rows, bad))
    if not any(map(len, found)):
        raise InsufficientData(
            f"{', '.join(map(str, paths))}: no ticks of {symbol} in the interval asked for; "
            f"symbols: {', '.join(sorted(known)[:20])}"
        )
    return [one for one in found if len(one)]


def _kind_of(path: Path) -> str:
    try:
        names = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: expected a Parquet file of ticks: {error}") from error
    for kind, columns in KINDS.items():
        if names >= columns.keys() | _KEYS.keys():
            return kind
    raise ConfigError(
        f"{path}: expected columns symbol, ts_ns and those of "
        f"{'; '.join(f'{kind}: {chr(44).join(columns)}' for kind, columns in KINDS.items())}; "
        f"found {', '.join(sorted(names))}"
    )


def _read(path: Path, kind: str) -> pa.Table:
    wanted = _KEYS | KINDS[kind]
    try:
        table = pq.read_table(path, columns=list(wanted)).select(list(wanted))
        return table.cast(pa.schema(wanted.items()))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: expected a Parquet file of {kind}: {error}") from error


def _chosen(table: pa.Table, symbol: str, start_ns: int | None, end_ns: int | None) -> pa.Table:
    keep = pc.equal(table["symbol"], symbol)
    if start_ns is not None:
        keep = pc.and_(keep, pc.greater_equal(table["ts_ns"], start_ns))
    if end_ns is not None:
        keep = pc.and_(keep, pc.less(table["ts_ns"], end_ns))
    return table.filter(keep)
