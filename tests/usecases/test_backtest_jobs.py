"""Jobs run strategies of every style, and survive bad ones."""

from __future__ import annotations

import math
import sys

import msgspec
import numpy as np
import pytest

from tests.usecases.sweep_fakes import (
    HOUR_NS,
    FixedClock,
    KnownInstruments,
    MemoryLake,
    MemoryObjects,
    WavyBars,
    request,
)
from tradelake.backtest import session
from tradelake.execution.costs import Costs, FixedSlippage
from tradelake.features.registry import FEATURE_SETS
from tradelake.strategies import library
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.event import EventStrategy
from tradelake.strategies.library import STRATEGIES
from tradelake.topology import tables
from tradelake.usecases.collect_backtests import collect
from tradelake.usecases.run_backtest import run_backtest
from tradelake.usecases.sweeps import RunResult, entry_of, expand, prepare, read_manifest

PAIR = ("BTC/USD", "ETH/USD")


class Rising:
    """A model of either kind that expects a rise of everything."""

    feature_set = next(iter(FEATURE_SETS))
    train_end_ns = -1

    def predict_proba(self, features):
        return np.full(len(features), 0.9)

    def predict(self, features):
        return np.full(len(features), 0.1)


def run(build=library.build, artifacts=None, **changes) -> RunResult:
    """Run the first point of a sweep over bars of two symbols."""
    artifacts = artifacts or MemoryObjects()
    spec = expand(request(**{"grid": {}, **changes}))[0]
    entry = entry_of(spec)
    artifacts.put(entry.spec_key, msgspec.json.encode(spec))
    artifacts.put("models/rising", b"model")
    return run_backtest(
        entry.spec_key,
        entry.result_key,
        artifacts=artifacts,
        bars=WavyBars(symbols=PAIR),
        instruments=KnownInstruments(),
        load_model=lambda _archive: Rising(),
        code_version="code-1",
        build=build,
    )


ON_BARS = sorted(set(STRATEGIES) - {"book_maker"})


@pytest.mark.parametrize("name", ON_BARS)
def test_a_job_runs_each_strategy_of_the_library_that_decides_from_bars(name):
    several = STRATEGIES[name].style == "panel"
    result = run(
        strategy=name,
        symbols=(",".join(PAIR),) if several else ("BTC/USD",),
        model_key="models/rising" if STRATEGIES[name].model else None,
    )

    assert (result.status, result.error) == ("succeeded", None)
    assert result.style == ("event" if STRATEGIES[name].style == "events" else "vectorised")
    assert result.bars == (3_000 if several else 1_500)
    assert result.rung == 2
    assert result.realism.startswith("Rung 2: ")
    assert result.fills > 0
    assert result.metrics["total_return"] == pytest.approx(
        result.equity[-1][1] / 100_000.0 - 1.0, abs=1e-12
    )


def test_a_job_leaves_the_account_that_the_same_run_leaves_at_home():
    bars = WavyBars().bars("BTC/USD", "1h")
    home = session.run(bars, library.build("donchian", {}), seed=3)
    result = run(strategy="donchian", seed=3)

    assert result.metrics == home.metrics().row()
    assert (result.orders, result.fills) == (len(home.books.orders), len(home.books.fills))
    assert result.realism == home.realism


def test_a_job_refuses_a_strategy_that_is_told_of_books_alone():
    result = run(strategy="book_maker")

    assert result.status == "failed"
    assert "a job runs over bars, which have no quotes, trades or books" in result.error


def decide(_open, _high, _low, _close, _volume, i, _params, _memory):
    return 1.0 if i % 20 < 10 else 0.0


def test_a_job_runs_a_compiled_strategy():
    path = f"{__name__}:decide"
    result = run(build=lambda name, _params, _model: CompiledStrategy(name, {}, decide=path))

    assert (result.status, result.style) == ("succeeded", "compiled")
    assert result.metrics["trades"] == 75


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "fees maker 15 and taker 25 bps, falling in 8 tiers"),
        ({"fee_bps": 7.0}, "fees maker 7 and taker 7 bps"),
        ({"broker": "ideal"}, "Broker ideal: no fees"),
        ({"rung": 1}, "Rung 1: "),
        ({"slippage_bps": 9.0}, "Slippage 9 bps"),
        ({"spread_bps": 4.0}, "Spread 4 bps, half of it"),
        ({"participation": 0.02}, "at most 0.02 of a bar's volume"),
    ],
)
def test_a_result_says_the_terms_that_its_specification_states(changes, said):
    assert said in run(**changes).realism


def test_fills_take_the_share_of_a_bars_volume_that_the_specification_states():
    whole, cut = run(strategy="buy_and_hold"), run(strategy="buy_and_hold", participation=1e-4)

    assert whole.fills == 1
    assert cut.fills > 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"broker": "absent"}, "broker: expected one of alpaca, ideal; found 'absent'"),
        ({"screen": {"typo": "flag"}}, "screen: expected one of gaps, duplicates"),
        ({"screen": {"gaps": "mask"}}, "screen.gaps: expected one of refuse, flag"),
        ({"strategy": "grid", "grid": {"levels": (0,)}}, "levels"),
        ({"strategy": "grid", "grid": {"levels": (50,), "spacing": (0.1,)}}, "levels * spacing"),
        ({"strategy": "pairs"}, "pairs on BTC/USD 1h: "),
        ({"symbols": ("BTC/USD,SOL/USD",)}, "no bars of SOL/USD"),
        ({"cash": 1e11}, "cash: "),
    ],
)
def test_a_job_fails_clearly_when_its_terms_cannot_be_met(changes, message):
    result = run(**changes)

    assert (result.status, result.metrics) == ("failed", None)
    assert message in result.error


