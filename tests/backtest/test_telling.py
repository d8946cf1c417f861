"""What event strategies are told beside bars and ticks, the same on both."""

from __future__ import annotations

import pytest

from tests.backtest.test_hostile import flat
from tests.backtest.test_replay import T0, quotes
from tests.backtest.test_session import MINUTE_NS, PLAIN, START_NS
from tradelake.backtest.session import run
from tradelake.execution.brokers import IDEAL
from tradelake.execution.costs import Costs
from tradelake.strategies.event import EventStrategy

BTC = "BTC/USD"


class Late(EventStrategy):
    """Buys at its first bar or quote, and asks for a timer before a later one."""

    name, parameters = "late", {}

    def __init__(self, after_ns: int) -> None:
        self.after_ns, self.heard = after_ns, []

    def on_bar(self, ctx):
        if not ctx.orders and not ctx.held:
            ctx.buy(BTC, 1.0)
            ctx.timer("later", at_ns=ctx.now_ns + self.after_ns)

    on_quote = on_bar

    def on_timer(self, ctx, name):
        self.heard.append((name, ctx.now_ns, ctx.held, ctx.position(BTC)))


class LateAndTold(Late):
    def on_fill(self, ctx, fill):
        assert ctx.held == fill.held


@pytest.mark.parametrize("kind", [Late, LateAndTold])
def test_a_timer_between_bars_sees_what_has_filled_whether_fills_are_asked_for_or_not(kind) -> None:
    strategy = kind(MINUTE_NS // 2)
    run(flat(100.0), strategy, broker=PLAIN)  # which takes 0.25 % of what is bought
    assert strategy.heard == [("later", START_NS + MINUTE_NS + MINUTE_NS // 2, 0.9975, 0.9975)]


@pytest.mark.parametrize("kind", [Late, LateAndTold])
def test_a_timer_between_ticks_sees_what_has_filled_whether_fills_are_asked_for_or_not(
    kind,
) -> None:
    strategy = kind(1)
    given = quotes([99.0, 99.5, 99.7], [100.0, 100.5, 100.7])
    run([given], strategy, broker=IDEAL, costs=Costs.none(), cash=1_000.0)
    assert strategy.heard == [("later", T0 + 1, 1.0, 1.0)]
