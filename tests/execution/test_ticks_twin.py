"""The compiled core agrees with its plain twin on quotes, trades and books, to the last unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.execution.scenarios import (
    Scenario,
    feed,
    instruments,
    terms,
    tick_scenario,
    tick_scenarios,
)
from tests.execution.test_twin_agrees import Compiled
from tradelake.execution.layout import NONE, OrderType
from tradelake.execution.terms import Rung
from tradelake.execution.tick_machine import TickMachine
from tradelake.execution.twin import Twin
from tradelake.market.tape import TICK, TickKind


class CompiledTicks(Compiled):
    """The tick machine with the methods of the twin."""

    def __init__(self, scenario: Scenario) -> None:
        self.names = scenario.symbols
        self.machine = TickMachine(
            scenario.symbols, scenario.instruments, scenario.terms, scenario.cash_units, 64
        )
        self.machine.load(tape_of(scenario))
        self.next = 0

    def quote(self, **_: Any) -> None:
        self.bar()

    def trade(self, **_: Any) -> None:
        self.bar()

    def book_reset(self, **_: Any) -> None:
        self.bar()

    def book_level(self, **_: Any) -> None:
        self.bar()


def tape_of(scenario: Scenario) -> np.ndarray:
    """Return the ticks of a scenario as one tape."""
    rows: list[tuple[Any, ...]] = []
    newest = dict.fromkeys(range(len(scenario.symbols)), NONE)
    for name, said in scenario.steps:
        if name not in ("quote", "trade", "book_reset", "book_level"):
            continue
        where, before = (said["ts_ns"], said["symbol"]), newest[said["symbol"]]
        if name == "quote":
            sides = said["bid"], said["bid_size"], said["ask"], said["ask_size"]
            rows.append((*where, TickKind.QUOTE, 0, *sides, before))
        elif name == "trade":
            newest[said["symbol"]] = len(rows)
            told = said["side"], said["price"], said["size"]
            rows.append((*where, TickKind.TRADE, *told, 0.0, 0.0, before))
        elif name == "book_reset":
            rows.append((*where, TickKind.RESET, 0, 0.0, 0.0, 0.0, 0.0, before))
        else:
            kind = TickKind.LEVEL if said.get("last", True) else TickKind.PART
            told = said["side"], said["price"], said["size"]
            rows.append((*where, kind, *told, 0.0, 0.0, before))
    return np.array(rows, TICK)


def events_of(scenario: Scenario) -> np.ndarray:
    """Return which event of the scenario is at work at each row of its tape."""
    events, newest = [], NONE
    for name, said in scenario.steps:
        if name in ("quote", "trade", "book_reset", "book_level"):
            newest = said.get("event", newest)
            events.append(newest)
    return np.array(events)


def agree(scenario: Scenario) -> None:
    """Send a scenario to both cores and compare every row."""
    compiled = CompiledTicks(scenario)
    twin = Twin(scenario.symbols, scenario.instruments, scenario.terms, scenario.cash_units)
    feed(compiled, scenario)
    feed(twin, scenario)
    machine = compiled.machine
    fills, orders = machine.fills.copy(), twin.orders
    events = np.append(events_of(scenario), NONE)
    fills["event"] = events[fills["event"]]
    orders["symbol"][orders["symbol"] >= len(scenario.symbols)] = NONE
    for name, ours, theirs in (
        ("fills", fills, twin.fills),
        ("orders", machine.orders, orders),
        ("positions", machine.state.positions, twin.positions),
        ("account", machine.state.account, twin.account),
    ):
        assert len(ours) == len(theirs), name
        for column in ours.dtype.names:
            np.testing.assert_array_equal(ours[column], theirs[column], f"{name}.{column}")


@pytest.mark.parametrize("seed", range(60))
def test_compiled_ticks_agree_with_their_twin_when_the_seed_is_fixed(seed: int) -> None:
    agree(tick_scenario(seed))


def test_a_replacement_that_lost_its_place_is_a_taker_when_others_arrive_at_its_instant() -> None:
    agree(tick_scenario(2057, 104))


def test_permanent_impact_decays_to_the_same_last_bit_when_it_moved_the_price_far() -> None:
    agree(tick_scenario(53587, 50))


def test_a_level_is_whole_when_own_orders_took_from_quotes_before_there_was_a_book() -> None:
    venue = terms(rung=int(Rung.BOOK), own_trades_stay=True, allow_short=True)
    scenario = Scenario(("S0/USD",), instruments(), venue, 10_000 * 10**8)
    told = {"symbol": 0, "event": 0}
    sell = {"symbol": 0, "side": -1, "type": int(OrderType.LIMIT), "tif": 0, "sizing": 0}
    scenario.steps = [
        ("quote", {**told, "ts_ns": 1, "bid": 5.0, "ask": 6.0, "bid_size": 1.0, "ask_size": 1.0}),
        ("place", {**sell, "now_ns": 2, "amount": 3.5, "limit": 5.0}),
        ("book_level", {**told, "ts_ns": 3, "side": 1, "price": 5.0, "size": 3.0, "last": True}),
        ("advance", {"now_ns": 4}),
    ]
    agree(scenario)


@settings(deadline=None, max_examples=150)
@given(tick_scenarios)
def test_compiled_ticks_agree_with_their_twin_in_any_scenario(scenario: Scenario) -> None:
    agree(scenario)
