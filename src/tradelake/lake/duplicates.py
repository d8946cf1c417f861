"""Which rows of an append are in the table already."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, In, LessThanOrEqual
from pyiceberg.table import Table as IcebergTable

from tradelake.topology.tables import Table

_MOST_SYMBOLS = 200


def fresh_rows(table: Table, target: IcebergTable, rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return the indices, rising, of the rows whose identity is new.

    Of equal rows it is the first; none whose identity is in ``target``.
    """
    keys = list(table.identity)
    order = pa.array(np.arange(rows.num_rows), type=pa.int64())
    numbered = rows.select(keys).append_column("_row", order)
    first = numbered.group_by(keys, use_threads=False).aggregate([("_row", "min")])
    if rows.num_rows and target.current_snapshot() is not None:
        known = target.scan(
            row_filter=_may_hold(table, rows), selected_fields=tuple(keys)
        ).to_arrow()
        if known.num_rows:
            known = known.select(keys).cast(first.select(keys).schema)
            first = first.join(known, keys=keys, join_type="left anti", use_threads=False)
    return np.sort(first.column("_row_min").to_numpy())


def _may_hold(table: Table, rows: pa.Table) -> BooleanExpression:
    values = rows.column(table.lookup)
    if pa.types.is_timestamp(values.type):
        bounds = pc.min_max(values).as_py()
        low, high = bounds["min"].isoformat(), bounds["max"].isoformat()
        near = And(GreaterThanOrEqual(table.lookup, low), LessThanOrEqual(table.lookup, high))
        symbols = pc.unique(rows.column("symbol")).to_pylist()
        return And(near, In("symbol", symbols)) if len(symbols) <= _MOST_SYMBOLS else near
    return In(table.lookup, pc.unique(values).to_pylist())
