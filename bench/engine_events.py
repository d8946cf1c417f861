"""Work units that place orders: brackets on bars (W3), a market maker on ticks (W4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from bench import engine_floor as floor
from bench.engine_works import market, turns
from tradelake.backtest import session
from tradelake.backtest.compiled import load_compiled, reserve, run_compiled
from tradelake.backtest.compiled_library import MAKER
from tradelake.backtest.outcome import Backtest
from tradelake.execution.broker import BrokerRules, flat_fee, terms
from tradelake.execution.brokers import IDEAL
from tradelake.execution.clock import merged
from tradelake.execution.costs import Costs, FillOptions
from tradelake.execution.instruments import InstrumentHistory
from tradelake.execution.layout import CASH_UNIT, CASH_UNITS
from tradelake.execution.machine import Machine
from tradelake.execution.terms import Rung
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.arrays import BarArrays
from tradelake.market.tape import Tape, merged_ticks
from tradelake.market.ticks import QuoteArrays, TradeArrays
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.event import Context, EventStrategy

STOP, TARGET = 0.01, 0.01
NOTIONAL: Final = 1_000.0
SYMBOL: Final = "BTC/USD"
EVENTS: Final = 1_000_000
HALF_WIDTH, LOT, LIMIT = 2.0, 0.01, 1.0
AMPLE: Final = 10_000_000.0
"""Cash of the maker, quote units: the floor does not ask whether it can pay."""
START_NS, TICK_NS = 1_700_000_000_000_000_000, 1_000_000
BRACKETS: Final = "bench.engine_strategies:brackets"
MOVING: Final = 0.077
"""Of quotes and trades, where bid and ask move: so that the mid moves at one quote in ten."""


class Brackets(EventStrategy):
    """Buys when flat, with a stop and a target around the close, in cents."""

    def __init__(self) -> None:
        self.name, self.parameters = "brackets", {}

    def on_bar(self, ctx: Context) -> None:
        if ctx.held == 0.0 and not ctx.orders:
            price = ctx.close
            ctx.buy(
                ctx.symbol,
                notional=NOTIONAL,
                stop_exit=int(price * (1.0 - STOP) * 100.0 + 0.5) / 100.0,
                target_exit=int(price * (1.0 + TARGET) * 100.0 + 0.5) / 100.0,
            )


def compiled_brackets() -> CompiledStrategy:
    """The same as :class:`Brackets`, compiled."""
    params = {"stop": STOP, "target": TARGET, "notional": NOTIONAL}
    return CompiledStrategy("brackets", params, on_bar=BRACKETS)


def with_brackets(bars: BarArrays, strategy: Any) -> Backtest:
    """W3's engine, from bars to the result."""
    return session.run(bars, strategy, broker="ideal", cash=floor.CASH, rung=2)


def w3(size: int, repeats: int) -> dict[str, float]:
    """Bars a second: buy when flat, with a stop and a target 1 % away.

    ``w3_bars_s`` calls Python at each bar, ``w3_compiled_bars_s`` compiled code: the loop over
    bars that are one table already. ``w3_compiled_run_bars_s`` is that from bars to the result, as
    the callback is measured. The three are checked to have the same fills and cash.
    """
    given = market(size)
    columns, bars = given.columns, given.bars()
    table, strategy = merged([bars]), compiled_brackets()
    same_trades(bars)

    def empty() -> None:
        def told(_: int) -> None:
            return None

        for bar in range(size):
            told(bar)

    seconds = turns(
        {
            "floor": lambda: floor.brackets(
                columns["open"], columns["high"], columns["low"], columns["close"], STOP, TARGET
            ),
            "empty_call": empty,
            "bars": lambda: with_brackets(bars, Brackets()),
            "compiled": lambda: looped(table, strategy),
            "compiled_run": lambda: with_brackets(bars, strategy),
        },
        repeats,
    )
    rates = {name: size / spent for name, spent in seconds.items()}
    return {f"w3_{name}_bars_s".replace("bars_bars", "bars"): rate for name, rate in rates.items()}


def looped(table: Any, strategy: CompiledStrategy) -> Machine:
    """Run a compiled strategy over a table of bars at a new machine, as ``with_brackets`` does."""
    machine = bar_machine(table, IDEAL, Costs(), Rung.INTRABAR, floor.CASH)
    run_compiled(load_compiled(strategy.path, strategy.style), machine, strategy.params())
    return machine


def bar_machine(table: Any, rules: BrokerRules, costs: Costs, rung: Rung, cash: float) -> Machine:
    last_ns = int(table["close_ns"][-1]) + 1
    rows = rules.instruments(InstrumentHistory(), [SYMBOL], [float(table["open"][0])], last_ns)
    machine = Machine([SYMBOL], rows, terms(rules, costs, rung), round(cash * CASH_UNITS))
    machine.load(table, checked=True)
    return machine


def same_trades(bars: BarArrays) -> int:
    """Refuse to compare works that do not do the same; return how many fills they have."""
    called, run = with_brackets(bars, Brackets()), with_brackets(bars, compiled_brackets())
    machine = looped(merged([bars]), compiled_brackets())
    for other in (run.books.fills, machine.fills):
        assert len(other) == len(called.books.fills) > 0
        for name in ("event", "side", "quantity", "price", "value"):
            assert np.array_equal(other[name], called.books.fills[name]), name
    cash = [int(row["cash"][0]) for row in (run.books.account, machine.state.account)]
    assert cash == [int(called.books.account["cash"][0])] * 2
    return len(machine.fills)


