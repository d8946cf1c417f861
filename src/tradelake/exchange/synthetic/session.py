"""The tick stream of a synthetic market: quotes, books and trades, minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tradelake.exchange.source import FloatArray, IntArray, Tick
from tradelake.exchange.synthetic.book import Side, Ticks
from tradelake.exchange.synthetic.paths import Volatility, innovations, mix
from tradelake.exchange.synthetic.universe import Instrument
from tradelake.market.records import BookUpdate, Level, Quote, TakerSide, Trade
from tradelake.market.timeframes import SECOND_NS, TIMEFRAMES

_MINUTE_S: Final = 60
_MINUTE_NS: Final = TIMEFRAMES["1m"]
_DAY_S: Final = 86_400
_RESET_NS: Final = 600 * SECOND_NS
"""A book is sent whole again after so long."""


@dataclass(frozen=True, slots=True)
class _Events:
    """Events of one minute by time; ``trade`` tells trades from quotes."""

    ts_ns: IntArray
    which: IntArray
    trade: npt.NDArray[np.bool_]
    bid: IntArray
    ask: IntArray
    bid_size: FloatArray
    ask_size: FloatArray
    trade_size: FloatArray
    trade_id: IntArray
    buys: npt.NDArray[np.bool_]


class _Pair:
    """Standing state of one instrument."""

    __slots__ = ("asks", "bids", "quote", "reset_ns", "scale", "symbol")

    def __init__(self, instrument: Instrument, depth: int) -> None:
        self.symbol = instrument.symbol
        self.scale = 10.0**instrument.decimals
        self.bids, self.asks = Side(-1, depth), Side(1, depth)
        self.quote: Quote | None = None
        self.reset_ns = 0

    def _levels(self, ticks: Ticks) -> list[Level]:
        scale = self.scale
        return [(price / scale, size) for price, size in ticks]

    def requote(
        self, ts: int, bid: int, ask: int, bid_size: float, ask_size: float
    ) -> Iterator[Tick]:
        """Book update and quote of new best prices."""
        gap = max(1, (ask - bid) // 2)
        bids, asks = self.bids.move(bid, bid_size, gap), self.asks.move(ask, ask_size, gap)
        reset = ts >= self.reset_ns
        if reset:
            self.reset_ns = ts + _RESET_NS
            bids, asks = self.bids.levels(), self.asks.levels()
        yield BookUpdate(self.symbol, ts, 0, self._levels(bids), self._levels(asks), reset=reset)
        self.quote = Quote(
            self.symbol,
            ts,
            0,
            bid / self.scale,
            bid_size,
            ask / self.scale,
            ask_size,
        )
        yield self.quote


@dataclass(frozen=True)
class SyntheticSession:
    """A stretch of a synthetic market; every iteration yields the same ticks.

    Parameters
    ----------
    instruments : tuple of Instrument
        The pairs.
    seed : int
        Decides everything.
    start_ns, end_ns : int
        From when to when; no tick is at or after ``end_ns``.
    depth : int
        Levels of the books on each side.
    """

    instruments: tuple[Instrument, ...]
    seed: int
    start_ns: int
    end_ns: int
    depth: int

    @property
    def weight(self) -> int:
        """Seconds: a made-up market is about equally busy all the time."""
        return max(1, (self.end_ns - self.start_ns) // 10**9)

    def ticks(self) -> Iterator[Tick]:
        """Ticks by time; every pair is quoted at the start, trades are at the bid or ask."""
        pairs = [_Pair(instrument, self.depth) for instrument in self.instruments]
        for events in self._minutes():
            columns = (
                events.ts_ns,
                events.which,
                events.trade,
                events.bid,
                events.ask,
                events.bid_size,
                events.ask_size,
                events.trade_size,
                events.trade_id,
                events.buys,
            )
            for ts, which, trade, bid, ask, bid_size, ask_size, size, trade_id, buy in zip(
                *(column.tolist() for column in columns), strict=True
            ):
                if ts >= self.end_ns:
                    return
                pair = pairs[which]
                if not trade:
                    yield from pair.requote(ts, bid, ask, bid_size, ask_size)
                elif pair.quote is not None:
                    price = pair.quote.ask if buy else pair.quote.bid
                    side: TakerSide = "buy" if buy else "sell"
                    yield Trade(pair.symbol, ts, 0, trade_id, price, size, side)

    def _minutes(self) -> Iterator[_Events]:
        rng = np.random.default_rng((self.seed, 1))
        width = len(self.instruments)
        volatility = np.array([i.daily_volatility for i in self.instruments]) / np.sqrt(_DAY_S)
        common = np.array([i.common for i in self.instruments])
        market, own = Volatility(rng, 1, 1.0), Volatility(rng, width, 1.0)
        logs = np.log([i.price for i in self.instruments])
        for minute, start_ns in enumerate(range(self.start_ns, self.end_ns, _MINUTE_NS)):
            shared = market.steps(_MINUTE_S) * innovations(rng, (_MINUTE_S, 1))
            idle = own.steps(_MINUTE_S) * innovations(rng, (_MINUTE_S, width))
            path = logs + np.cumsum(volatility * mix(common, shared, idle), axis=0)
            yield self._events(rng, start_ns, np.vstack((logs, path)), first=minute == 0)
            logs = path[-1]

    def _events(
        self, rng: np.random.Generator, start_ns: int, path: FloatArray, *, first: bool
    ) -> _Events:
        """Draw a minute's events along the log prices ``path`` of shape (61, pairs)."""
        width = len(self.instruments)
        quotes = rng.poisson([i.quotes_per_minute for i in self.instruments])
        trades = rng.poisson([i.trades_per_minute for i in self.instruments])
        which = np.concatenate([np.repeat(np.arange(width), count) for count in (quotes, trades)])
        trade = np.arange(len(which)) >= quotes.sum()
        offset = rng.integers(0, _MINUTE_NS, len(which))
        if first:
            which = np.concatenate((np.arange(width), which))
            trade = np.concatenate((np.zeros(width, dtype=bool), trade))
            offset = np.concatenate((np.arange(width, dtype=np.int64), offset))
        order = np.argsort(offset, kind="stable")
        which, trade, offset = which[order], trade[order], offset[order]
        second, within = np.divmod(offset, SECOND_NS)
        before, after = path[second, which], path[second + 1, which]
        mid = np.exp(before + (after - before) * (within / SECOND_NS))
        return self._priced(rng, start_ns + offset, which, trade, mid)

    def _priced(
        self,
        rng: np.random.Generator,
        ts_ns: IntArray,
        which: IntArray,
        trade: npt.NDArray[np.bool_],
        mid: FloatArray,
    ) -> _Events:
        """Prices in ticks, sizes, sides and ids of events whose midpoints are known."""
        count = len(ts_ns)
        scale = np.array([10.0**i.decimals for i in self.instruments])[which]
        spread_bps = np.array([i.spread_bps for i in self.instruments])[which]
        median = np.array([i.trade_usd for i in self.instruments])[which]
        half = mid * spread_bps * rng.lognormal(0.0, 0.35, count) / 20_000
        bid = np.maximum(1, np.floor((mid - half) * scale)).astype(np.int64)
        ask = np.maximum(bid + 1, np.ceil((mid + half) * scale).astype(np.int64))
        sizes = rng.lognormal(0.0, 1.0, (3, count)) * median / mid
        return _Events(
            ts_ns=ts_ns,
            which=which,
            trade=trade,
            bid=bid,
            ask=ask,
            bid_size=np.maximum(np.round(8 * sizes[0], 9), 1e-9),
            ask_size=np.maximum(np.round(8 * sizes[1], 9), 1e-9),
            trade_size=np.maximum(np.round(sizes[2], 9), 1e-9),
            trade_id=rng.integers(1, 2**63 - 1, count),
            buys=rng.random(count) < 0.5,
        )
