"""Markets, and the engine's work units beside their floors: what :mod:`bench.engine` measures."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench import engine_floor as floor
from tradelake.backtest import engine, metrics
from tradelake.backtest.combinations import summarise_all
from tradelake.market.arrays import BarArrays
from tradelake.strategies.library import make

MINUTE_NS: Final = 60_000_000_000
YEAR: Final = 525_600
CORES: Final = 2
FAST, SLOW = 20, 100
COLUMNS: Final = ("open", "high", "low", "close", "volume")
FEE_BPS: Final = floor.FEE * 1e4
SLIPPAGE_BPS: Final = floor.SLIPPAGE * 1e4


@dataclass(frozen=True)
class Market:
    """A random walk of minute bars as plain arrays, the deviation of BTC's minutes."""

    ts_ns: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[np.float64]]

    @property
    def open(self) -> npt.NDArray[np.float64]:
        return self.columns["open"]

    @property
    def close(self) -> npt.NDArray[np.float64]:
        return self.columns["close"]

    def bars(self) -> BarArrays:
        """Check the arrays and return them as bars."""
        open_, high, low, close, volume = (self.columns[name] for name in COLUMNS)
        return BarArrays("BTC/USD", "1m", self.ts_ns, open_, high, low, close, volume)

    def save(self, folder: Path) -> None:
        for name, column in {"ts_ns": self.ts_ns, **self.columns}.items():
            np.save(folder / f"{name}.npy", column)


def market(size: int, seed: int = 1) -> Market:
    drawn = np.random.default_rng(seed)
    close = 30_000.0 * np.exp(np.cumsum(drawn.normal(0.0, 8e-4, size)))
    open_ = np.concatenate(([close[0]], close[:-1])) * (1.0 + drawn.normal(0.0, 2e-5, size))
    reach = np.abs(drawn.normal(0.0, 4e-4, (2, size)))
    high = np.maximum(open_, close) * (1.0 + reach[0])
    low = np.minimum(open_, close) * (1.0 - reach[1])
    columns = (open_, high, low, close, drawn.exponential(5.0, size))
    return Market(
        np.arange(size, dtype=np.int64) * MINUTE_NS, dict(zip(COLUMNS, columns, strict=True))
    )


def turns(works: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each work, taking turns; the first turn is not counted."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                found[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def one(bars: BarArrays) -> metrics.Metrics:
    """W1's engine: bars to equity, trades and metrics."""
    strategy = make("sma_cross", {"fast": FAST, "slow": SLOW})
    left = engine.run(bars, strategy, cash=floor.CASH, fee_bps=FEE_BPS, slippage_bps=SLIPPAGE_BPS)
    return metrics.summarise(left)


def one_floor(given: Market) -> tuple[int, float, float]:
    size = given.close.size
    found: tuple[int, float, float] = floor.sma_cross(
        given.open, given.close, FAST, SLOW, np.empty(size), np.empty((size // 2 + 1, 7))
    )
    return found


def w1(size: int, repeats: int) -> dict[str, float]:
    """One symbol-year: arrays -> equity, trades, Sharpe, drawdown."""
    given = market(size)
    bars = given.bars()
    same(one(bars), one_floor(given))
    return turns(
        {
            "floor": lambda: one_floor(given),
            "arrays": lambda: one(given.bars()),
            "bars": lambda: one(bars),
            "run": lambda: engine.run(bars, make("sma_cross", {"fast": FAST, "slow": SLOW})),
        },
        repeats,
    )


def same(engines: metrics.Metrics, floors: tuple[int, float, float]) -> None:
    """Refuse to compare works that do not do the same.

    They round differently (the engine buys whole units and calls averages within 1e-9 equal), so
    trades may differ by one in a thousand.
    """
    trades, _, worst = floors
    assert abs(engines.trades - trades) <= 2 + trades // 1000 or engines.total_return < -0.99, (
        engines,
        floors,
    )
    assert abs(engines.max_drawdown - worst) < 0.01, (engines, floors)


_COLD_ENGINE: Final = """
import sys; from pathlib import Path; import numpy as np
from bench.engine_cold import bars
from tradelake.backtest import engine, metrics
from tradelake.strategies.library import make
strategy = make("sma_cross", {"fast": 20, "slow": 100})
print(metrics.summarise(engine.run(bars(Path(sys.argv[1])), strategy)).sharpe)
"""
_COLD_FLOOR: Final = """
import sys; import numpy as np
from bench import engine_floor as floor
open_, close = (np.load(f"{sys.argv[1]}/{name}.npy") for name in ("open", "close"))
room = np.empty(close.size), np.empty((close.size // 2 + 1, 7))
print(floor.sma_cross(open_, close, 20, 100, *room)[1])
"""
_COLD_NUMBA: Final = "import numba"


def cold(folder: Path, repeats: int) -> dict[str, float]:
    """Wall seconds of fresh processes from their start to the result; the code is compiled."""
    works = {"engine": _COLD_ENGINE, "floor": _COLD_FLOOR, "numba": _COLD_NUMBA}
    return turns({name: _process(code, folder) for name, code in works.items()}, repeats)


def _process(code: str, folder: Path) -> Callable[[], Any]:
    command = [sys.executable, "-c", code, str(folder)]
    root = Path(__file__).parents[1]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=root)


def grid(count: int) -> npt.NDArray[np.int64]:
    """Pairs of windows, every fast one below every slow one."""
    slow = np.arange(110, 610, 10)
    pairs = np.array([(a, b) for a in range(5, 105, 5) for b in slow])
    chosen: npt.NDArray[np.int64] = pairs[np.linspace(0, len(pairs) - 1, count).round().astype(int)]
    return chosen


def over_cores(work: Callable[[int], Any]) -> None:
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(work, range(CORES)))


