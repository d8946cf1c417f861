"""Bars of a run as far as they are known, for the desks of drivers that have all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.event import History
from tradelake.strategies.named import column

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
        self._places: Mapping[str, int] = {one.symbol: place for place, one in enumerate(bars)}
        self._features: dict[tuple[int, str], FloatArray] = {}

    def history(self, symbol: str, n: int) -> History:
        """Return the newest ``n`` bars known, or as many as there are; of others none."""
        place = self._places.get(symbol)
        if place is None:
            return History(np.empty(0, np.int64), _NONE, _NONE, _NONE, _NONE, _NONE)
        last, bars = self.known[place], self._bars[place]
        part = slice(max(0, last - n), last)
        return History(
            bars.ts_event_ns[part],
            bars.open[part],
            bars.high[part],
            bars.low[part],
            bars.close[part],
            bars.volume[part],
        )

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars known.

        Raises
        ------
        KeyError
            The symbol is not of the run.
        """
        place = self._places[symbol]
        return self._bars[place].take(0, self.known[place])

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
