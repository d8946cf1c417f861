"""Schemas of recorded Parquet files, and the check that a file follows its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from tradelake.errors import ConfigError

_SYMBOL: Final = {"symbol": "string", "ts_ns": "int64"}
_LEVELS: Final = "list<struct<price: double, size: double>>"
SCHEMAS: Final[Mapping[str, Mapping[str, str]]] = {
    "trades": _SYMBOL
    | {"price": "double", "size": "double", "side": "string", "trade_id": "string"},
    "quotes": _SYMBOL
    | {"bid": "double", "bid_size": "double", "ask": "double", "ask_size": "double"},
    "books": _SYMBOL | {"bids": _LEVELS, "asks": _LEVELS, "reset": "bool"},
    "bars": _SYMBOL
    | dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), "double")
    | {"trades": "int64"},
}
"""Columns of each kind of file."""


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = ", ".join(f"{field.name}: {field.type}" for field in kind.value_type)
        return f"list<struct<{inner}>>" if pa.types.is_struct(kind.value_type) else str(kind)
    return str(kind).removeprefix("large_")


def check_file(path: Path, kind: str) -> pq.FileMetaData:
    """Check a file against the schema of its kind and return its metadata.

    Raises
    ------
    ConfigError
        It is no Parquet file, a column is missing or of another type, or a row has no symbol or
        time; the message names file, column, expected and found.
    """
    try:
        parquet = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: expected a Parquet file: {error}") from error
    with parquet:
        schema = parquet.schema_arrow
        for name, expected in SCHEMAS[kind].items():
            if name not in schema.names:
                raise ConfigError(
                    f"{path}: expected column {name} of {expected};"
                    f" found columns {', '.join(schema.names)}"
                )
            found = _type_name(schema.field(name).type)
            if found != expected and found != "null":
                raise ConfigError(f"{path}: expected column {name} of {expected}; found {found}")
        _check_keys(path, parquet.metadata)
        return parquet.metadata


def _check_keys(path: Path, metadata: pq.FileMetaData) -> None:
    """Refuse rows without a symbol or a time, as far as the file's statistics tell."""
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for position in range(row_group.num_columns):
            column = row_group.column(position)
            found = column.statistics
            if column.path_in_schema not in _SYMBOL or found is None or not found.has_null_count:
                continue
            if found.null_count:
                raise ConfigError(
                    f"{path}: expected {column.path_in_schema} in every row;"
                    f" found {found.null_count} rows without it"
                )
