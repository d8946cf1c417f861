"""Counts what the lake holds, for reconciliation."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from tradelake.lake.quarantine import LakeQuarantine
from tradelake.lake.reader import LakeReader
from tradelake.market.channels import ORDERBOOKS, QUOTES, TRADES
from tradelake.topology import tables
from tradelake.topology.tables import Table

_TICKS = ((tables.TRADES, TRADES), (tables.QUOTES, QUOTES), (tables.BOOKS, ORDERBOOKS))


class LakeAuditor:
    """:class:`tradelake.usecases.reconcile.LakeAudit` over SQL.

    Only what the venue sent is counted: bars we built ourselves are left out.

    Parameters
    ----------
    reader : LakeReader
        The lake.
    """

    def __init__(self, reader: LakeReader) -> None:
        self._reader = reader

    def stored(self) -> dict[tuple[str, str], int]:
        """Rows in the tables of market data by (channel, symbol)."""
        parts = [
            f"SELECT '{channel}' AS channel, symbol, count(*) AS n "  # noqa: S608 - our own names
            f"FROM {table.name} GROUP BY 2"
            for table, channel in _TICKS
        ]
        parts.append(
            "SELECT channel, symbol, count(*) AS n FROM bars WHERE source = 'alpaca' GROUP BY ALL"
        )
        return self._counts(" UNION ALL ".join(parts))

    def doubled(self) -> dict[tuple[str, str], int]:
        """Rows beyond the first of equal identity by (channel, symbol)."""
        parts = [self._repeats(table, f"'{channel}'") for table, channel in _TICKS]
        parts.append(self._repeats(tables.BARS, "channel"))
        parts.append(self._repeats(tables.QUARANTINE, "channel"))
        counts = self._counts(" UNION ALL ".join(parts))
        return {key: n for key, n in counts.items() if n}

    def _repeats(self, table: Table, channel: str) -> str:
        keys = ", ".join(table.identity)
        extra = ", ".join(
            name
            for name in ("symbol", "channel")
            if name not in table.identity and name in table.column_names()
        )
        grouped = f"{keys}, {extra}" if extra else keys
        return (
            f"SELECT {channel} AS channel, symbol, "  # noqa: S608 - our own names
            "(sum(n) - count(*))::BIGINT AS n "
            f"FROM (SELECT {grouped}, count(*) AS n FROM {table.name} "
            "GROUP BY ALL) GROUP BY 1, 2"
        )

    def quarantined(self) -> dict[tuple[str, str], int]:
        """Points in quarantine and nowhere else; see :meth:`LakeQuarantine.unstored`."""
        return LakeQuarantine(self._reader).unstored()

    def duplicates(self) -> dict[tuple[str, str], int]:
        """Rows left out as duplicates by (channel, symbol), as the watermarks counted them."""
        counts: Counter[tuple[str, str]] = Counter()
        for table in (tables.TRADES, tables.QUOTES, tables.BOOKS, tables.BARS):
            for source, mark in self._reader.watermarks(table).items():
                if source.startswith("bars/"):
                    continue
                for key, n in mark.duplicates.items():
                    channel, _, symbol = key.partition(" ")
                    counts[(channel, symbol)] += n
        return dict(counts)

    def _counts(self, query: str) -> dict[tuple[str, str], int]:
        answer: pa.Table = self._reader.sql(query)
        counts: Counter[tuple[str, str]] = Counter()
        for row in answer.to_pylist():
            counts[(row["channel"], row["symbol"])] += row["n"]
        return dict(counts)
