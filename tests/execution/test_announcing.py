"""Terms and symbols that become known while a machine runs count as those known from the start."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.scenarios import (
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
from tradelake.execution.layout import NONE, OrderType, Side, Status
from tradelake.execution.machine import Machine
from tradelake.execution.terms import INSTRUMENT, Rung, Trading
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.tape import TICK, TickKind

CASH = 10**12


def _told_as_they_come(core: Compiled, scenario: Scenario, inputs: Any, seed: int) -> None:
    """Start with one symbol's first terms; tell of the others, and of what changes, in time."""
    draw, rows = random.Random(seed), scenario.instruments
    first = np.append(True, np.diff(rows["symbol"]) > 0)
    fresh = core.machine
    kind = type(fresh)
    start = rows[first]
    start["renamed_to"][0] = NONE
    core.machine = machine = kind(
        scenario.symbols[:1], start[:1], scenario.terms, scenario.cash_units
    )
    if len(start) > 1:
        machine.announce(start[1:], scenario.symbols[1:])
    machine.load(inputs)
    later = sorted(rows[~first], key=lambda row: row["from_ns"])
    for name, said in scenario.steps:
        now_ns = next(said[key] for key in ("now_ns", "ts_ns", "close_ns") if key in said)
        known = sum(row["from_ns"] <= now_ns for row in later)
        known = draw.choice([known, known, known, min(known + 1, len(later)), len(later)])
        if known:
            machine.announce(np.array(later[:known], INSTRUMENT))
            del later[:known]
        getattr(core, name)(**said)


def _agree(scenario: Scenario, kind: type[Compiled], inputs: Any, seed: int) -> None:
    if scenario.instruments["renamed_to"][0] != NONE:
        return  # a machine of one symbol knows of no other
    told, whole = kind(scenario), kind(scenario)
    _told_as_they_come(told, scenario, inputs, seed)
    feed(whole, scenario)
    ours, theirs = told.machine, whole.machine
    np.testing.assert_array_equal(ours.state.notional, theirs.state.notional, "notional")
    for name, held, expected in (
        ("orders", ours.orders, theirs.orders),
        ("fills", ours.fills, theirs.fills),
        ("positions", ours.state.positions, theirs.state.positions),
        ("account", ours.state.account, theirs.state.account),
    ):
        for column in held.dtype.names:
            np.testing.assert_array_equal(held[column], expected[column], f"{name}.{column}")


@settings(deadline=None, max_examples=100)
@given(bar_scenarios, st.integers(0, 2**32))
def test_terms_told_in_time_count_as_those_known_before_in_any_scenario_of_bars(
    scenario: Scenario, seed: int
) -> None:
    _agree(scenario, Compiled, rows_of(scenario), seed)


@settings(deadline=None, max_examples=100)
@given(tick_scenarios, st.integers(0, 2**32))
def test_terms_told_in_time_count_as_those_known_before_in_any_scenario_of_ticks(
    scenario: Scenario, seed: int
) -> None:
    _agree(scenario, CompiledTicks, tape_of(scenario), seed)


def _venue(**changes: Any) -> TickMachine:
    rules = terms(**{"rung": int(Rung.QUOTES), **changes})
    return TickMachine(["A/USD"], instruments(instrument(0)), rules, CASH, 8)


def _quote(symbol: int, ts_ns: int, bid: float, ask: float) -> np.ndarray:
    rows = np.zeros(1, TICK)
    rows["ts_ns"], rows["symbol"], rows["kind"], rows["before"] = ts_ns, symbol, TickKind.QUOTE, -1
    rows["price"], rows["price2"], rows["size"], rows["size2"] = bid, ask, 1e6, 1e6
    return rows


def _play(venue: TickMachine, ticks: np.ndarray) -> None:
    first = venue.forgotten + len(venue.market.tape)
    venue.append(ticks)
    venue.advance(first, first + len(ticks), stops=False)


