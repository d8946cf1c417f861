"""What is kept for years, and for the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from tradelake.market.arrays import BarArrays
from tradelake.market.records import Bar, Quote, Trade
from tradelake.stream.envelope import Batch
from tradelake.topology.tables import Table


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one append did: rows added, rows that were duplicates, batches delivered before."""

    rows: int
    duplicates: int
    skipped_batches: int


class LakeWriter(Protocol):
    """Appends to lake tables, exactly once."""

    def deliver(self, stream: str, batches: Sequence[Batch]) -> Mapping[str, Delivery]:
        """Append the records of batches read from ``stream``, each to the table of its kind.

        A batch at or before a table's watermark for its source is skipped; rows whose identity is
        in the table already are counted as duplicates; watermark and rows are one commit per table.
        Never appends a part of a batch to one table.

        Raises
        ------
        InvalidData
            A record has no table or does not fit its columns; nothing was appended.
        Transient
            The catalog kept refusing; what was committed stays and is recognised next time.
        """
        ...

    def append(self, table: Table, columns: Mapping[str, Sequence[Any]]) -> Delivery:
        """Append rows given as columns; rows whose identity is in the table already are duplicates.

        Appending the same rows again therefore changes nothing, and the answer says so.
        """
        ...


class BarSource(Protocol):
    """Where bars are read from."""

    def bars(
        self,
        symbol: str,
        timeframe: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        source: str | None = None,
    ) -> BarArrays:
        """Bars with ``start_ns <= ts_event < end_ns``, oldest first; each in its newest revision.

        Raises
        ------
        InsufficientData
            There are none.
        """
        ...


class InstrumentRows(NamedTuple):
    """Rows of the table ``instruments``, oldest first, and which state of it they are."""

    rows: list[dict[str, object]]
    snapshot_id: str


class InstrumentSource(Protocol):
    """Where it is read from what instruments were like, by date."""

    def instruments(self, symbols: Sequence[str]) -> InstrumentRows:
        """Return what is known of some symbols; nothing where nothing is known."""
        ...


class TickSource(Protocol):
    """Stored records of an interval ``start_ns <= ts_event < end_ns``, each once."""

    def symbols(self, venue: str, start_ns: int, end_ns: int) -> list[str]:
        """Symbols that traded or were quoted, sorted."""
        ...

    def trades(self, venue: str, symbol: str, start_ns: int, end_ns: int) -> list[Trade]:
        """Trades by (ts_event, trade_id)."""
        ...

    def quotes(self, venue: str, symbol: str, start_ns: int, end_ns: int) -> list[Quote]:
        """Quotes by (ts_event, occurrence)."""
        ...

    def bars(self, venue: str, timeframe: str, start_ns: int, end_ns: int) -> list[Bar]:
        """Every revision of every bar, ours and the venue's, in no order."""
        ...


class HotStore(Protocol):
    """Recent bars, quick to read."""

    def upsert_bars(self, venue: str, bars: Sequence[Bar]) -> None:
        """Write bars; a bar of the same open is replaced unless the stored revision is later.

        "The same" means equal (venue, source, channel, symbol, timeframe, ts_event).
        """
        ...

    def recent_bars(self, symbol: str, timeframe: str, limit: int) -> list[Bar]:
        """Latest bars, oldest first."""
        ...
