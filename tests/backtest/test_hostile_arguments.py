"""Arguments that are none, and exceptions that are no ``Exception``: one clear error, no more."""

from __future__ import annotations

import copy
import os
import pickle
import re
import signal
import sys
import threading

import numpy as np
import pytest

from tests.backtest.test_hostile import flat, once
from tests.backtest.test_session import PLAIN, Scripted, walk
from tradelake.backtest.limits import Limits
from tradelake.backtest.session import run
from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.costs import Costs
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.event import EventStrategy
from tradelake.strategies.library import build

BARS = walk(60)
BTC = "BTC/USD"


class Vector:
    """Targets by a function."""

    name, parameters = "vector", {}

    def __init__(self, signals) -> None:
        self.signals = signals


class Panel:
    name, parameters = "panel", {}

    def __init__(self, signals_of) -> None:
        self.signals_of = signals_of


class Own(BaseException):
    """An exception that is no ``Exception``."""


class Textless(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def raising(error):
    def act(*_: object) -> None:
        raise error

    return act


WRONG = [
    *(("cash", one) for one in ("5", True, 1e-9, np.nan, np.inf, 10**400, None, 1j, [5], 1e11)),
    *(("limits", one) for one in (5, "x", (1, 2))),
    *(("rung", one) for one in ("2", 0, 3, 1.0, None, True, np.nan, [1])),
    *(("seed", one) for one in (1.5, "1", None, True, -1, 2**63, np.nan, [1])),
    *(("broker", one) for one in (7, None, "nope", "os:path", [], {}, ":")),
    *(("costs", one) for one in (7, "x", {}, Costs)),
    *(("instruments", one) for one in (7, "x", {}, [])),
    *(("screen", one) for one in (7, "x", {})),
    *(("screened", one) for one in (7, "x", [5])),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_argument_is_refused_by_its_name(name, value) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}\b.*: .*"):
        run(BARS, Scripted(), **{"broker": PLAIN, name: value})


@pytest.mark.parametrize("data", [None, 5, "x", [], {}, [None], [BARS, None], {"ETH/USD": BARS}])
def test_wrong_data_is_refused_by_its_name(data) -> None:
    with pytest.raises(ConfigError, match=r"^data: expected .*found"):
        run(data, Scripted(), broker=PLAIN)


NO_STRATEGIES = [
    *(None, 5, "sma_cross", object(), Scripted, EventStrategy(), EventStrategy, build),
    *(Scripted(name=None), Scripted(name=""), Scripted(parameters=None), Scripted(parameters=5)),
]


@pytest.mark.parametrize("strategy", NO_STRATEGIES)
def test_what_is_no_strategy_is_refused(strategy) -> None:
    with pytest.raises(ConfigError, match=r"^strategy.*: expected .*found"):
        run(BARS, strategy, broker=PLAIN)


class Nameless(EventStrategy):
    def on_bar(self, ctx): ...


class Half(Nameless):
    def __init__(self):
        self.parameters = {}


class Signals:
    name = "signals"

    def signals(self, bars):
        return np.ones(len(bars))


@pytest.mark.parametrize(
    ("strategy", "lacks"),
    [
        (Nameless(), "Nameless: .* found no name and no parameters"),
        (Half(), "Half: .* found no name"),
        (Signals(), "Signals: .* found no parameters"),
    ],
)
def test_a_strategy_is_refused_by_its_class_and_what_it_lacks(strategy, lacks) -> None:
    with pytest.raises(ConfigError, match=rf"^strategy {lacks}$"):
        run(BARS, strategy, broker=PLAIN)


def test_numbers_of_numpy_are_numbers() -> None:
    given = {"cash": np.float64(5e4), "seed": np.int64(3), "rung": np.int64(1)}
    left = run(BARS, Scripted(), broker=PLAIN, **given)
    assert (left.cash, left.rung) == (5e4, 1)


@pytest.mark.parametrize("model", [5, "x", None, object(), [1]])
def test_a_model_of_another_kind_is_refused(model) -> None:
    with pytest.raises(ConfigError, match=r"strategy ml_classifier: .* model|expected a Predictor"):
        build("ml_classifier", {}, model)


def test_a_models_end_of_training_that_is_no_number_is_refused() -> None:
    strategy = Scripted()
    strategy.train_end_ns = "yesterday"
    with pytest.raises(ConfigError, match="train_end_ns: expected a whole number; found 'yest"):
        run(BARS, strategy, broker=PLAIN)


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), GeneratorExit(), Own("own"), MemoryError(), StopIteration(), Textless()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("style", [lambda act: Scripted(bar=act), Vector, Panel])
def test_a_run_fails_alone_whatever_its_strategy_raises(error, style) -> None:
    with pytest.raises(InvalidData, match=rf"{BTC}.*: {type(error).__name__}: ") as told:
        run(BARS, style(raising(error)), broker=PLAIN)
    assert told.value.rule == "strategy"


