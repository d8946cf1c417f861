"""Longer bars made of shorter ones."""

from __future__ import annotations

import numpy as np

from tradelake.errors import InvalidData
from tradelake.market.arrays import BarArrays
from tradelake.market.timeframes import timeframe_ns


def resample(bars: BarArrays, timeframe: str) -> BarArrays:
    """Return bars of a longer timeframe: first open, highest high, lowest low, last close, volume.

    A bar exists where at least one of its shorter bars does; the last one may be unfinished.

    Parameters
    ----------
    bars : BarArrays
        n shorter bars.
    timeframe : str
        A whole multiple of theirs.

    Raises
    ------
    InvalidData
        Rule ``timeframe``, when it is no whole multiple.
    """
    length, base = timeframe_ns(timeframe), timeframe_ns(bars.timeframe)
    if length % base:
        raise InvalidData(
            "timeframe", f"expected a multiple of {bars.timeframe}, found {timeframe}"
        )
    if length == base or not len(bars):
        return bars
    opens = bars.ts_event_ns - bars.ts_event_ns % length
    first = np.flatnonzero(np.concatenate(([True], opens[1:] != opens[:-1])))
    last = np.concatenate((first[1:], [len(bars)])) - 1
    return BarArrays(
        symbol=bars.symbol,
        timeframe=timeframe,
        ts_event_ns=opens[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=np.add.reduceat(bars.volume, first),
        snapshot_id=bars.snapshot_id,
    )