def w4(size: int, repeats: int) -> dict[str, float]:
    """Events a second: a maker that keeps a bid and an offer around the mid.

    ``w4_events_s`` moves its orders as the floor does: whenever the mid has moved by a tick, which
    it does at one quote in ten (:func:`ticks` says why). ``w4_requote_events_s`` does the same on
    ticks whose mid moves at every quote. ``w4_calm_events_s`` moves its orders when the mid has
    moved by the half width, and ``w4_idle_events_s`` sends none. A run makes its machine, with room
    for two orders an event; ``w4_tape_events_s`` is what comes before, checking the arrays and
    merging them into one tape.

    What the engine does and the floor does not: integers, balances and holdings checked and
    promised, orders that arrive, end and are kept with their fills. The floor fills at the touch
    and charges 25 bps in the asset received, and so does the engine here.
    """
    count = EVENTS if size > EVENTS // 2 else size
    given, restless = ticks(count, MOVING), ticks(count)
    tape, restless_tape = tape_of(given), tape_of(restless)
    same_makes(given, tape)
    same_makes(restless, restless_tape)
    found = turns(
        {
            "floor": lambda: floor.maker(*given, HALF_WIDTH, LOT, LIMIT),
            "engine": lambda: make_market(tape, LIMIT, floor.TICK),
            "requote_floor": lambda: floor.maker(*restless, HALF_WIDTH, LOT, LIMIT),
            "requote": lambda: make_market(restless_tape, LIMIT, floor.TICK),
            "calm": lambda: make_market(tape, LIMIT, HALF_WIDTH),
            "idle": lambda: make_market(tape, 0.0, floor.TICK),
            "tape": lambda: tape_of(given),
        },
        repeats,
    )
    rates = {name: count / spent for name, spent in found.items()}
    return {f"w4_{name}_events_s".replace("engine_", ""): rate for name, rate in rates.items()}


def make_market(tape: Tape, limit: float, step: float) -> TickMachine:
    """W4's engine: a new machine, and the library's maker on all of the tape."""
    rules = BrokerRules("flat", flat_fee(floor.FEE * 1e4))
    costs = replace(Costs.none(), fills=FillOptions(touch=True))
    machine = tick_machine(tape, rules, costs, Rung.QUOTES)
    reserve(machine, 2 * len(tape), len(tape))
    params = np.array([HALF_WIDTH, LOT, limit, step])
    run_compiled(load_compiled(MAKER, "on_event"), machine, params)
    return machine


def tick_machine(tape: Tape, rules: BrokerRules, costs: Costs, rung: Rung) -> TickMachine:
    last_ns = int(tape["ts_ns"][-1]) + 1
    price = next(float(price) for price in tape["price"] if price > 0.0)  # a reset has none
    rows = rules.instruments(InstrumentHistory(), [SYMBOL], [price], last_ns)
    machine = TickMachine([SYMBOL], rows, terms(rules, costs, rung), round(AMPLE * CASH_UNITS))
    machine.load(tape, checked=True)
    return machine


def same_makes(given: tuple[np.ndarray, ...], tape: Tape) -> int:
    """Refuse to compare makers that do not fill alike; return how many fills they have."""
    count, left = floor.maker(*given, HALF_WIDTH, LOT, LIMIT)
    machine = make_market(tape, LIMIT, floor.TICK)
    position, account = machine.state.positions[0], machine.state.account[0]
    worth = position["quantity"] * position["unit"] * position["price"]
    gained = account["cash"] * CASH_UNIT + worth - AMPLE
    assert abs(len(machine.fills) - count) <= 2 + count // 1000, (len(machine.fills), count)
    assert abs(gained - (left - floor.CASH)) <= 1e-3 * abs(gained) + 1.0, (gained, left)
    return len(machine.fills)


def tape_of(given: tuple[np.ndarray, ...]) -> Tape:
    """The floor's ticks as the engine's: checked, and merged into one tape."""
    kind, bid, ask, bid_size, ask_size = given
    stamps = START_NS + np.arange(len(kind)) * TICK_NS
    at, traded = kind == 0, kind == 1
    quotes = QuoteArrays(SYMBOL, stamps[at], bid[at], bid_size[at], ask[at], ask_size[at])
    sides = np.zeros(int(traded.sum()), np.int64)
    trades = TradeArrays(SYMBOL, stamps[traded], bid[traded], bid_size[traded], sides)
    return merged_ticks([(0, quotes), (0, trades)])


def ticks(count: int, moving: float = 1.0, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Quotes, and a trade after every third: kind, bid, ask and their sizes.

    Bid and ask move at a share of the events, sizes at every one. Of 51,997 quotes recorded of
    Binance spot (BTC/USDT and ETH/USDT, 2024-08-08 23:54 to 23:59) 9.6 % moved the mid, 7.6 % by a
    tick or more; the others changed sizes. With :data:`MOVING` 10 % of these quotes move it, nearly
    all by more than a tick; with 1 all do.
    """
    drawn = np.random.default_rng(seed)
    steps = drawn.normal(0.0, 0.5, count)
    half = drawn.integers(1, 100, count) / 100
    kind = (np.arange(count) % 4 == 3).astype(np.int64)
    side = drawn.choice((-1.0, 1.0), count)
    sizes = drawn.exponential(0.5, (2, count))
    moved = drawn.random(count) < moving
    half = half[np.maximum.accumulate(np.where(moved, np.arange(count), 0))]
    middle = np.round(30_000.0 + np.cumsum(np.where(moved, steps, 0.0)), 2)
    bid = np.where(kind == 1, middle + side * half, middle - half)
    return kind, bid, middle + half, sizes[0], sizes[1]


UNITS: Final[dict[str, Callable[[int, int], dict[str, float]]]] = {
    "W3 brackets when flat": w3,
    "W4 a market maker on quotes and trades": w4,
}
