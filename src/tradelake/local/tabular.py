"""Shows an answer of the lake as a table, CSV or JSON lines."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pacsv
from rich.console import Console
from rich.table import Table
from rich.text import Text

_MOST_ROWS: Final = 200
_PLAIN_WIDTH: Final = 200
_BATCH_ROWS: Final = 10_000


def show(answer: pa.Table, form: str) -> None:
    """Write ``answer`` to standard output as ``table``, ``csv`` or ``json`` (one object a line).

    A table shows the first 200 rows and says how many more there are. CSV shows nested values as
    JSON, and bytes as hexadecimal digits; JSON shows what is no number as null. A column whose name
    was there before gets a number.
    """
    answer = answer.rename_columns(_distinct(answer.column_names))
    if form == "csv":
        _csv(answer)
    elif form == "json":
        for batch in answer.to_batches(_BATCH_ROWS):
            for row in batch.to_pylist():
                sys.stdout.write(json.dumps(_plain(row)) + "\n")
    else:
        _table(answer)
    sys.stdout.flush()


def _distinct(names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return distinct


def _csv(answer: pa.Table) -> None:
    for position, field in enumerate(answer.schema):
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            shown = [_as_text(value) for value in answer.column(position).to_pylist()]
            answer = answer.set_column(position, field.name, pa.array(shown, pa.string()))
    pacsv.write_csv(answer, sys.stdout.buffer)


def _table(answer: pa.Table) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for field in answer.schema:
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        heading = Text(field.name)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in answer.slice(0, _MOST_ROWS).to_pylist():
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False)
    console.print(table)
    if answer.num_rows > _MOST_ROWS:
        console.print(f"... and {answer.num_rows - _MOST_ROWS} more rows; --format csv shows all")


def _plain(value: object) -> Any:  # noqa: ANN401 - what json.dumps takes
    """Return a value as JSON has it."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


def _as_text(value: object) -> str | None:
    plain = _plain(value)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.8g}"
    if isinstance(value, bytes):
        return value[:40].hex()
    return str(value)
