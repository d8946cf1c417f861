"""What a venue plays: the protocol between sources (recorded, synthetic) and the player."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tradelake.market.records import BookUpdate, Quote, Trade

Tick = Trade | Quote | BookUpdate
"""What a source yields; bars the venue builds itself."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Session(Protocol):
    """One uninterrupted stretch of a market."""

    @property
    def start_ns(self) -> int:
        """Event time of the first tick."""
        ...

    @property
    def end_ns(self) -> int:
        """Event time of the last tick."""
        ...

    @property
    def weight(self) -> int:
        """Ticks it holds, roughly; a playback of given length is shared out by it. At least 1."""
        ...

    def ticks(self) -> Iterator[Tick]:
        """Ticks by non-decreasing ``ts_event``. Every call starts over and yields the same."""
        ...


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Bars of one symbol as columns of equal length, by increasing ``ts_ns`` (the open, ns UTC).

    ``vwap`` and ``trades`` are never NaN; what the source does not know is the typical price
    (h+l+c)/3 and 0.
    """

    ts_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    trades: IntArray
    vwap: FloatArray

    def __len__(self) -> int:
        return len(self.ts_ns)

    def take(self, rows: slice | npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> BarColumns:
        """Chosen rows, in the order given."""
        return BarColumns(
            self.ts_ns[rows],
            self.open[rows],
            self.high[rows],
            self.low[rows],
            self.close[rows],
            self.volume[rows],
            self.trades[rows],
            self.vwap[rows],
        )


class BarHistory(Protocol):
    """Minute bars from before the playback, for REST."""

    def symbols(self) -> Sequence[str]:
        """Symbols with history, sorted."""
        ...

    def minutes(self, symbol: str) -> BarColumns | None:
        """All minute bars of a symbol, or None; maybe slow at first, safe from another thread."""
        ...


class MarketSource(Protocol):
    """A market to play."""

    @property
    def description(self) -> str:
        """Short text for people, for instance ``synthetic seed 7``."""
        ...

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol of every session, sorted."""
        ...

    @property
    def sessions(self) -> Sequence[Session]:
        """Sessions in time order, without overlap."""
        ...

    @property
    def history(self) -> BarHistory:
        """Bars from before."""
        ...
