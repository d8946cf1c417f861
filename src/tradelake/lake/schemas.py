"""Arrow and Iceberg schemas, rendered from :mod:`tradelake.topology.tables`."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import (
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
)
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)

from tradelake.topology.tables import Table

LEVELS: Final = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                pa.field("price", pa.float64(), nullable=False),
                pa.field("size", pa.float64(), nullable=False),
            ]
        ),
        nullable=False,
    )
)
"""Arrow type of the levels of an order book."""
_ARROW: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "binary": pa.binary(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "levels": LEVELS,
}
_PLAIN: Final[dict[str, IcebergType]] = {
    "string": StringType(),
    "int32": IntegerType(),
    "int64": LongType(),
    "float64": DoubleType(),
    "bool": BooleanType(),
    "binary": BinaryType(),
    "timestamptz": TimestamptzType(),
}
_TRANSFORMS: Final[dict[str, Transform[object, object]]] = {
    "identity": IdentityTransform(),
    "hour": HourTransform(),
    "day": DayTransform(),
    "month": MonthTransform(),
}
_NESTED_ID_STEP: Final = 100


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow schema of a table, columns in order, nullability as declared."""
    return pa.schema(
        [
            pa.field(column.name, _ARROW[column.type], nullable=not column.required)
            for column in table.columns
        ]
    )


def iceberg_schema(table: Table) -> Schema:
    """Return the Iceberg schema; a column's id is its position from 1, nested ids are larger."""
    fields = []
    for position, column in enumerate(table.columns, start=1):
        fields.append(
            NestedField(
                field_id=position,
                name=column.name,
                field_type=_iceberg_type(column.type, position),
                required=column.required,
                doc=column.doc,
            )
        )
    return Schema(*fields)


def _iceberg_type(kind: str, position: int) -> IcebergType:
    if kind != "levels":
        return _PLAIN[kind]
    first = position * _NESTED_ID_STEP
    level = StructType(
        NestedField(first + 1, "price", DoubleType(), required=True),
        NestedField(first + 2, "size", DoubleType(), required=True),
    )
    return ListType(element_id=first, element_type=level, element_required=True)


def partition_spec(table: Table) -> PartitionSpec:
    """Return the Iceberg partition spec of a table."""
    ids = {name: position for position, name in enumerate(table.column_names(), start=1)}
    return PartitionSpec(
        *(
            PartitionField(
                source_id=ids[column],
                field_id=1000 + index,
                transform=_TRANSFORMS[transform],
                name=column if transform == "identity" else f"{column}_{transform}",
            )
            for index, (column, transform) in enumerate(table.partition)
        )
    )
