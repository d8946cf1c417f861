"""Bars of one symbol as columns, checked once so that everything behind may trust them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.errors import InvalidData
from tradelake.market.timeframes import event_timeframe, timeframe_ns

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

PRICE_COLUMNS = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, eq=False)
class BarArrays:
    """Bars of one symbol and timeframe as read-only numpy columns of equal length, oldest first.

    Parameters
    ----------
    symbol : str
        Pair, for instance ``BTC/USD``.
    timeframe : str
        One of :data:`tradelake.market.timeframes.TIMEFRAMES`, or that of event bars.
    ts_event_ns : IntArray
        Open of each bar, ns since 1970 UTC, strictly increasing. Bars may be missing.
    open, high, low, close : FloatArray
        Quote units, finite and positive.
    volume : FloatArray
        Base units, finite and not negative.
    snapshot_id : str
        Which state of the lake the bars were read from; empty where they come from elsewhere.
    over_ns : IntArray, optional
        First instant at which each bar may be used, ns since 1970 UTC, not decreasing: of event
        bars, which have no length. Of time bars it is their end.

    Raises
    ------
    InvalidData
        Rules ``timeframe``, ``shape``, ``price``, ``volume`` and ``order``; the message names the
        first bad bar.
    """

    symbol: str
    timeframe: str
    ts_event_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    snapshot_id: str = ""
    over_ns: IntArray | None = None

    def __post_init__(self) -> None:
        if event_timeframe(self.timeframe) is None:
            timeframe_ns(self.timeframe)
        elif self.over_ns is None:
            raise InvalidData("timeframe", f"expected over_ns with {self.timeframe} bars")
        if self.over_ns is not None:
            object.__setattr__(self, "over_ns", _integers(self.over_ns))
        object.__setattr__(self, "ts_event_ns", _integers(self.ts_event_ns))
        for name in (*PRICE_COLUMNS, "volume"):
            object.__setattr__(self, name, _floats(getattr(self, name)))
        self._check_shapes()
        if not self._are_sound():
            self._refuse_unsound()
        if self.over_ns is not None:
            early = self.over_ns < self.ts_event_ns
            early[1:] |= np.diff(self.over_ns) < 0
            self._refuse(early, "order", "expected over_ns not to decrease", self.over_ns)

    def __len__(self) -> int:
        return int(self.ts_event_ns.shape[0])

    @property
    def close_ns(self) -> IntArray:
        """Close of each bar, ns since 1970 UTC: the first instant it may be used.

        Of time bars their open plus the timeframe, of event bars ``over_ns``.
        """
        if self.over_ns is not None:
            return self.over_ns
        return self.ts_event_ns + timeframe_ns(self.timeframe)

    @property
    def end_ns(self) -> int:
        """Close of the last bar, ns since 1970 UTC; there is one at least."""
        if self.over_ns is not None:
            return int(self.over_ns[-1])
        return int(self.ts_event_ns[-1]) + timeframe_ns(self.timeframe)

    def slice(self, start_ns: int, end_ns: int) -> BarArrays:
        """Bars with ``start_ns <= ts_event_ns < end_ns``; the columns are views."""
        first, last = np.searchsorted(self.ts_event_ns, (start_ns, end_ns), side="left")
        return self.take(int(first), max(int(first), int(last)))

    def take(self, first: int, last: int) -> BarArrays:
        """Bars number ``first`` to ``last - 1``; the columns are views."""
        part = slice(first, last)
        return BarArrays(
            self.symbol,
            self.timeframe,
            self.ts_event_ns[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
            self.snapshot_id,
            None if self.over_ns is None else self.over_ns[part],
        )

    def _check_shapes(self) -> None:
        shapes = {
            name: getattr(self, name).shape for name in ("ts_event_ns", *PRICE_COLUMNS, "volume")
        }
        if self.over_ns is not None:
            shapes["over_ns"] = self.over_ns.shape
        if len(set(shapes.values())) != 1 or self.ts_event_ns.ndim != 1:
            raise InvalidData(
                "shape", f"expected columns of one equal length; found {shapes} for {self.symbol}"
            )

    def _are_sound(self) -> bool:
        """Return whether nothing is wrong with prices, volumes and times; NaN is in both extremes.

        Closes and opens come last: who gets the bars reads them next, out of the cache.
        """
        if not len(self):
            return True
        columns = (self.volume, self.low, self.high, self.open, self.close)
        return bool((self.ts_event_ns[1:] > self.ts_event_ns[:-1]).all()) and all(
            (column.min() >= 0.0 if column is self.volume else column.min() > 0.0)
            and column.max() < np.inf
            for column in columns
        )

    def _refuse_unsound(self) -> None:
        """Name the first bad bar of the first bad column."""
        for name in PRICE_COLUMNS:
            column = getattr(self, name)
            bad = ~(np.isfinite(column) & (column > 0.0))
            self._refuse(bad, "price", f"expected a finite positive {name}", column)
        bad = ~(np.isfinite(self.volume) & (self.volume >= 0.0))
        self._refuse(bad, "volume", "expected a finite volume of 0 or more", self.volume)
        backwards = np.zeros(len(self), dtype=np.bool_)
        np.less_equal(self.ts_event_ns[1:], self.ts_event_ns[:-1], out=backwards[1:])
        self._refuse(backwards, "order", "expected ts_event_ns to increase", self.ts_event_ns)

    def _refuse(
        self, bad: npt.NDArray[np.bool_], rule: str, expected: str, column: npt.NDArray[np.generic]
    ) -> None:
        if bad.any():
            where = int(np.argmax(bad))
            raise InvalidData(
                rule,
                f"{expected}; found {column[where]} in {self.symbol} {self.timeframe} bar {where} "
                f"at {self.ts_event_ns[where]} ns",
            )


def _integers(values: npt.ArrayLike) -> IntArray:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise InvalidData("order", f"expected integer nanoseconds; found dtype {array.dtype}")
    view = np.ascontiguousarray(array, dtype=np.int64).view()
    view.flags.writeable = False
    return view


def _floats(values: npt.ArrayLike) -> FloatArray:
    view = np.ascontiguousarray(values, dtype=np.float64).view()
    view.flags.writeable = False
    return view
