"""Ticks told to event strategies: fills at the displayed quotes, order of calls, findings."""

from __future__ import annotations

import numpy as np
import pytest

from tradelake.backtest.session import run
from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.brokers import IDEAL
from tradelake.execution.costs import Costs
from tradelake.market.ticks import QuoteArrays, TradeArrays
from tradelake.strategies.event import EventStrategy
from tradelake.strategies.library import make

T0 = 1_700_000_000_000_000_000
S = 1_000_000_000


def quotes(bids, asks, sizes=None) -> QuoteArrays:
    size = len(bids)
    sizes = np.full(size, 5.0) if sizes is None else np.asarray(sizes, dtype=float)
    ts_ns = T0 + np.arange(size) * S
    return QuoteArrays("BTC/USD", ts_ns, np.asarray(bids), sizes, np.asarray(asks), sizes)


class Once(EventStrategy):
    """Buys at the first quote, notes everything."""

    name = "once"

    def __init__(self) -> None:
        self.parameters = {}
        self.told = []

    def on_quote(self, ctx):
        self.told.append(("quote", ctx.now_ns, ctx.bid, ctx.ask, ctx.held))
        if len(self.told) == 1:
            ctx.buy(ctx.symbol, 2.0)

    def on_trade(self, ctx):
        self.told.append(("trade", ctx.now_ns, ctx.price, ctx.taker))

    def on_fill(self, ctx, fill):
        self.told.append(("fill", ctx.now_ns, fill.price, fill.quantity))


def test_a_taker_fills_at_the_quote_after_its_decision() -> None:
    strategy = Once()
    given = quotes([99.0, 99.5, 99.7], [100.0, 100.5, 100.7])
    trades = TradeArrays("BTC/USD", np.array([T0 + S // 2]), np.array([99.9]), np.array([1.0]),
                         np.array([1]))  # fmt: skip
    result = run([given, trades], strategy, broker=IDEAL, costs=Costs.none(), cash=1_000.0)
    assert result.rung == 3
    assert [told[0] for told in strategy.told][:2] == ["quote", "fill"]
    assert strategy.told[1][2:] == (100.0, 2.0)
    assert ("trade", T0 + S // 2, 99.9, 1) in strategy.told
    assert result.equity_values[-1] == pytest.approx(1_000.0 - 200.0 + 2.0 * 100.2)
    assert [told[1] for told in strategy.told] == sorted(told[1] for told in strategy.told)


def test_crossed_quotes_are_refused_unless_flagged_or_masked() -> None:
    with pytest.raises(InvalidData, match="cross"):
        quotes([101.0], [100.0])


def test_a_finding_has_the_instant_of_the_first_bad_row() -> None:
    good = quotes([99.0, 99.5, 99.7], [100.0, 100.5, 100.7])
    crossed = np.array([100.0, 99.0, 100.7])
    sizes = good.bid_size
    flagged = QuoteArrays("BTC/USD", good.ts_ns, good.bid, sizes, crossed, sizes, bad="flag")
    (found,) = run([flagged], Once(), broker=IDEAL, costs=Costs.none(), cash=1_000.0).findings
    assert (found.rule, found.rows, found.first_ns) == ("crossed", 1, T0 + S)


def test_a_vectorised_strategy_is_refused_on_ticks() -> None:
    with pytest.raises(ConfigError, match="expected callbacks"):
        run([quotes([1.0], [2.0])], make("buy_and_hold", {}))