class Bad(EventStrategy):
    """Does on its third bar what it is named after."""

    def __init__(self, name: str, parameters=None) -> None:
        self.name, self.parameters, self._bars = name, parameters or {}, 0

    def on_bar(self, ctx) -> None:
        self._bars += 1
        if self._bars == 3:
            BADNESS[self.name](ctx)


def raises(ctx) -> None:
    ctx.buy(ctx.symbol, 1.0, limit=1.0)
    raise ZeroDivisionError("no")


def loops(_ctx) -> None:
    while True:
        pass


def floods(ctx) -> None:
    while True:
        ctx.buy(ctx.symbol, 1.0, limit=1.0)


BADNESS = {
    "raises": raises,
    "leaves": lambda _ctx: sys.exit(),
    "loops": loops,
    "floods": floods,
    "nan_order": lambda ctx: ctx.buy(ctx.symbol, math.nan),
    "nan_limit": lambda ctx: ctx.buy(ctx.symbol, 1.0, limit=math.nan),
    "negative_order": lambda ctx: ctx.buy(ctx.symbol, -1.0),
    "unknown_symbol": lambda ctx: ctx.buy("DOGE/USD", 1.0),
    "unknown_price": lambda ctx: ctx.feature("rsi_14", "DOGE/USD"),
    "oversells": lambda ctx: ctx.sell(ctx.symbol, 1.0, limit=90.0),
    "sells_nothing": lambda ctx: ctx.sell(ctx.symbol, ctx.held),
}
THIRD_CLOSE = 3 * HOUR_NS


def bad(name, params, model):
    return Bad(name) if name in BADNESS else library.build(name, params, model)


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("raises", ("strategy: ", f"at {THIRD_CLOSE} ns", "order 0", "ZeroDivisionError: no")),
        ("floods", ("limit: ", f"at {THIRD_CLOSE} ns", "order 49", "more than 50 orders")),
        ("nan_order", ("order: ", f"order 0 at {THIRD_CLOSE} ns", "bad_quantity")),
        ("nan_limit", ("order: ", f"order 0 at {THIRD_CLOSE} ns", "bad_price")),
        ("negative_order", ("order: ", f"order 0 at {THIRD_CLOSE} ns", "bad_quantity")),
        ("unknown_symbol", ("order: ", f"order 0 at {THIRD_CLOSE} ns", "unknown_symbol")),
        ("unknown_price", ("symbol: ", f"at {THIRD_CLOSE} ns", "found 'DOGE/USD'")),
        ("loops", ("limit: ", "within 0.5 s", "no order")),
    ],
)
def test_a_job_fails_with_rule_strategy_time_and_order_when_its_strategy_misbehaves(name, messages):
    seconds = 0.5 if name == "loops" else 60.0
    result = run(build=bad, strategy=name, max_seconds=seconds, max_orders=50)

    assert (result.status, result.metrics, result.equity) == ("failed", None, ())
    for message in (f"{name} on BTC/USD 1h: ", *messages):
        assert message in result.error


@pytest.mark.parametrize(
    ("name", "reason"), [("oversells", "insufficient_quantity"), ("sells_nothing", "bad_quantity")]
)
def test_a_job_succeeds_and_counts_what_its_venue_refused(name, reason):
    result = run(build=bad, strategy=name)

    assert (result.status, result.rejects) == ("succeeded", {reason: 1})


def test_a_job_fails_when_a_strategy_cannot_even_be_made():
    def build(*_given):
        raise RuntimeError("no")

    assert "strategy: RuntimeError: no" in run(build=build).error


def test_a_job_has_a_failed_result_when_its_strategy_leaves_the_program():
    def build(_name, _params, _model):
        sys.exit(3)

    assert "strategy: SystemExit: 3" in run(build=build).error
    assert "SystemExit" in run(build=bad, strategy="leaves").error


def test_other_runs_of_a_sweep_are_recorded_when_one_fails():
    def build(name, params, model):
        return Bad("raises") if params["fast"] == 7 else library.build(name, params, model)

    artifacts, lake = MemoryObjects(), MemoryLake()
    wanted = request(grid={"fast": (5, 7, 9), "slow": (20,)})
    artifacts.put("request", msgspec.json.encode(wanted))
    prepare(artifacts, "bucket", "request")
    for entry in read_manifest(artifacts, "s"):
        run_backtest(
            entry.spec_key,
            entry.result_key,
            artifacts=artifacts,
            bars=WavyBars(),
            instruments=KnownInstruments(),
            load_model=None,
            code_version="code-1",
            build=build,
        )
    counted = collect(artifacts, lake, FixedClock(), "bucket", "s")

    assert (counted.succeeded, counted.failed, counted.appended) == (2, 1, 3)
    rows = {row["params"]: row for row in lake.rows.values()}
    assert "ZeroDivisionError" in rows['{"fast":7,"slow":20}']["error"]
    for fast in (5, 9):
        row = rows[f'{{"fast":{fast},"slow":20}}']
        assert row["error"] is None
        measures = [column.name for column in tables.TRIALS.columns if not column.required]
        assert all(row[name] is not None for name in measures if name != "error")


def test_costs_of_a_specification_are_by_default_those_of_a_run_at_home():
    spec, costs = expand(request())[0], Costs()

    assert Costs(slippage=FixedSlippage(spec.slippage_bps)).slippage == FixedSlippage()
    assert spec.spread_bps == costs.spread.bps
    assert spec.participation == costs.participation.share
