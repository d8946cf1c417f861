"""Inputs that come as they happen match as those loaded whole do; what names nothing is refused."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.scenarios import (
    MINUTE_NS,
    START_NS,
    Scenario,
    bar_scenarios,
    feed,
    instrument,
    instruments,
    terms,
    tick_scenarios,
)
from tests.execution.test_ticks_twin import CompiledTicks, tape_of
from tests.execution.test_twin_agrees import Compiled, rows_of
from tradelake.errors import InvalidData
from tradelake.execution.input_checks import BARS, TICKS
from tradelake.execution.inputs import check_instruments
from tradelake.execution.layout import OrderType, Side, Status
from tradelake.execution.machine import Machine
from tradelake.execution.state import BAR
from tradelake.execution.terms import Rung
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.tape import TICK, TickKind

CASH = 10**12


def _numbered(rows: np.ndarray) -> np.ndarray:
    """Return bars counted by symbol, as those of a clock are."""
    for number in np.unique(rows["symbol"]):
        places = rows["symbol"] == number
        rows["row"][places] = np.arange(places.sum())
    return rows


class _Whole:
    """Loads all inputs first; the equity after each is kept."""

    def begin(self, machine: Machine, inputs: np.ndarray) -> None:
        self.equity: list[float] = []
        self.held: list[int] = []
        machine.load(inputs, marked=True)

    def step(self, machine: Machine, place: int) -> None:
        assert machine.advance(place, place + 1, stops=False) == place + 1
        self.equity.append(machine.equity[place - machine.forgotten])
        self.held.append(len(machine.equity))


class _Pieces(_Whole):
    """Appends them in random pieces, some of them ahead of time, and forgets at random."""

    def __init__(self, seed: int, forgetting: float) -> None:
        self.draw, self.forgetting = random.Random(seed), forgetting

    def begin(self, machine: Machine, inputs: np.ndarray) -> None:
        super().begin(machine, inputs[:0])
        self.inputs, self.given = inputs.copy(), 0
        for name in {"row", "previous", "before"} & set(inputs.dtype.names or ()):
            self.inputs[name] = 77  # found by the machine
        if self.draw.random() < 0.3:
            size = self.draw.randrange(len(inputs) + 1)
            machine.load(inputs[:size], marked=True)
            self.given = size

    def step(self, machine: Machine, place: int) -> None:
        while place >= self.given:
            size = self.draw.choice([0, 1, 1, 2, 7, 40])
            machine.append(self.inputs[self.given : self.given + size])
            self.given = min(self.given + size, len(self.inputs))
        super().step(machine, place)
        if self.draw.random() < self.forgetting:
            machine.forget(
                place + 1 - self.draw.choice([0, 0, min(3, place + 1 - machine.forgotten)])
            )


def _ran(scenario: Scenario, kind: Any, inputs: np.ndarray, feeder: _Whole) -> Machine:
    """Send a scenario to a machine whose inputs a feeder gives."""

    class Fed(kind):  # type: ignore[misc]
        def bar(self, **_: Any) -> None:
            feeder.step(self.machine, self.next)
            self.next += 1

    core = Fed(scenario)
    feeder.begin(core.machine, inputs)
    feed(core, scenario)
    return core.machine


def _agree(scenario: Scenario, kind: Any, inputs: np.ndarray, seed: int, forgetting: float) -> None:
    if not len(inputs):
        return
    whole, pieces = _Whole(), _Pieces(seed, forgetting)
    ours = _ran(scenario, kind, inputs, pieces)
    theirs = _ran(scenario, kind, inputs, whole)
    np.testing.assert_array_equal(pieces.equity, whole.equity, "equity")
    np.testing.assert_array_equal(ours.state.notional, theirs.state.notional, "notional")
    for name, held, expected in (
        ("orders", ours.orders, theirs.orders),
        ("fills", ours.fills, theirs.fills),
        ("positions", ours.state.positions, theirs.state.positions),
        ("account", ours.state.account, theirs.state.account),
        ("symbols", ours.state.symbols, theirs.state.symbols),
    ):
        for column in held.dtype.names:
            np.testing.assert_array_equal(held[column], expected[column], f"{name}.{column}")


@settings(deadline=None, max_examples=120)
@given(bar_scenarios, st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 1.0]))
def test_bars_in_pieces_match_as_those_loaded_whole_in_any_scenario(
    scenario: Scenario, seed: int, forgetting: float
) -> None:
    _agree(scenario, Compiled, _numbered(rows_of(scenario)), seed, forgetting)


@settings(deadline=None, max_examples=120)
@given(tick_scenarios, st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 1.0]))
def test_ticks_in_pieces_match_as_those_loaded_whole_in_any_scenario(
    scenario: Scenario, seed: int, forgetting: float
) -> None:
    _agree(scenario, CompiledTicks, tape_of(scenario), seed, forgetting)


def _bars(*symbols: int, first: int = 0) -> np.ndarray:
    rows = np.zeros(len(symbols), BAR)
    rows["symbol"], rows["previous"] = symbols, -1
    rows["open_ns"] = START_NS + np.arange(first, first + len(symbols)) * MINUTE_NS
    rows["close_ns"] = rows["open_ns"] + MINUTE_NS
    for name in ("open", "high", "low", "close"):
        rows[name] = 100.0
    return rows


def _ticks(*symbols: int, first: int = 0) -> np.ndarray:
    rows = np.zeros(len(symbols), TICK)
    rows["symbol"], rows["before"], rows["kind"] = symbols, -1, TickKind.TRADE
    rows["ts_ns"] = START_NS + np.arange(first, first + len(symbols))
    rows["price"] = rows["size"] = 1.0
    return rows


def _listing(symbols: int) -> np.ndarray:
    return instruments(*(instrument(number) for number in range(symbols)))


def _machine(symbols: int = 2, **changes: Any) -> Machine:
    names = [f"S{number}/USD" for number in range(symbols)]
    return Machine(names, _listing(symbols), terms(**changes), CASH)


def _tick_machine(symbols: int = 2, **changes: Any) -> TickMachine:
    names = [f"S{number}/USD" for number in range(symbols)]
    rules = terms(**{"rung": int(Rung.QUOTES), **changes})
    return TickMachine(names, _listing(symbols), rules, CASH, 8)


MAKERS = pytest.mark.parametrize(("make", "rows"), [(_machine, _bars), (_tick_machine, _ticks)])


@MAKERS
def test_memory_is_bounded_when_inputs_come_for_ever(make: Any, rows: Any) -> None:
    made, most = make(impact_window=9), 0
    for place in range(3_000):
        made.append(rows(place % 2, first=place))
        made.advance(place, place + 1)
        made.forget(place + 1)
        most = max(most, len(made._inputs._room))
    assert made.forgotten > 2_900
    assert most <= 160


@MAKERS
def test_inputs_keep_their_numbers_when_earlier_ones_are_forgotten(make: Any, rows: Any) -> None:
    made = make(impact_window=1)
    made.append(rows(*[0, 1] * 100))
    assert made.advance(0, 150) == 150
    made.forget(150)
    assert made.forgotten > 100
    assert made.advance(150, 200) == 200
    with pytest.raises(InvalidData, match=r"range: expected inputs in \d+ to 200; found 99 to 101"):
        made.advance(99, 101)


@MAKERS
def test_forgetting_is_refused_when_inputs_were_not_matched(make: Any, rows: Any) -> None:
    made = make()
    made.append(rows(*[0] * 100))
    made.advance(0, 40)
    with pytest.raises(InvalidData, match=r"range: .* 40, the first not matched; found 41"):
        made.forget(41)


DISHONEST = [
    (_machine, _bars, "open", math.nan, "price"),
    (_machine, _bars, "high", math.inf, "price"),
    (_machine, _bars, "low", -5.0, "price"),
    (_machine, _bars, "close", 0.0, "price"),
    (_machine, _bars, "volume", math.nan, "size"),
    (_machine, _bars, "open_ns", 2**62, "order"),
    (_tick_machine, _ticks, "price", math.nan, "price"),
    (_tick_machine, _ticks, "price", -1.0, "price"),
    (_tick_machine, _ticks, "size", math.inf, "size"),
    (_tick_machine, _ticks, "size", math.nan, "size"),
    (_tick_machine, _ticks, "kind", 9, "kind"),
    (_tick_machine, _ticks, "side", -(2**63), "side"),
]


@pytest.mark.parametrize(("make", "rows", "column", "value", "rule"), DISHONEST)
def test_a_number_that_would_spoil_the_account_is_refused_by_row(
    make: Any, rows: Any, column: str, value: float, rule: str
) -> None:
    bad = rows(1, 0, 1)
    bad[column][1] = value
    for method in ("load", "append"):
        made = make()
        with pytest.raises(InvalidData, match=rf"^{rule}: row 1: expected "):
            getattr(made, method)(bad)
        made.append(rows(1, 0))
        assert made.advance(0, 2) == 2


@pytest.mark.parametrize("missing", [0.0, math.nan])
def test_a_quote_may_lack_a_side(missing: float) -> None:
    rows = _ticks(0, 0)
    rows["kind"], rows["price2"], rows["size2"] = TickKind.QUOTE, missing, missing
    for method in ("load", "append"):
        made = _tick_machine()
        getattr(made, method)(rows)
        assert made.advance(0, 2) == 2


@MAKERS
@pytest.mark.parametrize("number", [-1, 2, 2**62])
def test_a_symbol_nobody_has_is_refused_by_row(make: Any, rows: Any, number: int) -> None:
    for method in ("load", "append"):
        made = make()
        with pytest.raises(InvalidData, match=rf"symbol: row 1: .* 0 to 1; found {number}"):
            getattr(made, method)(rows(1, number, 0))
        made.append(rows(1, 0))
        assert made.advance(0, 2) == 2


@MAKERS
def test_rows_back_in_time_are_refused_and_none_is_taken(make: Any, rows: Any) -> None:
    made = make()
    made.append(rows(0, 1))
    with pytest.raises(InvalidData, match="order: row 0"):
        made.append(rows(0, 1))
    torn = rows(0, 1, 0, first=2)[[0, 2, 1]]
    with pytest.raises(InvalidData, match="order: row 2"):
        made.append(torn)
    with pytest.raises(InvalidData, match="range"):
        made.advance(0, 3)
    made.append(rows(0, first=2))
    assert made.advance(0, 3) == 3


@MAKERS
def test_rows_before_what_was_finished_are_refused(make: Any, rows: Any) -> None:
    made = make()
    made.append(rows(0))
    made.advance(0, 1)
    made.finish(START_NS + 100 * MINUTE_NS)
    with pytest.raises(InvalidData, match="order: row 0"):
        made.append(rows(0, first=1))


@MAKERS
@pytest.mark.parametrize("link", [1, 7, -2, 2**62])
def test_a_link_to_no_earlier_row_is_refused_when_loaded(make: Any, rows: Any, link: int) -> None:
    table = rows(0, 0, 0)
    name = BARS.link if table.dtype == BAR else TICKS.link
    table[name][1] = link
    with pytest.raises(InvalidData, match=rf"link: row 1: expected {name} .* found {link}"):
        make().load(table)


@pytest.mark.parametrize("make", [_machine, _tick_machine])
def test_orders_arrive_when_there_was_no_input_yet(make: Any) -> None:
    made = make()
    sent = [made.place("S0/USD", Side.BUY, 1.0, now_ns=START_NS) for _ in range(400)]
    made.finish(START_NS)
    assert made.orders["status"].tolist() == [int(Status.WORKING)] * len(sent)


@pytest.mark.parametrize("rows", [np.zeros(3), np.zeros((2, 2), BAR), [1, 2], np.zeros(1, TICK)])
def test_rows_of_another_layout_are_refused(rows: Any) -> None:
    for method in ("load", "append"):
        with pytest.raises(InvalidData, match="layout: expected rows of a bar's columns"):
            getattr(_machine(), method)(rows)


def test_loading_again_counts_from_0_and_keeps_account_and_orders() -> None:
    made = _machine()
    made.load(_bars(0, 0))
    made.place("S0/USD", Side.BUY, 1.0, now_ns=START_NS)
    resting = made.place("S0/USD", Side.BUY, 1.0, now_ns=START_NS, kind=OrderType.LIMIT, limit=99.0)
    made.advance(0, 2, stops=False)
    with pytest.raises(InvalidData, match="order: row 0"):
        made.load(_bars(0, 0))
    later = _bars(0, first=2)
    later["low"] = 98.0
    made.load(later)
    made.advance(0, 1)
    assert made.fills["order"].tolist() == [0, resting]
    assert made.state.positions["quantity"].tolist() == [2 * 10**8, 0]


def test_loading_ticks_again_shows_nothing_and_lets_limits_find_a_place() -> None:
    made = _tick_machine(touch=True)
    quote = _ticks(0)
    quote["kind"], quote["price"], quote["price2"], quote["size2"] = (
        TickKind.QUOTE,
        99.0,
        101.0,
        1.0,
    )
    made.load(quote)
    made.place("S0/USD", Side.BUY, 1.0, now_ns=START_NS, kind=OrderType.LIMIT, limit=100.0)
    made.advance(0, 1)
    later = _ticks(0, first=1)
    later["kind"], later["price"], later["price2"], later["size2"] = (
        TickKind.QUOTE,
        98.0,
        100.0,
        1.0,
    )
    made.load(later)
    made.finish(START_NS + 1)
    assert not len(made.fills)
    made.advance(0, 1)
    assert made.fills["price"].tolist() == [100.0]


HOSTILE = [
    ([instrument(0), instrument(2)], "row 1: expected symbols from 0 to 1"),
    ([instrument(1), instrument(0)], "row 0: expected symbols from 0 to 1"),
    ([instrument(-1), instrument(0), instrument(1)], "row 0: expected symbols from 0"),
    ([instrument(0)], "expected rows of 2 symbols; found 1"),
    ([instrument(0), instrument(1), instrument(2)], "row 2: expected symbols from 0 to 1"),
    ([instrument(0), instrument(1, renamed_to=2)], "row 1: expected another symbol from 0 to 1"),
    ([instrument(0), instrument(1, renamed_to=-9)], "row 1: expected another symbol from 0 to 1"),
    ([instrument(0), instrument(1, renamed_to=1)], "row 1: expected another symbol from 0 to 1"),
    ([instrument(0), instrument(0, 0), instrument(1)], "row 1: expected rising instants"),
    ([instrument(0, unit=0.0), instrument(1)], "row 0: expected a unit above 0"),
    ([instrument(0), instrument(0, 5, unit=1.0), instrument(1)], "row 1: expected the same unit"),
    ([instrument(0), instrument(1, trading=3)], "row 1: expected one of"),
    ([instrument(0), instrument(1, increment=-1)], "row 1: expected increment of 0 or more"),
    ([instrument(0), instrument(1, tick=float("nan"))], "row 1: expected tick of 0 or more"),
]


@pytest.mark.parametrize(("rows", "message"), HOSTILE)
def test_instrument_rows_that_make_no_sense_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(InvalidData, match=f"instruments: {message}"):
        Machine(["A", "B"], instruments(*rows), terms(), CASH)


@pytest.mark.parametrize("names", [[], ["A", "A"]])
def test_names_that_are_not_each_once_are_refused(names: list[str]) -> None:
    with pytest.raises(InvalidData, match="symbols: expected at least one, each once"):
        check_instruments(names, _listing(2))
