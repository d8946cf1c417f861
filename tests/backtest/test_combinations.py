"""Sweeps without curves: bit for bit the metrics of single runs, however bars are cut in blocks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.backtest import declared, engine, kernels, metrics
from tradelake.backtest.combinations import summarise_all
from tradelake.errors import ConfigError, InsufficientData
from tradelake.execution.rules import Rules
from tradelake.market.arrays import BarArrays
from tradelake.strategies.library import make

MINUTE_NS = 60_000_000_000
PAIRS = [(2, 5), (5, 20), (20, 100), (1, 3), (50, 400)]


def walk(size: int, seed: int = 1, deviation: float = 1e-3) -> BarArrays:
    drawn = np.random.default_rng(seed)
    close = 30_000.0 * np.exp(np.cumsum(drawn.normal(0.0, deviation, size)))
    open_ = np.concatenate(([close[0]], close[:-1])) * (1.0 + drawn.normal(0.0, 1e-4, size))
    high, low = np.maximum(open_, close) * 1.0002, np.minimum(open_, close) * 0.9998
    ts = np.arange(size) * MINUTE_NS
    return BarArrays("BTC/USD", "1m", ts, open_, high, low, close, np.ones(size))


def crosses(pairs=PAIRS, below: float = 0.0):
    return [make("sma_cross", {"fast": fast, "slow": slow, "below": below}) for fast, slow in pairs]


def single(bars: BarArrays, strategy, rules: Rules, **more):
    return metrics.summarise(engine.run(bars, strategy, **dataclasses.asdict(rules), **more))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("below", [0.0, -1.0])
@pytest.mark.parametrize("flat_at_end", [False, True])
def test_metrics_are_those_of_single_runs_when_combinations_are_swept(
    threads: int, below: float, flat_at_end: bool
) -> None:
    bars, rules = walk(70_000), Rules(allow_short=below < 0.0)
    swept = summarise_all(
        bars, crosses(below=below), rules=rules, threads=threads, flat_at_end=flat_at_end
    )
    expected = [single(bars, one, rules, flat_at_end=flat_at_end) for one in crosses(below=below)]
    assert [one.row() for one in swept] == [one.row() for one in expected]
    assert swept[0].trades > 100


@given(
    st.integers(2, 300), st.integers(0, 1000), st.integers(1, 9), st.integers(1, 40), st.booleans()
)
@settings(max_examples=60)
def test_metrics_are_those_of_the_single_run_when_bars_are_few_and_wild(
    size: int, seed: int, fast: int, more: int, short: bool
) -> None:
    bars = walk(size, seed, deviation=0.05)
    rules = Rules(fee_bps=10.0, allow_short=short)
    strategies = crosses([(fast, fast + more)], below=-1.0 if short else 0.0)
    (swept,) = summarise_all(bars, strategies, rules=rules)
    assert swept.row() == single(bars, strategies[0], rules).row()


@pytest.mark.parametrize("block", [1, 7, 19, 20, 64, 500])
@pytest.mark.parametrize("pair", [(1, 2), (3, 7), (20, 100), (300, 600)])
def test_kernel_says_the_strategys_targets_when_bars_come_in_blocks(
    block: int, pair: tuple[int, int]
) -> None:
    bars = walk(500)
    (strategy,) = crosses([pair])
    kernel, columns = kernels.SMA_CROSS, kernels.columns_of(bars)
    state, told = np.zeros(kernel.state), np.empty(len(bars))
    for first in range(0, len(bars), block):
        last = min(first + block, len(bars))
        values = kernel.values(strategy.parameters)
        kernel.fill(columns, kernel.shared(columns), values, state, first, last, told[first:last])
    assert told.tolist() == strategy.signals(bars).tolist()


def test_run_uses_no_kernel_of_the_library_when_a_strategy_only_bears_its_name() -> None:
    @dataclasses.dataclass(frozen=True)
    class Namesake:
        name: str = "sma_cross"
        parameters: dict[str, float] = dataclasses.field(default_factory=dict)

        def signals(self, bars: BarArrays):
            return np.ones(len(bars))

    assert declared.kernel_name(crosses()[0])
    assert declared.kernel_name(Namesake()) == ""
    assert np.count_nonzero(engine.run(walk(50), Namesake()).positions) == 49


def test_strategies_without_a_kernel_are_run_among_those_with_one() -> None:
    bars = walk(2_000)
    mixed = [make("donchian", {}), *crosses([(5, 20)]), make("buy_and_hold", {})]
    swept = summarise_all(bars, mixed)
    assert [one.row() for one in swept] == [single(bars, one, Rules()).row() for one in mixed]


def test_sweep_is_refused_when_bars_or_threads_are_too_few() -> None:
    with pytest.raises(InsufficientData, match="at least 2"):
        summarise_all(walk(1), crosses())
    with pytest.raises(ConfigError, match="threads"):
        summarise_all(walk(10), crosses(), threads=0)


@pytest.mark.parametrize("name", ["nowhere:X", "tradelake.backtest.kernels:TIE", "", "json"])
def test_kernel_is_refused_by_name_when_there_is_none(name: str) -> None:
    with pytest.raises(ConfigError, match="kernel"):
        kernels.kernel_of(name)
