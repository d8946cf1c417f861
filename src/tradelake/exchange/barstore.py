"""Bars as REST serves them: history and the venue's own as one series, at any timeframe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tradelake.errors import InvalidData
from tradelake.exchange.source import BarColumns, BarHistory, IntArray
from tradelake.exchange.tape import Series, Tape
from tradelake.market.channels import BARS
from tradelake.market.records import Bar
from tradelake.market.timeframes import TIMEFRAMES

_UNITS: Final = {
    "Min": (TIMEFRAMES["1m"], 59),
    "T": (TIMEFRAMES["1m"], 59),
    "Hour": (TIMEFRAMES["1h"], 23),
    "H": (TIMEFRAMES["1h"], 23),
    "Day": (TIMEFRAMES["1d"], 1),
    "D": (TIMEFRAMES["1d"], 1),
    "Week": (7 * TIMEFRAMES["1d"], 1),
    "W": (7 * TIMEFRAMES["1d"], 1),
}
_MONDAY_NS: Final = 4 * TIMEFRAMES["1d"]
"""The first Monday after 1970-01-01, where weeks start."""


@dataclass(frozen=True, slots=True)
class Timeframe:
    """Length of a bar, and where bars of it start."""

    length_ns: int
    origin_ns: int = 0

    def open_of(self, ts_ns: int) -> int:
        """Open of the bar that holds an instant."""
        return ts_ns - (ts_ns - self.origin_ns) % self.length_ns

    def opens(self, ts_ns: IntArray) -> IntArray:
        """Opens of the bars that hold each instant."""
        return ts_ns - (ts_ns - self.origin_ns) % self.length_ns


def parse_timeframe(text: str) -> Timeframe:
    """Timeframe as Alpaca spells it: 1-59Min, 1-23Hour, 1Day, 1Week.

    Raises
    ------
    InvalidData
        Rule ``timeframe``.

    >>> parse_timeframe("5Min").length_ns
    300000000000
    """
    found = re.fullmatch(r"([1-9]\d?)(Min|T|Hour|H|Day|D|Week|W)", text)
    if found is None or int(found[1]) > _UNITS[found[2]][1]:
        raise InvalidData("timeframe", f"expected 1-59Min, 1-23Hour, 1Day or 1Week; found {text!r}")
    unit_ns = _UNITS[found[2]][0]
    return Timeframe(int(found[1]) * unit_ns, _MONDAY_NS if found[2] in ("Week", "W") else 0)


_MINUTE: Final = Timeframe(TIMEFRAMES["1m"])
_DAY: Final = Timeframe(TIMEFRAMES["1d"])


def aggregate(minutes: BarColumns, timeframe: Timeframe) -> BarColumns:
    """Bars of a longer timeframe; bars without a minute are absent.

    ``vwap`` is the volume-weighted mean of the minutes', 0 where nothing traded.
    """
    if not len(minutes):
        return minutes
    opens = timeframe.opens(minutes.ts_ns)
    first = np.flatnonzero(np.r_[True, opens[1:] != opens[:-1]])
    last = np.r_[first[1:], len(opens)] - 1
    volume = np.add.reduceat(minutes.volume, first)
    notional = np.add.reduceat(minutes.vwap * minutes.volume, first)
    return BarColumns(
        ts_ns=opens[first],
        open=minutes.open[first],
        high=np.maximum.reduceat(minutes.high, first),
        low=np.minimum.reduceat(minutes.low, first),
        close=minutes.close[last],
        volume=volume,
        trades=np.add.reduceat(minutes.trades, first),
        vwap=np.divide(notional, volume, out=np.zeros_like(volume), where=volume > 0),
    )


def columns_of(bars: Sequence[Bar]) -> BarColumns:
    """Bars as columns."""

    def floats(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([getattr(bar, name) for bar in bars], dtype=np.float64)

    return BarColumns(
        ts_ns=np.array([bar.ts_event for bar in bars], dtype=np.int64),
        open=floats("open"),
        high=floats("high"),
        low=floats("low"),
        close=floats("close"),
        volume=floats("volume"),
        trades=np.array([bar.trades for bar in bars], dtype=np.int64),
        vwap=floats("vwap"),
    )


def overlay(base: BarColumns, own: BarColumns) -> BarColumns:
    """Both series as one; where both have a bar, ``own``'s stays."""
    ts = np.concatenate((own.ts_ns, base.ts_ns))
    _, rows = np.unique(ts, return_index=True)
    joined = BarColumns(
        ts,
        *(
            np.concatenate((getattr(own, name), getattr(base, name)))
            for name in ("open", "high", "low", "close", "volume", "trades", "vwap")
        ),
    )
    return joined.take(rows)


