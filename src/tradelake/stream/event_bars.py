"""Tick, volume and dollar bars: trades in the order of receipt until a threshold is reached.

A bar ends with the trade that reaches the threshold; trades are never split, so it may exceed it by
the last one. The order is that of the source, (batch, position in it), so the bars are a fold over
the stream like all others, but not the same in another order: a late trade belongs to the bar in
which it comes, and only a rebuild revises event bars.

- *Time.* A trade is believed to be of ``min(ts_event, ts_ingest)``: one bad clock must not push the
  times of all later bars. A bar's ``ts_event`` is the time of its first trade, or one nanosecond
  after the bar before where that is not later: strictly increasing, hence an identity (ADR 0011).
- *Day.* Every UTC day begins a new bar, so that a day can be rebuilt alone. The bar before is
  closed by the first trade of the later day, below its threshold.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tradelake.market.channels import AGGREGATE
from tradelake.market.records import Bar, Trade
from tradelake.market.timeframes import TIMEFRAMES, EventTimeframe, bar_open_ns
from tradelake.stream.envelope import NO_WATERMARK
from tradelake.stream.partial_bars import SCALE, PartialBar, scaled

DAY_NS: Final = TIMEFRAMES["1d"]


class EventBar(msgspec.Struct, frozen=True, gc=False):
    """The bar being built; open and close are the first and last trade to come.

    ``volume`` and ``notional`` are integers in 1e-18 base and quote units.
    """

    ts_event: int
    day_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    notional: int
    trades: int
    ts_ingest: int
    torn: bool


class EventSeries:
    """The event bars of one symbol and timeframe.

    Parameters
    ----------
    symbol : str
        Pair.
    timeframe : EventTimeframe
        What is counted, and up to what.

    Attributes
    ----------
    bar : EventBar or None
        The bar being built.
    last_ns : int
        ``ts_event`` of the last bar begun.
    uncertain : bool
        Trades may be missing since the last bar ended.
    """

    __slots__ = ("_threshold", "bar", "last_ns", "symbol", "timeframe", "uncertain")

    def __init__(self, symbol: str, timeframe: EventTimeframe) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        counts = timeframe.measure == "tick"
        self._threshold = int(timeframe.threshold) if counts else scaled(timeframe.threshold)
        self.bar: EventBar | None = None
        self.last_ns = NO_WATERMARK
        self.uncertain = True

    def tear(self) -> None:
        """Note that trades may be missing here: the bar being built, or the next, is partial."""
        if self.bar is None:
            self.uncertain = True
        else:
            self.bar = msgspec.structs.replace(self.bar, torn=True)

    def add(
        self, trade: Trade, part: PartialBar, believed_ns: int, covered_from_ns: int
    ) -> list[Bar]:
        """Add the next trade; returns the bars it ended, none to two.

        Parameters
        ----------
        trade, part : Trade, PartialBar
            The trade and what it adds up to.
        believed_ns : int
            When it is believed to have been.
        covered_from_ns : int
            From when the source was listened to; a day that began before it may lack trades.
        """
        ended = []
        if self.bar is not None and bar_open_ns(believed_ns, DAY_NS) > self.bar.day_ns:
            ended.append(self._end(self.bar))
        bar = self.bar = self._extended(trade, part, believed_ns, covered_from_ns)
        if self._measured(bar) >= self._threshold:
            ended.append(self._end(bar))
        return ended

    def finish_day(self, day_ns: int) -> list[Bar]:
        """End the bar of the day that begins at ``day_ns``: it is known that no more will come."""
        return [] if self.bar is None or self.bar.day_ns != day_ns else [self._end(self.bar)]

    def _extended(
        self, trade: Trade, part: PartialBar, believed_ns: int, covered_from_ns: int
    ) -> EventBar:
        bar, price = self.bar, trade.price
        if bar is not None:
            return msgspec.structs.replace(
                bar,
                high=max(bar.high, price),
                low=min(bar.low, price),
                close=price,
                volume=bar.volume + part.volume,
                notional=bar.notional + part.notional,
                trades=bar.trades + 1,
                ts_ingest=max(bar.ts_ingest, trade.ts_ingest),
            )
        self.last_ns = max(believed_ns, self.last_ns + 1)
        day_ns = bar_open_ns(self.last_ns, DAY_NS)
        torn = self.uncertain and day_ns < covered_from_ns
        self.uncertain = False
        return EventBar(
            self.last_ns,
            day_ns,
            price,
            price,
            price,
            price,
            part.volume,
            part.notional,
            1,
            trade.ts_ingest,
            torn,
        )

    def _measured(self, bar: EventBar) -> int:
        match self.timeframe.measure:
            case "tick":
                return bar.trades
            case "volume":
                return bar.volume
            case "dollar":
                return bar.notional

    def _end(self, bar: EventBar) -> Bar:
        self.bar = None
        return Bar(
            symbol=self.symbol,
            ts_event=bar.ts_event,
            ts_ingest=bar.ts_ingest,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume / SCALE,
            vwap=bar.notional / bar.volume if bar.volume else 0.0,
            trades=bar.trades,
            timeframe=self.timeframe.name,
            source="tradelake",
            channel=AGGREGATE,
            revision=2 * bar.trades,
            status="partial" if bar.torn else "complete",
        )
