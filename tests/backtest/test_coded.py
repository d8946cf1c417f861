"""Compiled strategies within a run: ticks as callbacks see them, limits, targets that are none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.backtest.coded_strategies import PairMaker
from tests.backtest.test_session import same, walk
from tradelake.backtest.limits import Limits, OutOfTime, aside, watched
from tradelake.backtest.session import run
from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.brokers import IDEAL
from tradelake.execution.costs import Costs, Latencies, Latency
from tradelake.market.ticks import QuoteArrays, TradeArrays
from tradelake.strategies.compiled import CompiledStrategy

HERE = "tests.backtest.coded_strategies:"
T0 = 1_700_000_000_000_000_000
MS = 1_000_000


def decide(name: str, memory: int = 2, **parameters: float) -> CompiledStrategy:
    return CompiledStrategy(name, parameters, decide=HERE + name, memory=memory)


def market(symbol: str = "BTC/USD", seed: int = 0, size: int = 3_000):
    drawn = np.random.default_rng(seed)
    mid = np.round(100.0 + np.cumsum(drawn.normal(0.0, 0.03, size)), 2)
    stamps, sizes = T0 + np.arange(size) * 10 * MS, drawn.integers(1, 5, size).astype(float)
    quotes = QuoteArrays(symbol, stamps, mid - 0.05, sizes, mid + 0.05, sizes)
    sides = drawn.choice((-1, 1), size)
    trades = TradeArrays(symbol, stamps + MS, mid + sides * 0.15, sizes, sides)
    return [quotes, trades]


@pytest.mark.parametrize("latency_ms", [0.0, 7.0])
def test_a_compiled_maker_has_the_orders_and_fills_of_the_same_maker_with_callbacks(
    latency_ms,
) -> None:
    costs = Costs(latency=Latencies(entry=Latency(latency_ms)))
    parameters = {"half": 0.1, "lot": 1.0, "most": 3.0}
    compiled = CompiledStrategy("pair_maker", parameters, on_event=HERE + "pair_maker", memory=3)
    one = run(market(), compiled, costs=costs)
    other = run(market(), PairMaker(**parameters), costs=costs)
    assert (one.style, other.style) == ("compiled", "event")
    assert len(one.books.fills) > 100
    same(one, other)


def test_compiled_takers_pay_the_displayed_ask_when_they_buy_on_quotes() -> None:
    asks = np.array([100.0, 101.0, 102.0])
    quotes = QuoteArrays(
        "BTC/USD", T0 + np.arange(3) * MS, asks - 1.0, np.full(3, 5.0), asks, np.full(3, 5.0)
    )
    strategy = CompiledStrategy("buy_twice", {"size": 2.0}, on_event=HERE + "buy_twice", memory=1)
    result = run([quotes], strategy, broker=IDEAL, costs=Costs.none(), cash=1_000.0)
    assert result.fills["price"].tolist() == [100.0, 101.0]
    assert result.fills["quantity"].tolist() == [2.0, 2.0]
    # 1,000 - 2 * 100 - 2 * 101 in cash, and 4 at the last mid of 101.5
    assert result.equity_values[-1] == pytest.approx(598.0 + 4 * 101.5)


@pytest.mark.parametrize(
    ("strategy", "data", "found"),
    [
        (CompiledStrategy("e", {}, on_event=HERE + "endless_on_ticks"), market(), "ticks"),
        (CompiledStrategy("e", {}, on_bar=HERE + "endless_on_bars"), market(), "bars"),
    ],
)
def test_compiled_code_for_other_data_is_refused(strategy, data, found) -> None:
    if found == "ticks":
        data = walk(50)
    with pytest.raises(ConfigError, match="expected a strategy on"):
        run(data, strategy)


def test_a_compiled_run_ends_when_it_sends_too_many_orders() -> None:
    bars, ticks = walk(50), market(size=50)
    on_bar = CompiledStrategy("endless", {}, on_bar=HERE + "endless_on_bars")
    told = rf"limit: endless in on_bar of BTC/USD at bar 10, {bars.close_ns[10]} ns, after order "
    with pytest.raises(InvalidData, match=told + "109: more than 100 orders"):
        run(bars, on_bar, limits=Limits(orders=100))
    on_event = CompiledStrategy("endless", {}, on_event=HERE + "endless_on_ticks")
    with pytest.raises(InvalidData, match=r"endless in on_event .* more than 100 orders") as error:
        run(ticks, on_event, limits=Limits(orders=100))
    assert error.value.rule == "limit"


def test_a_compiled_run_may_send_as_many_orders_as_its_limit_and_no_more() -> None:
    on_bar = CompiledStrategy("endless", {}, on_bar=HERE + "endless_on_bars")
    assert len(run(walk(10), on_bar, limits=Limits(orders=100)).books.orders) == 100
    with pytest.raises(InvalidData, match="more than 99 orders"):
        run(walk(10), on_bar, limits=Limits(orders=99))


def test_a_compiled_run_ends_between_slices_when_its_seconds_are_over() -> None:
    bars = walk(200_000)
    run(walk(5), decide("busy", steps=1.0))  # compiles
    began = time.monotonic()
    told = r"limit: busy on BTC/USD: expected an end within 0.3 s; found it at work after the bar"
    with pytest.raises(InvalidData, match=told):
        run(bars, decide("busy", steps=2_000.0), limits=Limits(seconds=0.3))
    assert time.monotonic() - began < 3.0
    deadline = time.monotonic() + 5.0
    while any(one.name == "backtest-compiled" for one in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


_PROCESS = """
from tests.backtest.test_coded import InvalidData, Limits, decide, run, walk
run(walk(5), decide("stuck", at=-1.0))  # compiles
try:
    run(walk(50), decide("stuck", at=20.0), limits=Limits(seconds=0.3))