def test_a_callback_that_calls_itself_for_ever_fails_its_run() -> None:
    def again(ctx) -> None:
        again(ctx)

    with pytest.raises(InvalidData, match=r"in on_bar of BTC/USD at .* RecursionError"):
        run(BARS, Scripted(bar=again), broker=PLAIN)


def test_an_interrupt_ends_the_caller() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(BARS, Scripted(bar=lambda _: os.kill(os.getpid(), signal.SIGINT)), broker=PLAIN)


def test_an_exit_ends_the_caller_when_a_signals_handler_raised_it() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))
    try:
        with pytest.raises(SystemExit, match="7"):
            run(BARS, Scripted(bar=lambda _: os.kill(os.getpid(), signal.SIGUSR1)), broker=PLAIN)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("text", ["x" * 10_000, "a\nb\n" * 3_000])
def test_an_exceptions_text_is_one_line_of_a_bearable_length(text) -> None:
    with pytest.raises(InvalidData) as told:
        run(BARS, Scripted(bar=raising(ValueError(text))), broker=PLAIN)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 1_000


@pytest.mark.parametrize(
    "targets", ["x", ["x"] * 60, np.full(60, 1j), None, np.zeros(3), [[]] * 60]
)
def test_targets_that_are_no_numbers_are_refused(targets) -> None:
    with pytest.raises(InvalidData, match="signal: vector on BTC/USD"):
        run(BARS, Vector(lambda _: targets), broker=PLAIN)


def test_the_result_has_the_parameters_of_the_start_when_the_strategy_changes_them() -> None:
    strategy = Scripted(parameters={"n": 5})

    def act(_ctx) -> None:
        strategy.parameters["n"], strategy.name = object(), 7

    strategy.bar = once(act)
    left = run(BARS, strategy, broker=PLAIN)
    assert (left.strategy, left.parameters) == ("scripted", {"n": 5})


CALLS = {
    "timer t": [
        lambda ctx, wrong: ctx.timer("t", at_ns=wrong),
        lambda ctx, wrong: ctx.timer("t", every_ns=wrong),
    ],
    "history": [lambda ctx, wrong: ctx.history(BTC, wrong)],
    "id of an order": [
        lambda ctx, wrong: ctx.cancel(wrong),
        lambda ctx, wrong: ctx.replace(wrong, quantity=1.0),
    ],
    "tif": [lambda ctx, wrong: ctx.buy(BTC, 1.0, tif=wrong)],
}
WHOLE = [(name, call) for name, calls in CALLS.items() for call in calls]


@pytest.mark.parametrize("wrong", [np.nan, -1, 0.5, "x", True, np.inf, np.array([1, 2])])
@pytest.mark.parametrize(("name", "call"), WHOLE)
def test_what_is_no_whole_number_fails_the_run_by_its_name(name, call, wrong) -> None:
    act = once(lambda ctx: call(ctx, wrong))
    with pytest.raises(InvalidData, match=rf"in on_bar of BTC/USD .*{name}.*; found") as told:
        run(flat(100.0), Scripted(bar=act), broker=PLAIN, limits=Limits(5.0))
    assert told.value.rule == "order"