def test_a_new_symbol_trades_beside_what_is_held() -> None:
    venue = _venue()
    _play(venue, _quote(0, START_NS, 99.0, 100.0))
    venue.place("A/USD", Side.BUY, 2.0, now_ns=START_NS)
    venue.finish(START_NS)
    resting = venue.place("A/USD", Side.SELL, 1.0, now_ns=START_NS, kind=OrderType.LIMIT, limit=200)
    venue.announce(instruments(instrument(1)), ["B/USD"])
    _play(venue, _quote(1, START_NS + 1, 9.0, 10.0))
    bought = venue.place("B/USD", Side.BUY, 3.0, now_ns=START_NS + 1)
    venue.finish(START_NS + 1)
    assert venue.orders["status"][[resting, bought]].tolist() == [Status.WORKING, Status.FILLED]
    _play(venue, _quote(0, START_NS + 2, 201.0, 202.0))
    assert venue.orders["status"][resting] == Status.FILLED
    assert venue.fills["price"].tolist() == [100.0, 10.0, 200.0]


def test_a_book_stays_when_a_symbol_is_new() -> None:
    venue = _venue(rung=int(Rung.BOOK))
    levels = np.zeros(2, TICK)
    levels["ts_ns"], levels["before"] = START_NS, -1
    levels["kind"] = TickKind.PART, TickKind.LEVEL
    levels["side"], levels["price"], levels["size"] = (1, -1), (99.0, 100.0), (5.0, 5.0)
    _play(venue, levels)
    venue.announce(instruments(instrument(1)), ["B/USD"])
    venue.place("A/USD", Side.BUY, 2.0, now_ns=START_NS + 1)
    venue.finish(START_NS + 1)
    assert venue.fills["price"].tolist() == [100.0]


def test_terms_gone_by_are_let_go_when_a_venue_halts_and_resumes_for_ever() -> None:
    venue = _venue()
    for step in range(200):
        trading = Trading.HALTED if step % 2 else Trading.OPEN
        venue.announce(instruments(instrument(0, START_NS + step, trading=int(trading))))
        venue.finish(START_NS + step)
    assert len(venue.state.instruments) <= 2
    rejected = venue.place("A/USD", Side.BUY, 1.0, now_ns=START_NS + 200)
    venue.finish(START_NS + 200)
    assert venue.orders["status"][rejected] == Status.REJECTED


@pytest.mark.parametrize(
    ("rows", "symbols", "said"),
    [
        ([instrument(0, START_NS - 1)], [], "order: A/USD: expected terms from"),
        ([instrument(0, 0)], [], "order: A/USD: expected terms from"),
        ([instrument(1)], [], "instruments: row 1: expected symbols from 0 to 0"),
        ([instrument(-1)], [], "instruments: expected a symbol of 0 or more"),
        ([], ["B/USD"], "instruments: expected rows of 2 symbols"),
        ([instrument(1)], ["A/USD"], "symbols: expected at least one, each once"),
        ([instrument(0, START_NS, renamed_to=5)], [], "instruments: row 1: expected another"),
    ],
)
def test_what_is_announced_is_refused_when_it_makes_no_sense(
    rows: list[Any], symbols: list[str], said: str
) -> None:
    venue = _venue()
    venue.finish(START_NS)
    before = venue.state
    with pytest.raises(InvalidData, match=said):
        venue.announce(instruments(*rows) if rows else np.empty(0, INSTRUMENT), symbols)
    assert venue.state is before
    assert list(venue.symbols) == ["A/USD"]


def test_what_was_to_change_later_is_withdrawn_when_terms_are_told_anew() -> None:
    venue = _venue()
    venue.announce(instruments(instrument(0, START_NS + 9, trading=int(Trading.HALTED))))
    venue.announce(instruments(instrument(0, START_NS + 5, tick=0.5)))
    venue.finish(START_NS + 20)
    assert venue.state.symbols[["trading", "tick"]].tolist() == [(Trading.OPEN, 0.5)]


def test_announcing_makes_copies_when_rows_are_changed_later() -> None:
    machine = Machine(["A/USD"], instruments(instrument(0)), terms(), CASH)
    told = instruments(instrument(0, START_NS, tick=0.5))
    machine.announce(told)
    told["tick"] = 7.0
    machine.finish(START_NS)
    assert machine.state.symbols["tick"][0] == 0.5
