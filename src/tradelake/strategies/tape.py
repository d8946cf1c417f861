"""Bars of a run as far as they are known, for the desks of drivers that have all of them.

What is given out are views of columns that are filled as bars become known: what lies behind a view
(``.base``) holds no bar that is not, and writing into it changes nothing but what is read there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np

from tradelake.market.arrays import BarArrays, FloatArray, IntArray
from tradelake.strategies.event import History
from tradelake.strategies.named import column

Columns: TypeAlias = tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
"""Opens of bars, then open, high, low, close and volume."""

_NONE = np.empty(0)


class Tape:
    """Bars of some symbols and how many of each are known; nothing behind that is given out.

    Parameters
    ----------
    bars : sequence of BarArrays
        Of each symbol, in the order of symbols.

    Attributes
    ----------
    known : list of int
        How many bars of each symbol are known; a driver counts them up.
    """

    def __init__(self, bars: Sequence[BarArrays]) -> None:
        self.known = [0] * len(bars)
        self._bars = tuple(bars)
        self._told: dict[int, _Told] = {}
        self._places: Mapping[str, int] = {one.symbol: place for place, one in enumerate(bars)}
        self._features: dict[tuple[int, str], FloatArray] = {}

    def history(self, symbol: str, n: int) -> History:
        """Return the newest ``n`` bars known, or as many as there are; of others none."""
        place = self._places.get(symbol)
        if place is None:
            return History(np.empty(0, np.int64), _NONE, _NONE, _NONE, _NONE, _NONE)
        last = self.known[place]
        part = slice(max(0, last - n), last)
        ts_ns, open_, high, low, close, volume = self._columns(place)
        return History(ts_ns[part], open_[part], high[part], low[part], close[part], volume[part])

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars known.

        Raises
        ------
        KeyError
            The symbol is not of the run.
        """
        place = self._places[symbol]
        bars, last = self._bars[place], self.known[place]
        over_ns = None if bars.over_ns is None else bars.over_ns[:last].copy()
        ts_ns, open_, high, low, close, volume = self._columns(place)
        return BarArrays(
            symbol,
            bars.timeframe,
            ts_ns[:last],
            open_[:last],
            high[:last],
            low[:last],
            close[:last],
            volume[:last],
            bars.snapshot_id,
            over_ns,
        )

    def _columns(self, place: int) -> Columns:
        told = self._told.get(place)
        if told is None:
            told = self._told[place] = _Told(self._bars[place])
        return told.until(self.known[place])

    def feature(self, symbol: str, name: str) -> float:
        """Return a feature of the newest bar known, NaN before the first and in its warm-up.

        All of its column is computed on the first call: value i of a feature sees bars 0 to i
        alone.

        Raises
        ------
        ConfigError
            There is no such feature.
        KeyError
            The symbol is not of the run.
        """
        place = self._places[symbol]
        values = self._features.get((place, name))
        if values is None:
            values = self._features[place, name] = column(self._bars[place], name)
        last = self.known[place]
        return float(values[last - 1]) if last else math.nan


class _Told:
    """Copies of a symbol's columns that hold the bars that are known, and zeros behind them."""

    def __init__(self, bars: BarArrays) -> None:
        given = (bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
        self._given, self._until = given, 0
        self._columns = tuple(np.zeros_like(column) for column in given)
        self._views = tuple(column.view() for column in self._columns)
        for view in self._views:
            view.flags.writeable = False

    def until(self, last: int) -> Columns:
        """Return the columns with all bars before ``last`` filled in."""
        first = self._until
        if last > first:
            for mine, given in zip(self._columns, self._given, strict=True):
                mine[first:last] = given[first:last]
            self._until = last
        return cast("Columns", self._views)
