"""Lake tables."""

from __future__ import annotations

from reference_pages.markdown import code, table
from tradelake.topology import names, tables


def tables_page() -> str:
    """Return every lake table with its columns."""
    parts = [
        (
            "# Lake tables\n\nIceberg tables (format 2, Parquet with zstd) in the namespace"
            f" `{names.iceberg_namespace('<environment>')}`. `timestamptz` is UTC in microseconds;"
            " `levels` is `list<struct<price: double, size: double>>`. Two rows with equal identity"
            " are the same datum, and the writer never stores the second.\n"
        )
    ]
    for item in tables.TABLES:
        partition = ", ".join(
            f"`{column}`" if transform == "identity" else f"`{transform}({column})`"
            for column, transform in item.partition
        )
        rows = [
            (code(column.name), column.type, "no" if column.required else "yes", column.doc)
            for column in item.columns
        ]
        parts.append(
            f"## `{item.name}`\n\nA row is {item.doc}.\n\nIdentity: {code(*item.identity)}."
            f" Partition: {partition}.\n\n" + table(("column", "type", "null", "meaning"), rows)
        )
    return "\n".join(parts)
