"""Shows an answer of the lake as a table, CSV or JSON lines."""

from __future__ import annotations

import json
import sys

import pyarrow as pa
import pyarrow.csv as pacsv
from rich.console import Console
from rich.table import Table

_MOST_ROWS = 200


def show(answer: pa.Table, form: str) -> None:
    """Write ``answer`` to standard output as ``table``, ``csv`` or ``json`` (one object a line).

    A table shows the first 200 rows and says how many more there are.
    """
    if form == "csv":
        pacsv.write_csv(answer, sys.stdout.buffer)
        return
    rows = answer.to_pylist() if form == "json" else answer.slice(0, _MOST_ROWS).to_pylist()
    if form == "json":
        for row in rows:
            sys.stdout.write(json.dumps(row, default=str) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for field in answer.schema:
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(field.name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    console.print(table, markup=False)
    if answer.num_rows > _MOST_ROWS:
        console.print(f"... and {answer.num_rows - _MOST_ROWS} more rows; --format csv shows all")


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.8g}"
    if isinstance(value, bytes):
        return value[:40].hex()
    return str(value)