except InvalidData as error:
    print(error)
print("orders of another run:", len(run(walk(50), decide("stuck", at=-1.0)).books.orders))
"""


def test_other_runs_go_on_and_the_process_ends_when_a_compiled_callback_never_returns() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told, other = done.stdout.splitlines()
    assert told.startswith("limit: stuck on BTC/USD: expected an end within 0.3 s")
    assert told.endswith("order 0")
    assert other == "orders of another run: 1"


@pytest.mark.parametrize("wrong", [1.5, -1.0000001, float("inf"), float("-inf")])
def test_a_compiled_target_outside_its_range_is_refused_with_its_bar(wrong) -> None:
    bars = walk(40)
    told = rf"at_bar in decide of BTC/USD at bar 30, {bars.close_ns[30]} ns, after order 0: "
    with pytest.raises(InvalidData, match=told + "expected a target in") as refused:
        run(bars, decide("at_bar", at=30.0, target=wrong))
    assert refused.value.rule == "signal"


@pytest.mark.parametrize("target", [1.0, -1.0, 0.0])
def test_targets_at_the_ends_of_the_range_are_sent_and_nan_leaves_things_as_they_are(
    target,
) -> None:
    result = run(walk(40), decide("at_bar", at=31.0, target=target))
    assert result.books.orders["amount"].tolist() == [0.5, target, 0.5]


def test_compiled_code_that_raises_is_told_with_strategy_and_time() -> None:
    with pytest.raises(InvalidData, match=r"strategy: raises in decide .* ZeroDivisionError"):
        run(walk(40), decide("raises", at=30.0))


def test_compiled_code_that_does_not_compile_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no_code does not compile"):
        run(walk(40), decide("no_code"))


def test_what_work_aside_raises_is_raised_by_who_waits() -> None:
    def work(_ended: threading.Event) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        aside(work)


def test_work_aside_is_told_to_end_when_who_waits_is_out_of_time() -> None:
    seen = threading.Event()

    def work(ended: threading.Event) -> None:
        ended.wait(10.0)
        seen.set()

    with pytest.raises(OutOfTime), watched(0.1):
        aside(work)
    assert seen.wait(5.0)
