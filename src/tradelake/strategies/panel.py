"""Bars of several symbols on one clock, for strategies that look at all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tradelake.errors import InvalidData
from tradelake.market.arrays import BarArrays, FloatArray, IntArray

_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Bars of k symbols, one row for each instant at which at least one of them closes.

    Parameters
    ----------
    bars : tuple of BarArrays
        Of each symbol, in the order of the columns.
    close_ns : IntArray, shape (n,)
        Instants, ns since 1970 UTC, strictly increasing.
    rows : tuple of IntArray
        Of each symbol, the instants' rows at which it has a bar.
    open, high, low, close, volume : FloatArray, shape (n, k)
        Columns; NaN where a symbol has no bar that closes at the instant. Nothing is carried
        forward: see :meth:`carried`.

    Notes
    -----
    Make one with :meth:`of`.
    """

    bars: tuple[BarArrays, ...]
    close_ns: IntArray
    rows: tuple[IntArray, ...]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    @classmethod
    def of(cls, bars: Sequence[BarArrays]) -> Panel:
        """Return the panel of some symbols' bars.

        Raises
        ------
        InvalidData
            Rule ``panel``: no symbol, or one twice.
        """
        names = [one.symbol for one in bars]
        if not names or len(set(names)) != len(names):
            raise InvalidData("panel", f"expected symbols without repetition; found {names}")
        close_ns = np.unique(np.concatenate([one.close_ns for one in bars]))
        rows = tuple(np.searchsorted(close_ns, one.close_ns) for one in bars)
        columns = []
        for name in _COLUMNS:
            column = np.full((close_ns.size, len(bars)), np.nan)
            for place, (one, mine) in enumerate(zip(bars, rows, strict=True)):
                column[mine, place] = getattr(one, name)
            column.flags.writeable = False
            columns.append(column)
        return cls(tuple(bars), close_ns, rows, *columns)

    def __len__(self) -> int:
        return int(self.close_ns.size)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols, in the order of the columns."""
        return tuple(one.symbol for one in self.bars)

    @property
    def present(self) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """Where a symbol has a bar, shape (n, k)."""
        found: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = ~np.isnan(self.close)
        return found

    def carried(self, values: FloatArray) -> FloatArray:
        """Return values of shape (n, k) with each NaN replaced by the number before it, if any."""
        known = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
        last = np.maximum.accumulate(known, axis=0)
        taken = np.take_along_axis(values, np.maximum(last, 0), axis=0)
        return np.where(last >= 0, taken, np.nan)

    def take(self, instants: int) -> Panel:
        """Return the panel as it was known after its first ``instants`` instants."""
        counts = [int(np.searchsorted(mine, instants)) for mine in self.rows]
        return Panel(
            tuple(one.take(0, count) for one, count in zip(self.bars, counts, strict=True)),
            self.close_ns[:instants],
            tuple(mine[:count] for mine, count in zip(self.rows, counts, strict=True)),
            *(getattr(self, name)[:instants] for name in _COLUMNS),
        )

    def of_symbols(self, targets: FloatArray) -> tuple[FloatArray, ...]:
        """Return each symbol's targets at its own bars, of targets of shape (n, k).

        Raises
        ------
        InvalidData
            Rule ``signal``: the targets have another shape.
        """
        if targets.shape != self.close.shape:
            raise InvalidData(
                "signal",
                f"expected targets of shape {self.close.shape} (instants, symbols); "
                f"found {targets.shape}",
            )
        return tuple(targets[mine, place] for place, mine in enumerate(self.rows))
