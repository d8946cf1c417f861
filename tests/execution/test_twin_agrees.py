"""The compiled core and its plain twin agree to the last unit on any random scenario."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.execution.scenarios import (
    MINUTE_NS,
    START_NS,
    Scenario,
    bar_scenario,
    bar_scenarios,
    feed,
    instrument,
    instruments,
    terms,
)
from tradelake.execution.layout import NONE
from tradelake.execution.machine import NAN, Machine
from tradelake.execution.state import BAR
from tradelake.execution.twin import Twin


class Compiled:
    """The machine with the methods of the twin."""

    def __init__(self, scenario: Scenario) -> None:
        self.names = scenario.symbols
        self.machine = Machine(
            scenario.symbols, scenario.instruments, scenario.terms, scenario.cash_units
        )
        self.machine.load(rows_of(scenario))
        self.next = 0

    def place(
        self,
        now_ns: int,
        symbol: int,
        side: int,
        type: int,  # noqa: A002 - the scenarios' name
        tif: int,
        sizing: int,
        amount: float,
        limit: float = NAN,
        stop: float = NAN,
        trail: float = NAN,
        stop_exit: float = NAN,
        target_exit: float = NAN,
    ) -> None:
        name = self.names[symbol] if symbol < len(self.names) else "unknown"
        order: dict[str, Any] = {"kind": type, "tif": tif, "sizing": sizing, "now_ns": now_ns}
        if np.isnan(stop_exit) and np.isnan(target_exit):
            self.machine.place(name, side, amount, limit=limit, stop=stop, trail=trail, **order)
            return
        self.machine.bracket(
            name,
            side,
            amount,
            limit=limit,
            stop=stop,
            trail=trail,
            stop_loss=stop_exit,
            take_profit=target_exit,
            **order,
        )

    def cancel(self, now_ns: int, order: int) -> None:
        self.machine.cancel(order, now_ns=now_ns)

    def replace(self, now_ns: int, order: int, **changes: float) -> None:
        self.machine.replace(order, now_ns=now_ns, **changes)

    def bar(self, **_: Any) -> None:
        self.machine.advance(self.next, self.next + 1, stops=False)
        self.next += 1

    def advance(self, now_ns: int) -> None:
        self.machine.finish(now_ns)


def rows_of(scenario: Scenario) -> np.ndarray:
    """Return the bars of a scenario as one table."""
    steps = [arguments for name, arguments in scenario.steps if name == "bar"]
    rows, newest = np.zeros(len(steps), BAR), {}
    for place, step in enumerate(steps):
        for name, value in step.items():
            rows["row" if name == "event" else name][place] = value
        rows["previous"][place] = newest.get(step["symbol"], NONE)
        newest[step["symbol"]] = place
    return rows


def agree(scenario: Scenario) -> None:
    """Send a scenario to both cores and compare every row."""
    compiled, twin = (
        Compiled(scenario),
        Twin(scenario.symbols, scenario.instruments, scenario.terms, scenario.cash_units),
    )
    feed(compiled, scenario)
    feed(twin, scenario)
    machine = compiled.machine
    for name, ours, theirs in (
        ("orders", machine.orders, twin.orders),
        ("fills", machine.fills, twin.fills),
        ("positions", machine.state.positions, twin.positions),
        ("account", machine.state.account, twin.account),
    ):
        assert len(ours) == len(theirs), name
        if name == "orders":
            theirs["symbol"][theirs["symbol"] >= len(scenario.symbols)] = NONE
        for column in ours.dtype.names:
            np.testing.assert_array_equal(ours[column], theirs[column], f"{name}.{column}")


@pytest.mark.parametrize("seed", range(60))
def test_compiled_core_agrees_with_its_twin_when_the_seed_is_fixed(seed: int) -> None:
    agree(bar_scenario(seed))


def test_a_bar_that_opened_before_midnight_has_the_fees_of_that_day_after_one_that_closed() -> None:
    agree(bar_scenario(10012, 120))


def test_an_order_that_ended_before_a_rename_keeps_its_symbol() -> None:
    agree(bar_scenario(2603, 8))


def test_exits_keep_their_order_when_their_entry_is_replaced() -> None:
    agree(bar_scenario(1873, 42))


@pytest.mark.parametrize("amount", [2.0, 7.0, 7.3])
def test_what_is_long_and_what_is_short_closes_when_one_is_renamed_to_the_other(
    amount: float,
) -> None:
    after = START_NS + 2 * MINUTE_NS
    rows = instruments(instrument(0), instrument(0, after, renamed_to=1), instrument(1))
    scenario = Scenario(("A/USD", "B/USD"), rows, terms(allow_short=True), 10_000 * 10**8)
    for step in range(4):
        open_ns, price = START_NS + step * MINUTE_NS, 97.0 + step
        span = {"open_ns": open_ns, "close_ns": open_ns + MINUTE_NS, "event": step}
        flat = {"open": price, "high": price, "low": price, "close": price, "volume": 1e6}
        if step == 1:
            order = {"now_ns": open_ns, "type": 0, "tif": 0, "sizing": 0}
            scenario.steps += [
                ("place", {**order, "symbol": 0, "side": 1, "amount": 7.0}),
                ("place", {**order, "symbol": 1, "side": -1, "amount": amount}),
            ]
        scenario.steps += [("bar", {"symbol": number, **span, **flat}) for number in (0, 1)]
    agree(scenario)
    core = Compiled(scenario)
    feed(core, scenario)
    held = core.machine.state.positions[1]
    left = (round(7e8) - round(amount * 1e8)) * 98
    assert (held["quantity"] * 98, held["cost"], held["realised"]) == (left, left, 0)


@settings(deadline=None, max_examples=150)
@given(bar_scenarios)
def test_compiled_core_agrees_with_its_twin_in_any_scenario(scenario: Scenario) -> None:
    agree(scenario)