class BarStore:
    """History overlaid with the venue's own bars.

    Parameters
    ----------
    history : BarHistory
        Bars from before the playback.
    tape : Tape
        What was published since.
    """

    def __init__(self, history: BarHistory, tape: Tape) -> None:
        self._history = history
        self._tape = tape
        self._aggregated: dict[tuple[str, Timeframe], BarColumns] = {}

    def load(self, symbols: Sequence[str]) -> None:
        """Bring history into memory; slow the first time, safe to call from another thread."""
        for symbol in symbols:
            self._history.minutes(symbol)

    def between(self, symbol: str, timeframe: Timeframe, start_ns: int, end_ns: int) -> BarColumns:
        """Bars with ``start_ns <= open <= end_ns``, in time order."""
        from_ns = timeframe.open_of(start_ns)
        until_ns = timeframe.open_of(end_ns) + timeframe.length_ns - 1
        own = self._own(symbol, from_ns, until_ns)
        if timeframe == _MINUTE or len(own):
            minutes = _cut(self._base(symbol), from_ns, until_ns)
            if len(own):
                minutes = overlay(minutes, own)
            bars = minutes if timeframe == _MINUTE else aggregate(minutes, timeframe)
        else:
            bars = self._history_at(symbol, timeframe)
        return _cut(bars, start_ns, end_ns)

    def last_minute(self, symbol: str) -> Bar | None:
        """The latest minute bar: the venue's own, else history's."""
        own = self._tape.latest(BARS, symbol)
        if isinstance(own, Bar):
            return own
        base = self._base(symbol)
        return _bar_at(symbol, base, len(base) - 1, "1m") if len(base) else None

    def last_days(self, symbol: str) -> list[Bar]:
        """The latest two daily bars or fewer, oldest first."""
        last = self.last_minute(symbol)
        if last is None:
            return []
        day_ns = _DAY.open_of(last.ts_event)
        days = self.between(symbol, _DAY, day_ns - _DAY.length_ns, day_ns)
        return [_bar_at(symbol, days, row, "1d") for row in range(len(days))]

    def _own(self, symbol: str, start_ns: int, end_ns: int) -> BarColumns:
        series: Series | None = self._tape.series(BARS, symbol)
        if series is None:
            return columns_of(())
        return columns_of(
            [
                bar
                for bar in series.records[series.between(start_ns, end_ns)]
                if isinstance(bar, Bar)
            ]
        )

    def _base(self, symbol: str) -> BarColumns:
        return self._history.minutes(symbol) or columns_of(())

    def _history_at(self, symbol: str, timeframe: Timeframe) -> BarColumns:
        key = (symbol, timeframe)
        if key not in self._aggregated:
            self._aggregated[key] = aggregate(self._base(symbol), timeframe)
        return self._aggregated[key]


def _cut(bars: BarColumns, start_ns: int, end_ns: int) -> BarColumns:
    low, high = np.searchsorted(bars.ts_ns, (start_ns, end_ns + 1))
    return bars.take(slice(int(low), int(high)))


def _bar_at(symbol: str, bars: BarColumns, row: int, timeframe: str) -> Bar:
    return Bar(
        symbol,
        int(bars.ts_ns[row]),
        0,
        float(bars.open[row]),
        float(bars.high[row]),
        float(bars.low[row]),
        float(bars.close[row]),
        float(bars.volume[row]),
        float(bars.vwap[row]),
        int(bars.trades[row]),
        timeframe,
        "alpaca",
        BARS,
    )