NUMBERS = {
    "quantity": lambda ctx, wrong: ctx.buy(BTC, wrong),
    "notional": lambda ctx, wrong: ctx.buy(BTC, notional=wrong),
    "limit": lambda ctx, wrong: ctx.sell(BTC, 1.0, limit=wrong),
    "stop": lambda ctx, wrong: ctx.sell(BTC, 1.0, stop=wrong),
    "trail": lambda ctx, wrong: ctx.sell(BTC, 1.0, trail=wrong),
    "stop_exit": lambda ctx, wrong: ctx.buy(BTC, 1.0, stop_exit=wrong),
    "target_exit": lambda ctx, wrong: ctx.buy(BTC, 1.0, target_exit=wrong),
    "fraction": lambda ctx, wrong: ctx.target(BTC, wrong),
}


@pytest.mark.parametrize("wrong", ["5", True, 10**400, np.array([1.0, 2.0]), 1j, [1]])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_fails_the_run_by_its_name(name, wrong) -> None:
    act = once(lambda ctx: NUMBERS[name](ctx, wrong))
    with pytest.raises(InvalidData, match=rf"order: .*{name}: expected a number; found"):
        run(flat(100.0), Scripted(bar=act), broker=PLAIN)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_make_no_sense_trade_nothing_they_should_not(name, wrong) -> None:
    act = once(lambda ctx: NUMBERS[name](ctx, wrong))
    left = run(flat(100.0), Scripted(bar=act), broker=PLAIN)
    assert np.isfinite(left.books.equity).all()
    if not np.isfinite(wrong):
        assert left.rejects
        assert not len(left.books.fills)


def test_a_context_answers_nothing_after_its_run() -> None:
    kept = []
    run(BARS, Scripted(bar=kept.append), broker=PLAIN)
    for ask in (lambda ctx: ctx.cash, lambda ctx: ctx.buy(BTC, 1.0), lambda ctx: ctx.orders):
        with pytest.raises(InvalidData, match=re.escape("context: expected ")):
            ask(kept[0])


def test_a_strategy_that_kept_its_context_can_be_copied_after_the_run() -> None:
    kept = []
    run(BARS, Scripted(bar=kept.append), broker=PLAIN)
    for copied in (copy.deepcopy(kept[0]), pickle.loads(pickle.dumps(kept[0]))):
        with pytest.raises(InvalidData, match=re.escape("context: expected cash before")):
            copied.cash  # noqa: B018


@pytest.mark.parametrize(
    "given",
    [
        {"memory": 1.5},
        {"memory": "x"},
        {"memory": -1},
        {"decide": 5},
        {"decide": "nocolon"},
        {"decide": ""},
        {"parameters": {"n": "5"}},
        {"parameters": {"n": None}},
    ],
)
def test_a_compiled_strategy_that_is_none_is_refused(given) -> None:
    with pytest.raises(ConfigError, match=r"^strategy c: .*found"):
        CompiledStrategy("c", **{"parameters": {}, "decide": "m:f", **given})


def test_other_threads_send_nothing() -> None:
    refused = []

    def send(ctx) -> None:
        for ask in (
            lambda: ctx.buy(BTC, 1.0),
            lambda: ctx.cancel(0),
            lambda: ctx.replace(0, quantity=1.0),
            lambda: ctx.timer("t", every_ns=10**9),
        ):
            try:
                ask()
            except InvalidData as error:
                refused.append(error.rule)

    def act(ctx) -> None:
        ctx.buy(BTC, 1.0, limit=50.0)
        thread = threading.Thread(target=send, args=(ctx,))
        thread.start()
        thread.join()

    left = run(flat(100.0), Scripted(bar=once(act)), broker=PLAIN)
    assert refused == ["context"] * 4
    assert len(left.books.orders) == 1
