"""Ports of the fan-out in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tradelake.errors import InsufficientData
from tradelake.market.arrays import BarArrays
from tradelake.ports import Delivery, InstrumentRows
from tradelake.usecases.sweeps import SweepRequest

HOUR_NS = 3_600 * 10**9


def request(**changes) -> SweepRequest:
    fields = {
        "sweep_id": "s",
        "strategy": "sma_cross",
        "symbols": ("BTC/USD",),
        "timeframe": "1h",
        "start_ns": 0,
        "end_ns": 2_000 * HOUR_NS,
        "grid": {"fast": (5,), "slow": (20,)},
    }
    return SweepRequest(**{**fields, **changes})


class MemoryObjects:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def list(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))


class MemoryLake:
    """Appends rows once per identity."""

    def __init__(self) -> None:
        self.rows: dict[tuple, dict] = {}

    def append(self, table, columns) -> Delivery:
        assert set(columns) == set(table.column_names())
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        fresh = {tuple(row[name] for name in table.identity): row for row in rows}
        fresh = {identity: row for identity, row in fresh.items() if identity not in self.rows}
        self.rows.update(fresh)
        return Delivery(len(fresh), len(rows) - len(fresh), 0)


class WavyBars:
    """Bars of a few symbols that go up and down, each at its own pace, so that averages cross."""

    def __init__(self, count: int = 1_500, symbols: tuple[str, ...] = ("BTC/USD",)) -> None:
        self._count = count
        self._symbols = symbols

    def bars(self, symbol, timeframe, start_ns=None, end_ns=None, source=None) -> BarArrays:
        if symbol not in self._symbols:
            raise InsufficientData(f"no bars of {symbol}")
        at = np.arange(self._count)
        close = 100.0 + 10.0 * np.sin(at / (40.0 + 7.0 * self._symbols.index(symbol)))
        return BarArrays(
            symbol=symbol,
            timeframe=timeframe,
            ts_event_ns=at * HOUR_NS,
            open=close,
            high=close + 0.1,
            low=close - 0.1,
            close=close,
            volume=np.full(self._count, 1e5),
            snapshot_id="snapshot-1",
        )


class KnownInstruments:
    """Instruments of which what is given is known."""

    def __init__(self, *rows: dict[str, object]) -> None:
        self._rows = list(rows)

    def instruments(self, symbols) -> InstrumentRows:
        rows = [row for row in self._rows if row["symbol"] in symbols]
        return InstrumentRows(rows, "snapshot-2" if self._rows else "")


class FixedClock:
    def now_ns(self) -> int:
        return 1_700_000_000 * 10**9
