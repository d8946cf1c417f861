"""Strategies are told of orders that the venue refused, on bars and on ticks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backtest.test_hostile import flat
from tests.backtest.test_replay import T0, quotes
from tests.backtest.test_session import MINUTE_NS, PLAIN, START_NS
from tradelake.backtest.session import run
from tradelake.errors import InvalidData
from tradelake.execution.brokers import IDEAL
from tradelake.execution.costs import Costs, Latencies, Latency
from tradelake.strategies.event import EventStrategy

BTC = "BTC/USD"


class Refused(EventStrategy):
    """Acts at its first bar or quote, notes what it is told of."""

    name, parameters = "refused", {}

    def __init__(self, act) -> None:
        self.act, self.told, self.seen = act, [], 0

    def on_bar(self, ctx):
        if not self.seen:
            self.act(ctx)
        self.seen += 1

    on_quote = on_bar

    def on_fill(self, ctx, fill):
        self.told.append(("fill", fill.order, ctx.now_ns))

    def on_reject(self, ctx, reject):
        self.told.append((reject.reason, reject.order, ctx.now_ns, reject.symbol, self.seen))
        assert reject.ts_ns <= ctx.now_ns
        assert reject.order not in [one.order for one in ctx.orders]


CASES = {
    "bad_quantity": lambda ctx: ctx.buy(BTC, np.nan),
    "bad_price": lambda ctx: ctx.buy(BTC, 1.0, limit=-5.0),
    "insufficient_quantity": lambda ctx: ctx.sell(BTC, 1.0),
    "insufficient_balance": lambda ctx: ctx.buy(BTC, 1e6, limit=90.0),
}


@pytest.mark.parametrize("reason", CASES)
def test_a_reject_is_told_before_the_next_bar(reason) -> None:
    strategy = Refused(CASES[reason])
    left = run(flat(100.0), strategy, broker=PLAIN)
    assert strategy.told == [(reason, 0, START_NS + MINUTE_NS, BTC, 1)]
    assert left.rejects == {reason: 1}


@pytest.mark.parametrize("reason", [*CASES][:2])
def test_a_reject_is_told_before_the_next_tick(reason) -> None:
    strategy = Refused(CASES[reason])
    given = quotes([99.0, 99.5, 99.7], [100.0, 100.5, 100.7])
    left = run([given], strategy, broker=IDEAL, costs=Costs.none(), cash=1_000.0)
    assert strategy.told == [(reason, 0, T0, BTC, 1)]
    assert left.rejects == {reason: 1}


def test_a_reject_has_the_symbol_that_was_asked_for_when_nobody_knows_it() -> None:
    strategy = Refused(lambda ctx: ctx.buy("ETC/USD", 1.0))
    run(flat(100.0), strategy, broker=PLAIN)
    assert strategy.told == [("unknown_symbol", 0, START_NS + MINUTE_NS, "ETC/USD", 1)]


@pytest.mark.parametrize("symbol", [5, None, 1.5, ("BTC", "USD"), b"BTC/USD"])
def test_a_reject_has_its_symbol_as_text_when_the_strategy_asked_for_none(symbol) -> None:
    strategy = Refused(lambda ctx: ctx.buy(symbol, 1.0))
    run(flat(100.0), strategy, broker=PLAIN)
    assert strategy.told == [("unknown_symbol", 0, START_NS + MINUTE_NS, str(symbol), 1)]


def test_rejects_of_exits_have_the_symbol_of_their_entry_when_nobody_knows_it() -> None:
    strategy = Refused(lambda ctx: ctx.buy(5, 1.0, stop_exit=90.0, target_exit=110.0))
    run(flat(100.0), strategy, broker=PLAIN)
    assert {told[3] for told in strategy.told} == {"5"}


def test_a_reject_is_told_when_its_answer_has_arrived() -> None:
    late = Latencies(entry=Latency.constant(90_000.0), response=Latency.constant(60_000.0))
    strategy = Refused(lambda ctx: ctx.sell(BTC, 1.0))
    run(flat(100.0), strategy, broker=PLAIN, costs=Costs(latency=late))
    ((reason, order, told_ns, _, bars),) = strategy.told
    assert (reason, order, bars) == ("insufficient_quantity", 0, 3)
    assert told_ns == START_NS + MINUTE_NS + 150_000_000_000


def test_fills_and_rejects_are_told_in_order_of_happening() -> None:
    def act(ctx):
        ctx.sell(BTC, 1.0)
        ctx.buy(BTC, 1.0)
        ctx.buy(BTC, -1.0)

    strategy = Refused(act)
    run(flat(100.0), strategy, broker=PLAIN)
    assert sorted(one[:2] for one in strategy.told) == [
        ("bad_quantity", 2),
        ("fill", 1),
        ("insufficient_quantity", 0),
    ]
    assert [one[2] for one in strategy.told] == sorted(one[2] for one in strategy.told)


def test_each_order_of_many_is_told_once() -> None:
    class Many(Refused):
        def on_bar(self, ctx):
            for _ in range(10):
                ctx.sell(BTC, 1.0)
                ctx.buy(BTC, 1.0, limit=50.0)

    strategy = Many(None)
    left = run(flat(100.0, 20), strategy, broker=PLAIN)
    told = [one[1] for one in strategy.told]
    assert len(told) == len(set(told)) == 190  # those of the last bar do not arrive in time
    assert set(told) <= set(np.flatnonzero(left.books.orders["side"] == -1).tolist())


def test_a_strategy_that_raises_when_it_is_refused_fails_its_run() -> None:
    class Raises(Refused):
        def on_reject(self, ctx, reject):
            raise ValueError(reject.reason)

    with pytest.raises(InvalidData, match=r"in on_reject of BTC/USD at .* order 0: .*bad_quantity"):
        run(flat(100.0), Raises(CASES["bad_quantity"]), broker=PLAIN)


class Misnamed(EventStrategy):
    """Orders a symbol that nobody knows once; notes which symbol each callback is about."""

    name, parameters = "misnamed", {}

    def __init__(self) -> None:
        self.symbols: list[str] = []

    def on_bar(self, ctx):
        self.symbols.append(ctx.symbol)
        if len(self.symbols) == 1:
            ctx.timer("later", at_ns=ctx.now_ns + 1)
            ctx.buy("BTCUSD", 1.0)

    on_quote = on_bar

    def on_reject(self, ctx, reject):
        assert ctx.symbol == reject.symbol == "BTCUSD"

    def on_timer(self, ctx, name):
        self.symbols.append(ctx.symbol)

    def on_stop(self, ctx):
        self.symbols.append(ctx.symbol)


@pytest.mark.parametrize("data", [flat(100.0), [quotes([99.0, 99.5, 99.7], [100.0, 100.5, 100.7])]])
def test_a_reject_of_an_unknown_symbol_leaves_the_symbol_of_what_follows_alone(data) -> None:
    strategy = Misnamed()
    left = run(data, strategy, broker=IDEAL)
    assert left.rejects == {"unknown_symbol": 1}
    assert set(strategy.symbols) == {BTC}