def w2(size: int, count: int, repeats: int) -> dict[str, float]:
    """Combinations of one strategy over the same bars, both cores."""
    given, pairs = market(size), grid(count)
    bars, out = given.bars(), np.empty((count, 3))

    def full() -> None:
        over_cores(
            lambda part: floor.combinations(given.open, given.close, pairs, part, CORES, out)
        )

    def skip() -> None:
        sums = floor.prefixes(given.close)
        over_cores(
            lambda part: floor.skipping(given.open, given.close, sums, pairs, part, CORES, out)
        )

    return turns(
        {"floor": full, "skip": skip, "engine": lambda: sweep(bars, pairs)},
        repeats,
    )


def sweep(bars: BarArrays, pairs: Sequence[Any] | npt.NDArray[np.int64]) -> list[metrics.Metrics]:
    strategies = [make("sma_cross", {"fast": int(a), "slow": int(b)}) for a, b in pairs]
    return summarise_all(bars, strategies, cash=floor.CASH, threads=CORES)


_SWEEP: Final = """
import resource, sys; from pathlib import Path
from bench.engine_cold import bars
from bench.engine_works import grid, sweep
read = bars(Path(sys.argv[1])); sweep(read, grid(2))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sweep(read, grid(int(sys.argv[2])))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(after / 1024, (after - before) / 1024)
"""


def sweep_memory(folder: Path, count: int) -> tuple[float, float]:
    """MiB at the peak of a process that sweeps, and what more than two combinations added."""
    command = [sys.executable, "-c", _SWEEP, str(folder), str(count)]
    root = Path(__file__).parents[1]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=root, text=True)
    peak, more = map(float, told.stdout.split())
    return peak, more


def w5(size: int, count: int, repeats: int) -> dict[str, float]:
    """Independent backtests, each of its own bars, both cores."""
    given = [market(size, seed) for seed in range(min(count, 10))]
    bars = [each.bars() for each in given]

    def floors() -> None:
        over_cores(
            lambda part: [one_floor(given[at % len(given)]) for at in range(part, count, CORES)]
        )

    def engines() -> None:
        over_cores(lambda part: [one(bars[at % len(bars)]) for at in range(part, count, CORES)])

    return turns({"floor": floors, "engine": engines}, repeats)
