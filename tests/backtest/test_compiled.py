"""Compiled strategies: what they do, and that a second process compiles nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.execution.scenarios import instruments, terms
from tradelake.backtest import compiled_library as library
from tradelake.backtest.compiled import load_compiled, reserve, run_compiled
from tradelake.errors import ConfigError
from tradelake.execution.clock import merged
from tradelake.execution.machine import Machine
from tradelake.execution.terms import Rung
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.arrays import BarArrays
from tradelake.market.tape import merged_ticks
from tradelake.market.ticks import QuoteArrays, TradeArrays

CASH = 10_000 * 10**8


def bars(close: np.ndarray) -> BarArrays:
    starts = np.arange(len(close)) * 60_000_000_000
    open_ = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    return BarArrays("X", "1m", starts, open_, high, low, close, np.full(len(close), 9.0))


def machine_of(close: np.ndarray) -> Machine:
    machine = Machine(["X"], instruments(), terms(), CASH)
    machine.load(merged([bars(close)]))
    return machine


def walk(size: int = 400) -> np.ndarray:
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, 0.01, size)))


def wanted(close: np.ndarray, fast: int, slow: int) -> np.ndarray:
    """Targets of the cross by definition, 0 before there are averages."""
    targets = np.zeros(len(close))
    for row in range(slow - 1, len(close)):
        means = [close[row + 1 - window : row + 1].mean() for window in (fast, slow)]
        targets[row] = float(means[0] > means[1])
    return targets


def test_decide_fills_at_the_next_open_whenever_the_target_changes():
    close = walk()
    machine = machine_of(close)
    run_compiled(load_compiled(library.SMA_CROSS, "decide"), machine, np.array([5.0, 20.0]))
    targets = wanted(close, 5, 20)
    changes = np.flatnonzero(np.diff(np.concatenate(([0.0], targets)))) + 1
    expected = changes[changes < len(close)]
    assert machine.fills["event"].tolist() == expected.tolist()
    assert len(machine.equity) == len(close)
    assert np.isfinite(machine.equity).all()


def test_brackets_are_placed_by_compiled_code_and_end_by_stop_or_target():
    machine = machine_of(walk())
    params = np.array([5.0, 20.0, 0.01, 0.01, 0.5])
    run_compiled(load_compiled(library.SMA_BRACKET, "on_bar"), machine, params)
    fills = machine.fills
    assert len(fills) > 4
    assert set(fills["side"][::2]) == {1}
    assert (machine.orders["parent"] >= 0).sum() == 2 * (machine.orders["parent"] < 0).sum()


def maker_machine() -> TickMachine:
    drawn = np.random.default_rng(5)
    size = 4_000
    mid = np.round(100.0 + np.cumsum(drawn.normal(0.0, 0.02, size)), 2)
    stamps, sizes = np.arange(size) * 1_000_000, np.full(size, 3.0)
    quotes = QuoteArrays("X", stamps, mid - 0.05, sizes, mid + 0.05, sizes)
    trades = TradeArrays(
        "X", stamps + 1, mid + drawn.choice((-0.2, 0.2), size), sizes, np.zeros(size, np.int64)
    )
    machine = TickMachine(["X"], instruments(), terms(rung=int(Rung.QUOTES)), CASH)
    machine.load(merged_ticks([(0, quotes), (0, trades)]), marked=True)
    return machine


def test_the_maker_keeps_one_bid_and_one_ask_and_never_more_than_its_limit():
    machine = maker_machine()
    run_compiled(load_compiled(library.MAKER, "on_event"), machine, np.array([0.1, 1.0, 3.0, 0.01]))
    fills = machine.fills
    held = np.cumsum(fills["side"] * fills["quantity"])
    assert len(fills) > 100
    assert fills["maker"].all()
    assert held.min() >= 0
    assert held.max() <= 3 * 10**8
    assert len(machine.working()) <= 3
    account, position = machine.state.account[0], machine.state.positions[0]
    assert account["cash"] == CASH - (fills["side"] * fills["value"]).sum()
    assert position["quantity"] == held[-1]


def test_room_made_beforehand_changes_nothing():
    runs = []
    for orders in (0, 50_000):
        machine = maker_machine()
        reserve(machine, orders, orders)
        maker = load_compiled(library.MAKER, "on_event")
        run_compiled(maker, machine, np.array([0.1, 1.0, 3.0, 0.01]))
        runs.append((machine.orders.copy(), machine.fills.copy(), machine.equity))
    for before, after in zip(runs[0][:2], runs[1][:2], strict=True):
        assert len(before) == len(after)
        for name in before.dtype.names:
            np.testing.assert_array_equal(before[name], after[name], name)
    np.testing.assert_array_equal(runs[0][2], runs[1][2])


@pytest.mark.parametrize(
    ("path", "style", "message"),
    [
        ("nowhere:maker", "on_event", "cannot import nowhere"),
        ("tradelake.backtest.compiled_library:nothing", "on_event", "expected module:function"),
        ("tradelake.backtest.compiled_library:MAKER", "on_event", "expected module:function"),
        (library.MAKER, "on_moon", "expected one of decide, on_bar, on_event"),
    ],
)
def test_what_is_no_strategy_is_refused(path, style, message):
    with pytest.raises(ConfigError, match=message):
        load_compiled(path, style)


def test_a_strategy_on_bars_is_refused_by_ticks():
    with pytest.raises(
        ConfigError, match=r"expected a strategy on ticks; found .* of style decide"
    ):
        run_compiled(load_compiled(library.SMA_CROSS, "decide"), maker_machine(), np.zeros(2))


_PROCESS = """
import numpy as np
from tests.backtest.test_compiled import library, load_compiled, machine_of, run_compiled, walk
run_compiled(load_compiled(library.SMA_CROSS, "decide"), machine_of(walk()), np.array([5.0, 20.0]))
"""


def test_a_second_process_finds_the_machine_code_of_the_first():
    run_compiled(load_compiled(library.SMA_CROSS, "decide"), machine_of(walk()), np.ones(2))
    told = subprocess.run(
        [sys.executable, "-c", _PROCESS],
        env={**os.environ, "NUMBA_DEBUG_CACHE": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "data loaded from" in told
    assert "tradelake_loop_" in told
    assert "data saved to" not in told
