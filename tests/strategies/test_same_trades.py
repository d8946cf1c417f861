"""One rule in three styles has the same fills on the same venue, however orders fare there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.markets import bars_of, walk, walks
from tradelake.backtest.session import run
from tradelake.execution.costs import Costs, Latencies, Latency
from tradelake.strategies.adapters import DecidedSignals, EventSignals, as_events
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.compose import composite_events, filtered, vote
from tradelake.strategies.library import build, make
from tradelake.strategies.portfolio import InverseVolatility, Member, Portfolio

COMPILED = CompiledStrategy(
    "channel", {"size": 3}, decide="tests.strategies.decisions:channel", memory=1
)
HOUR_MS = 3_600_000.0
LATENCIES = {
    "none": Latencies(),
    "short": Latencies(Latency(50.0), Latency(20.0), Latency(30.0)),
    "drawn": Latencies(Latency(50.0, "exponential", 30.0), Latency(20.0, "uniform", 10.0)),
    "a bar and a half to the venue": Latencies(entry=Latency(1.5 * HOUR_MS)),
}


def fills(data, strategy, **settings_):
    return run(data, strategy, **settings_).books.fills


@pytest.mark.parametrize("latency", LATENCIES)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10_000), volume=st.sampled_from([1e7, 1e4, 1e2]))
def test_three_styles_have_the_same_fills(latency: str, seed: int, volume: float) -> None:
    bars = dataclasses.replace(walk(seed, 80), volume=np.full(80, volume))
    costs = Costs(latency=LATENCIES[latency])
    signals = DecidedSignals(COMPILED)
    expected = fills(bars, signals, costs=costs)
    np.testing.assert_array_equal(fills(bars, as_events(signals), costs=costs), expected)
    np.testing.assert_array_equal(fills(bars, COMPILED, costs=costs), expected)
    there_and_back = EventSignals(as_events(signals))
    np.testing.assert_array_equal(fills(bars, there_and_back, costs=costs), expected)


RSI = make("rsi", {"period": 4, "low": 40.0, "high": 60.0})
DONCHIAN = make("donchian", {"entry": 4, "exit": 3})
CROSS = make("sma_cross", {"fast": 3, "slow": 7})


@pytest.mark.parametrize(
    "strategy",
    [
        RSI,
        build("pairs", {"window": 12, "entry": 1.0}),
        build("xs_momentum", {"lookback": 5, "every": 3, "top": 1}),
        Portfolio(
            [Member(RSI, ("ETH/USD",)), Member(DONCHIAN, ("BTC/USD",))], InverseVolatility(10, 7)
        ),
    ],
    ids=lambda strategy: strategy.name,
)
def test_several_symbols_have_the_same_fills_in_both_styles(strategy) -> None:
    both = walks(3, 120)
    expected = fills(both, strategy)
    assert len(expected) > 10
    np.testing.assert_array_equal(fills(both, as_events(strategy)), expected)


def test_composites_have_the_same_fills_in_both_styles() -> None:
    both = walks(5, 120)
    composite = vote([RSI, DONCHIAN, filtered(RSI, CROSS)])
    expected = fills(both, composite)
    assert len(expected) > 10
    np.testing.assert_array_equal(fills(both, composite_events(composite)), expected)


def test_grid_takes_profits_at_the_venue_with_its_fees() -> None:
    close = 100 + 6 * np.sin(np.arange(200) / 5.0)
    bars = bars_of(close)
    bars = dataclasses.replace(bars, volume=np.full(200, 1e7))
    result = run(bars, build("grid", {"levels": 3, "spacing": 0.02, "follow": False}))
    orders, fills_ = result.books.orders, result.books.fills
    paid = dict(zip(fills_["order"].tolist(), fills_["price"].tolist(), strict=True))
    sells = [order for order in paid if orders["side"][order] < 0]
    assert len(sells) > 10
    for order in sells:
        assert paid[order] > 1.019 * paid[int(orders["parent"][order])]
    assert fills_["maker"].mean() > 0.9  # a limit that an open has reached takes
    assert fills_["realised"].sum() > 0
