"""Minute bars of a synthetic market from before its playback."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from tradelake.exchange.source import BarColumns, FloatArray
from tradelake.exchange.synthetic.paths import Volatility, innovations, mix
from tradelake.exchange.synthetic.universe import Instrument
from tradelake.market.timeframes import TIMEFRAMES

_MINUTES_A_DAY: Final = 1440
_KEPT: Final = 8
"""Symbols whose columns stay in memory; the others are made again when asked for."""


class SyntheticHistory:
    """Bars that end where the playback begins, at its first prices; safe from several threads.

    Parameters
    ----------
    instruments : sequence of Instrument
        The pairs.
    seed : int
        Decides everything.
    end_ns : int
        Start of the playback.
    days : int
        How far back the bars go.
    """

    def __init__(
        self, instruments: Sequence[Instrument], seed: int, end_ns: int, days: int
    ) -> None:
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._seed = seed
        self._end_ns = end_ns
        self._count = days * _MINUTES_A_DAY
        self._lock = threading.Lock()
        self._market: FloatArray | None = None
        self._made: OrderedDict[str, BarColumns] = OrderedDict()

    def symbols(self) -> Sequence[str]:
        """Symbols with bars, sorted."""
        return sorted(self._instruments) if self._count else []

    def minutes(self, symbol: str) -> BarColumns | None:
        """All minute bars of a symbol, or None."""
        instrument = self._instruments.get(symbol)
        if instrument is None or not self._count:
            return None
        with self._lock:
            if symbol not in self._made:
                self._made[symbol] = self._make(instrument)
                if len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(symbol)
            return self._made[symbol]

    def _shared(self) -> FloatArray:
        if self._market is None:
            rng = np.random.default_rng((self._seed, 2))
            moves = innovations(rng, (self._count, 1))
            self._market = Volatility(rng, 1, 60.0).steps(self._count) * moves
        return self._market

    def _make(self, instrument: Instrument) -> BarColumns:
        rng = np.random.default_rng((self._seed, 3, zlib.crc32(instrument.symbol.encode())))
        count = self._count
        scale = Volatility(rng, 1, 60.0).steps(count)
        own = scale * innovations(rng, (count, 1))
        unit = mix(np.array([instrument.common]), self._shared(), own)[:, 0]
        sigma = instrument.daily_volatility / np.sqrt(_MINUTES_A_DAY)
        logs = np.cumsum(sigma * unit)
        logs += np.log(instrument.price) - logs[-1]
        mid_close = np.exp(logs)
        mid_open = np.concatenate((mid_close[:1], mid_close[:-1]))
        busy = instrument.trades_per_minute * np.minimum(np.abs(unit) + 0.3, 8.0)
        trades = rng.poisson(busy)
        return self._bars(instrument, rng, mid_open, mid_close, trades, sigma)

    def _bars(
        self,
        instrument: Instrument,
        rng: np.random.Generator,
        mid_open: FloatArray,
        mid_close: FloatArray,
        trades: np.ndarray[tuple[int], np.dtype[np.int64]],
        sigma: float,
    ) -> BarColumns:
        """Bars around midpoints: traded ones bounce between bid and ask."""
        count = len(trades)
        traded = trades > 0
        half = instrument.spread_bps / 20_000
        side = np.where(rng.random((2, count)) < 0.5, -half, half) * traded
        single = trades == 1
        close = mid_close * (1 + side[1])
        open_ = np.where(single, close, mid_open * (1 + side[0]))
        reach = np.abs(rng.normal(0.0, 0.5 * sigma, (2, count))) * ~single
        decimals = instrument.decimals
        open_, close = np.round(open_, decimals), np.round(close, decimals)
        high = np.round(np.maximum(open_, close) * (1 + reach[0]), decimals)
        low = np.round(np.minimum(open_, close) * (1 - reach[1]), decimals)
        size = instrument.trade_usd / mid_close * rng.lognormal(0.5, 0.6, count)
        return BarColumns(
            ts_ns=self._end_ns - np.arange(count, 0, -1) * TIMEFRAMES["1m"],
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=np.where(traded, np.maximum(np.round(size * trades, 9), 1e-9), 0.0),
            trades=trades.astype(np.int64),
            vwap=np.where(traded, (open_ + high + low + close) / 4, 0.0),
        )
