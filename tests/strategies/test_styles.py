"""The styles of strategies say the same, and their state can be taken up anywhere."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.markets import bars_of, walk, walks
from tests.strategies.venue import Venue
from tradelake.errors import ConfigError, InvalidData
from tradelake.features.registry import BASIC_V1
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.adapters import EventSignals, as_events
from tradelake.strategies.compose import composite_events, filtered, vote
from tradelake.strategies.event import Context, EventStrategy
from tradelake.strategies.library import build, make
from tradelake.strategies.named import column
from tradelake.strategies.panel import Panel
from tradelake.strategies.portfolio import Fixed, InverseVolatility, Member, Portfolio

NAMES = ("sma_cross", "donchian", "bollinger_reversion", "rsi", "macd", "ts_momentum")
SMALL = {
    "sma_cross": {"fast": 3, "slow": 7, "below": -1.0},
    "donchian": {"entry": 4, "exit": 3},
    "bollinger_reversion": {"window": 5, "width": 1.0},
    "macd": {"fast": 3, "slow": 7, "signal": 4},
    "rsi": {"period": 4, "low": 40.0, "high": 60.0},
    "ts_momentum": {"lookback": 5, "every": 3},
}


def small(name: str):
    return make(name, SMALL[name])


class Crossing(EventStrategy):
    """Long while the close is above the average of its last closes, which it keeps itself."""

    state_names: ClassVar = ("closes",)

    def __init__(self, window: int) -> None:
        self.name, self.parameters = "crossing", {"window": window}
        self.closes: list[float] = []
        self._window = window

    def on_bar(self, ctx: Context) -> None:
        self.closes = [*self.closes[1 - self._window :], ctx.close]
        if len(self.closes) == self._window:
            ctx.target(ctx.symbol, float(ctx.close > sum(self.closes) / self._window))


def changes(bars: BarArrays, targets: FloatArray, share: float = 1.0):
    """What a driver of vectorised strategies sends: targets that differ from the one before."""
    rows = np.flatnonzero(np.diff(np.nan_to_num(targets) * share, prepend=0.0))
    return [(int(bars.close_ns[row]), bars.symbol, float(targets[row] * share)) for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_vectorised_strategy_sends_the_same_targets_as_an_event_strategy(name: str) -> None:
    bars = walk(3, 120)
    venue = Venue([bars])
    venue.play(as_events(small(name)))
    expected = changes(bars, small(name).signals(bars))
    assert len(expected) > 2
    assert venue.targets == expected


def test_vectorised_strategy_has_equal_shares_of_several_symbols_as_an_event_strategy() -> None:
    both = walks(5, 80)
    venue = Venue(both)
    venue.play(as_events(small("donchian")))
    expected = [one for bars in both for one in changes(bars, small("donchian").signals(bars), 0.5)]
    assert venue.targets == sorted(expected)


@pytest.mark.parametrize(
    "strategy",
    [
        build("pairs", {"window": 12, "entry": 1.0, "short": True}),
        build("xs_momentum", {"lookback": 5, "every": 3, "top": 1}),
        Portfolio(
            [Member(small("rsi"), ("ETH/USD",)), Member(small("donchian"), ("BTC/USD",))],
            InverseVolatility(10, 7),
        ),
    ],
    ids=lambda strategy: strategy.name,
)
def test_panel_strategy_sends_the_same_targets_as_an_event_strategy(strategy) -> None:
    both = walks(7, 80)
    venue = Venue(both)
    venue.play(as_events(strategy))
    panel = Panel.of(both)
    parts = panel.of_symbols(strategy.signals_of(panel))
    expected = [one for bars, part in zip(both, parts, strict=True) for one in changes(bars, part)]
    assert len(expected) > 3
    assert venue.targets == sorted(expected)


def test_event_strategy_of_targets_is_a_vectorised_one_that_starts_afresh_each_time() -> None:
    bars = walk(11, 100)
    strategy = EventSignals(Crossing(5))
    mean = np.convolve(bars.close, np.ones(5) / 5)[:100]
    expected = np.where(np.arange(100) >= 4, bars.close > mean, 0.0)
    np.testing.assert_array_equal(strategy.signals(bars), expected)
    np.testing.assert_array_equal(strategy.signals(bars.take(0, 40)), expected[:40])
    venue = Venue([bars])
    venue.play(as_events(strategy))
    assert venue.targets == changes(bars, expected)


@pytest.mark.parametrize(
    "wish",
    [
        lambda ctx: ctx.buy("BTC/USD", 1.0),
        lambda ctx: ctx.equity,
        lambda ctx: ctx.position("BTC/USD"),
        lambda ctx: ctx.timer("t", every_ns=1),
    ],
)
def test_event_strategy_is_refused_as_signals_when_it_needs_an_account(wish) -> None:
    class Wishing(EventStrategy):
        name, parameters = "wishing", {}

        def on_bar(self, ctx: Context) -> None:
            wish(ctx)

    with pytest.raises(InvalidData, match="wishing: expected targets"):
        EventSignals(Wishing()).signals(walk(1, 5))


def test_vectorised_strategy_is_refused_as_events_when_a_target_is_none() -> None:
    class Gap:
        name, parameters = "gap", {}

        def signals(self, bars: BarArrays) -> FloatArray:
            targets = np.full(len(bars), np.nan)
            targets[1:2] = 1.0
            return targets

    with pytest.raises(InvalidData, match=r"gap on BTC/USD: expected a target in \[-1, 1\]"):
        Venue([bars_of([1.0, 2.0, 3.0])]).play(as_events(Gap()))


def test_context_knows_features_by_name_and_history_up_to_now_alone() -> None:
    bars = walk(13, 150)
    expected = BASIC_V1.batch(bars)
    seen = []

    class Watching(EventStrategy):
        name, parameters = "watching", {}

        def on_bar(self, ctx: Context) -> None:
            history = ctx.history(ctx.symbol, 3)
            seen.append([ctx.feature(name) for name in BASIC_V1.names])
            assert history.close[-1] == ctx.close
            assert len(history.close) == min(3, len(seen))
            assert len(ctx.bars(ctx.symbol)) == len(seen)

    Venue([bars]).play(Watching())
    np.testing.assert_array_equal(np.array(seen), expected)
    np.testing.assert_array_equal(column(bars, "rsi_14"), expected[:, 6])


def test_feature_is_refused_when_no_set_has_it() -> None:
    with pytest.raises(ConfigError, match=r"feature: expected one of .*rsi_14.*found 'moon'"):
        column(walk(1, 5), "moon")


CUT = {
    "own state": lambda: Crossing(5),
    "signals": lambda: as_events(small("sma_cross")),
    "composite": lambda: composite_events(
        filtered(vote([small("rsi"), small("donchian"), small("macd")]), small("sma_cross"))
    ),
    "grid": lambda: build("grid", {"levels": 3, "spacing": 0.02, "tick": 0.0}),
}


@pytest.mark.parametrize("kind", CUT)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 60))
def test_strategy_goes_on_as_if_nothing_was_when_it_is_saved_and_restored(
    kind: str, seed: int, cut: int
) -> None:
    bars = walk(seed, 60)
    whole, parts = Venue([bars]), Venue([bars])
    whole.play(CUT[kind]())
    first, second = CUT[kind](), CUT[kind]()
    parts.play(first, 0, cut)
    second.restore(msgspec.json.decode(msgspec.json.encode(first.save())))
    parts.play(second, cut)
    assert parts.targets == whole.targets
    assert parts.trades == whole.trades


def test_panel_strategy_goes_on_as_if_nothing_was_when_it_is_restored_within_an_instant() -> None:
    both = walks(17, 40)

    def strategy():
        return as_events(build("xs_momentum", {"lookback": 5, "every": 3, "top": 1}))

    whole = Venue(both)
    whole.play(strategy())
    for cut in range(0, 60, 7):
        parts, first, second = Venue(both), strategy(), strategy()
        parts.play(first, 0, cut)
        second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.save())))
        parts.play(second, cut)
        assert parts.targets == whole.targets


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"strategy": "other"}, "strategy 'crossing'"),
        ({"version": 2}, "version 1"),
        ({"parameters": {"window": 6}}, "parameters"),
        ({"values": {}}, "values of"),
        ({"values": None}, "values"),
    ],
)
def test_state_is_refused_when_it_is_not_of_this_strategy(change, word: str) -> None:
    saved = {**Crossing(5).save(), **change}
    with pytest.raises(InvalidData, match=f"crossing: expected {word}"):
        Crossing(5).restore(saved)


def test_state_is_refused_when_it_is_no_plain_data() -> None:
    strategy = Crossing(5)
    strategy.closes = [object()]  # type: ignore[list-item]
    with pytest.raises(InvalidData, match="crossing: expected plain data; found 'closes"):
        strategy.save()


def test_composite_of_events_trades_as_the_composite_of_signals() -> None:
    composite = vote([small("rsi"), small("donchian"), filtered(small("macd"), small("sma_cross"))])
    bars = walk(19, 120)
    venue = Venue([bars])
    events = composite_events(composite)
    venue.play(events)
    assert venue.targets == changes(bars, composite.signals(bars))
    assert (events.name, events.parameters) == (composite.name, composite.parameters)


def test_portfolio_with_fixed_shares_adds_up_its_members_targets() -> None:
    both = walks(23, 60)
    panel = Panel.of(both)
    hold, rule = make("buy_and_hold", {}), small("donchian")
    members = [
        Member(hold, ("BTC/USD",)),
        Member(rule, ("BTC/USD",)),
        Member(rule, ("ETH/USD",)),
    ]
    targets = Portfolio(members, Fixed((0.5, 0.25, 0.25))).signals_of(panel)
    btc, eth = panel.of_symbols(targets)
    np.testing.assert_allclose(btc, 0.5 + 0.25 * rule.signals(both[0]))
    np.testing.assert_allclose(eth, 0.25 * rule.signals(both[1]))
