"""Parameters, panels and what a context does with what it is asked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.layout import OrderType, Side, Sizing, TimeInForce
from tradelake.market.arrays import BarArrays
from tradelake.strategies.api import Parameter
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import Context, EventStrategy, History, OrderRequest, written
from tradelake.strategies.panel import Panel

MINUTE_NS = 60_000_000_000


class Desk:
    """Takes everything down and lets nothing fill."""

    def __init__(self) -> None:
        self.sent: list[OrderRequest] = []
        self.cancelled: list[int] = []
        self.replaced: list[tuple[float, ...]] = []
        self.timers: list[tuple[str, int, int]] = []
        self.ended: set[int] = set()

    def send(self, request: OrderRequest) -> int:
        self.sent.append(request)
        return len(self.sent) - 1

    def cancel(self, order: int) -> bool:
        self.cancelled.append(order)
        return True

    def replace(self, order: int, quantity: float, limit: float, stop: float, trail: float) -> int:
        self.replaced.append((order, quantity, limit, stop, trail))
        return order + 1

    def works(self, order: int) -> bool:
        return order not in self.ended

    def working(self) -> list:
        return []

    def cash(self) -> float:
        return 100.0

    def equity(self) -> float:
        return 150.0

    def position(self, symbol: str) -> float:
        return 0.0

    def history(self, symbol: str, n: int) -> History:
        raise NotImplementedError

    def feature(self, symbol: str, name: str) -> float:
        return float(len(name))

    def timer(self, name: str, at_ns: int, every_ns: int) -> None:
        self.timers.append((name, at_ns, every_ns))


def context() -> tuple[Context, Desk]:
    desk = Desk()
    return EventContext(["BTC/USD", "ETH/USD"], desk, seed=7), desk


def bars(symbol: str, minutes: list[int]) -> BarArrays:
    price = np.array(minutes, dtype=float) + 100.0
    return BarArrays(
        symbol, "1m", np.array(minutes) * MINUTE_NS, price, price, price, price, price * 0 + 1
    )


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (Parameter("x", bool, True, None, None, "d"), [True, False], [1, "true", None]),
        (
            Parameter("x", str, "a", None, None, "d", choices=("a", "b")),
            ["a", "b"],
            ["c", 1, True],
        ),
        (
            Parameter("x", int, 3, 1, 5, "d"),
            [1, 5, 2.0],
            [0, 6, 2.5, True, "3", math.nan, math.inf],
        ),
        (Parameter("x", float, 0.5, 0.0, 1.0, "d"), [0, 1, 0.25], [-0.1, 1.1, math.nan, False]),
    ],
)
def test_parameter_takes_what_it_declares_and_refuses_the_rest(parameter, good, bad) -> None:
    for value in good:
        assert type(parameter.check("s", value)) is parameter.type
    for value in bad:
        with pytest.raises(ConfigError, match="strategy s: parameter x: expected"):
            parameter.check("s", value)


def test_parameter_is_read_from_text_as_its_type() -> None:
    assert Parameter("x", bool, True, None, None, "d").parse("s", "false") is False
    assert Parameter("x", int, 3, 1, 5, "d").parse("s", "4") == 4
    assert Parameter("x", float, 3, 1, 5, "d").parse("s", "4.5") == 4.5
    with pytest.raises(ConfigError, match="found 'four'"):
        Parameter("x", int, 3, 1, 5, "d").parse("s", "four")


def test_panel_has_no_number_where_a_symbol_has_no_bar() -> None:
    panel = Panel.of([bars("BTC/USD", [0, 1, 3]), bars("ETH/USD", [1, 2])])
    assert panel.close_ns.tolist() == [MINUTE_NS * k for k in (1, 2, 3, 4)]
    expected = [[100, np.nan], [101, 101], [np.nan, 102], [103, np.nan]]
    np.testing.assert_array_equal(panel.close, expected)
    carried = [[100, np.nan], [101, 101], [101, 102], [103, 102]]
    np.testing.assert_array_equal(panel.carried(panel.close), carried)
    assert panel.present.tolist() == [[True, False], [True, True], [False, True], [True, False]]


def test_panel_gives_each_symbol_the_targets_at_its_own_bars() -> None:
    panel = Panel.of([bars("BTC/USD", [0, 1, 3]), bars("ETH/USD", [1, 2])])
    btc, eth = panel.of_symbols(np.arange(8.0).reshape(4, 2))
    assert btc.tolist() == [0, 2, 6]
    assert eth.tolist() == [3, 5]
    with pytest.raises(InvalidData, match="signal"):
        panel.of_symbols(np.zeros((4, 3)))


def test_panel_cut_short_is_the_panel_of_the_bars_known_then() -> None:
    panel = Panel.of([bars("BTC/USD", [0, 1, 3]), bars("ETH/USD", [1, 2])])
    part = panel.take(3)
    whole = Panel.of([bars("BTC/USD", [0, 1]), bars("ETH/USD", [1, 2])])
    np.testing.assert_array_equal(part.close, whole.close)
    assert [len(one) for one in part.bars] == [2, 2]


def test_panel_is_refused_when_a_symbol_comes_twice() -> None:
    with pytest.raises(InvalidData, match="panel"):
        Panel.of([bars("BTC/USD", [0]), bars("BTC/USD", [0])])


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, OrderType.MARKET),
        ({"limit": 9.0}, OrderType.LIMIT),
        ({"stop": 9.0}, OrderType.STOP),
        ({"stop": 9.0, "limit": 8.0}, OrderType.STOP_LIMIT),
        ({"trail": -0.05}, OrderType.TRAILING_STOP),
    ],
)
def test_context_sends_the_type_of_order_that_the_prices_make(given, kind) -> None:
    ctx, desk = context()
    assert ctx.buy("BTC/USD", 1.0, tif=TimeInForce.IOC, **given) == 0
    (sent,) = desk.sent
    assert (sent.kind, sent.side, sent.tif, sent.sizing) == (kind, Side.BUY, TimeInForce.IOC, 0)
    for name in ("limit", "stop", "trail"):
        found = getattr(sent, name)
        assert found == given[name] if name in given else math.isnan(found)
    assert not sent.has_exits


def test_context_sends_exits_with_their_entry() -> None:
    ctx, desk = context()
    ctx.sell("ETH/USD", notional=50.0, stop_exit=11.0, target_exit=9.0)
    (sent,) = desk.sent
    assert (sent.side, sent.sizing, sent.amount) == (Side.SELL, Sizing.NOTIONAL, 50.0)
    assert (sent.stop_exit, sent.target_exit, sent.has_exits) == (11.0, 9.0, True)


def test_context_sends_a_price_that_is_no_number_as_one_the_venue_rejects() -> None:
    ctx, desk = context()
    ctx.buy("BTC/USD", 1.0, limit=math.nan, stop_exit=math.nan)
    (sent,) = desk.sent
    assert (sent.kind, sent.limit, sent.stop_exit) == (OrderType.LIMIT, 0.0, 0.0)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"quantity": 1.0, "notional": 1.0},
        {"quantity": 1.0, "trail": 1.0, "stop": 1.0},
        {"quantity": 1.0, "stop_exit": 1.0, "trail_exit": 1.0},
    ],
)
def test_context_refuses_an_order_that_makes_no_sense(given) -> None:
    ctx, desk = context()
    ctx.now_ns = 77
    with pytest.raises(InvalidData, match="BTC/USD at 77 ns: expected"):
        ctx.buy("BTC/USD", **given)
    assert not desk.sent


def test_context_cancels_a_working_target_when_the_next_one_comes() -> None:
    ctx, desk = context()
    first, other = ctx.target("BTC/USD", 1.0), ctx.target("ETH/USD", 0.5)
    ctx.target("BTC/USD", 0.0)
    assert desk.cancelled == [first]
    desk.ended.add(other)
    ctx.close_position("ETH/USD")
    assert desk.cancelled == [first]
    assert [one.sizing for one in desk.sent] == [2, 2, 2, 3]


def test_context_asks_for_timers_from_now_on() -> None:
    ctx, desk = context()
    ctx.now_ns = 100
    ctx.timer("once", at_ns=130)
    ctx.timer("often", every_ns=10)
    assert desk.timers == [("once", 130, 0), ("often", 110, 10)]
    for given in ({}, {"at_ns": 99}, {"every_ns": 0}):
        with pytest.raises(InvalidData, match="timer t at 100 ns"):
            ctx.timer("t", **given)


def test_context_goes_on_with_its_targets_and_draws_when_it_is_restored() -> None:
    ctx, _ = context()
    ctx.rng.random(5)
    order = ctx.target("BTC/USD", 1.0)
    saved, expected = ctx.save(), ctx.rng.random(3).tolist()
    later, desk = context()
    later.restore(saved)
    assert later.rng.random(3).tolist() == expected
    later.target("BTC/USD", 0.0)
    assert desk.cancelled == [order]


def test_driver_learns_which_callbacks_a_strategy_has_written() -> None:
    class Maker(EventStrategy):
        def on_book(self, ctx: Context) -> None: ...

        def on_fill(self, ctx, fill) -> None: ...

    assert written(Maker()) == {"on_book", "on_fill"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"decide": "m:f", "on_event": "m:g"},
        {"decide": "module.function"},
        {"decide": "m:f", "memory": -1},
        {"decide": "m:f", "parameters": {"mode": "fast"}},
    ],
)
def test_compiled_strategy_is_refused_when_its_declaration_is_wrong(given) -> None:
    with pytest.raises(ConfigError, match="strategy s:"):
        CompiledStrategy(**{"name": "s", "parameters": {}, **given})


def test_compiled_strategy_hands_its_parameters_over_in_order() -> None:
    strategy = CompiledStrategy("s", {"slow": 5, "on": True}, decide="m:f")
    assert strategy.params().tolist() == [5.0, 1.0]
