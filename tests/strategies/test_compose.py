"""Ensembles, filters, regimes, stacks and portfolios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.markets import HOUR_NS, bars_of, walk, walks
from tradelake.errors import ConfigError, InsufficientData
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.adapters import EventSignals, as_events
from tradelake.strategies.api import NEVER_TRAINED, Trained
from tradelake.strategies.compose import (
    Composite,
    composite_events,
    filtered,
    regime_switch,
    vote,
    weighted,
)
from tradelake.strategies.library import build, make
from tradelake.strategies.panel import Panel
from tradelake.strategies.portfolio import Fixed, InverseVolatility, Member, Portfolio
from tradelake.strategies.stacking import (
    fit_stacker,
    next_returns,
    out_of_sample_signals,
    stacked,
)

NAN = np.nan


@dataclass(frozen=True)
class Says:
    """Says what it was told to say."""

    targets: tuple[float, ...]
    name: str = "says"
    parameters: Mapping[str, int] = field(default_factory=dict)

    def signals(self, bars: BarArrays) -> FloatArray:
        return np.array(self.targets)[: len(bars)]


def said(composite: Composite, size: int) -> list[float]:
    return composite.signals(bars_of(np.arange(1.0, size + 1.0))).tolist()


def test_vote_takes_the_side_that_more_than_half_of_the_members_take() -> None:
    members = [Says((NAN, 1, 1, -1, 0.1)), Says((1, 0.5, -1, -1, 0)), Says((0, 0, 1, 0.2, 0))]
    assert said(vote(members), 5) == [0, 1, 1, -1, 0]
    assert said(vote(members, quorum=0.7), 5) == [0, 0, 0, 0, 0]


def test_vote_of_two_that_disagree_is_flat() -> None:
    assert said(vote([Says((1.0,)), Says((0.0,))]), 1) == [0]


def test_weighted_mean_weighs_and_takes_the_opposite_of_a_negative_weight() -> None:
    members = [Says((1, NAN, -1)), Says((1, 1, 0.5))]
    assert said(weighted(members, (3, 1)), 3) == [1, 0.25, -0.625]
    assert said(weighted(members, (1, -1)), 3) == [0, -0.5, -0.75]


def test_filter_trades_while_the_condition_is_long() -> None:
    assert said(filtered(Says((1, -1, 1, 0.5)), Says((1, 0.1, 0, -1))), 4) == [1, -1, 0, 0]


def test_regime_picks_the_member_whose_regime_it_is() -> None:
    regime, up, down, flat = (
        Says((1, 0, -1, NAN)),
        Says((0.1,) * 4),
        Says((0.2,) * 4),
        Says((0.3,) * 4),
    )
    assert said(regime_switch(regime, up, down, flat), 4) == [0.1, 0.3, 0.2, 0.3]
    assert said(regime_switch(regime, up, down), 4) == [0.1, 0.2, 0.2, 0.2]


def test_composite_tells_its_members_and_their_parameters() -> None:
    inner = filtered(make("rsi", {"period": 7}), make("sma_cross", {}))
    outer = weighted([inner, make("donchian", {})], (1, 3))
    assert outer.name == "weighted(filter(rsi, sma_cross), donchian)"
    found = outer.parameters
    assert found["weighted.weight_2"] == 3.0
    assert found["1.filter(rsi, sma_cross).1.rsi.period"] == 7
    assert found["2.donchian.entry"] == 20
    assert len(found) == 2 + (3 + 3) + 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: vote([]),
        lambda: vote([Says((1,))], quorum=0.4),
        lambda: weighted([Says((1,))], (1, 2)),
        lambda: weighted([Says((1,))], (0,)),
        lambda: Portfolio([], Fixed((1.0,))),
        lambda: Portfolio([Member(Says((1,)), ("A/USD", "B/USD"))], Fixed((1.0,))),
        lambda: Fixed((0.7, 0.7)),
        lambda: Fixed((-0.1, 0.7)),
        lambda: InverseVolatility(1),
    ],
)
def test_composition_is_refused_when_its_parts_do_not_fit(wrong) -> None:
    with pytest.raises(ConfigError, match="expected"):
        wrong()


@dataclass(frozen=True)
class Learned(Says):
    """Was trained up to the third bar's end."""

    train_end_ns: int = 3 * HOUR_NS


def test_composite_is_as_trained_as_its_last_trained_member() -> None:
    learned, plain = Learned((1.0,) * 50), make("rsi", {})
    assert vote([plain]).train_end_ns == NEVER_TRAINED
    outer = vote([plain, filtered(plain, learned)])
    assert isinstance(outer, Trained)
    assert outer.train_end_ns == 3 * HOUR_NS
    portfolio = Portfolio([Member(outer, ("BTC/USD",))], Fixed((1.0,)))
    carried = (as_events(outer), composite_events(outer), as_events(portfolio), portfolio)
    for one in (*carried, EventSignals(as_events(outer))):
        assert isinstance(one, Trained)
        assert one.train_end_ns == 3 * HOUR_NS


@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_stacker_trusts_the_member_that_was_right(kind) -> None:
    rng = np.random.default_rng(1)
    signals = rng.integers(-1, 2, (4000, 2)).astype(float)
    returns = 0.01 * signals[:, 1] + rng.normal(0.0, 0.01, 4000)
    stacker = fit_stacker(signals, returns, 7, kind=kind, ridge=1e-6, short=True)
    assert abs(stacker.weights[0]) < 0.1 * stacker.weights[1]
    assert stacker.combine(np.array([[-1.0, 1.0], [1.0, -1.0]])).tolist() == [1.0, -1.0]
    assert (stacker.train_end_ns, stacker.parameters["kind"]) == (7, kind)


def test_linear_stacker_finds_the_weights_that_made_the_returns() -> None:
    signals = np.random.default_rng(2).normal(size=(500, 3))
    returns = 0.002 + signals @ np.array([0.01, 0.0, -0.02])
    stacker = fit_stacker(signals, returns, 0, ridge=1e-12)
    assert stacker.intercept == pytest.approx(0.002)
    assert stacker.weights == pytest.approx((0.01, 0.0, -0.02), abs=1e-9)


def test_logistic_stacker_is_where_the_penalised_likelihood_is_flat() -> None:
    rng = np.random.default_rng(3)
    signals = rng.normal(size=(300, 2))
    returns = np.where(rng.random(300) < 1 / (1 + np.exp(-signals[:, 0] - 0.3)), 1.0, -1.0)
    stacker = fit_stacker(signals, returns, 0, kind="logistic", ridge=0.01)
    error = stacker.score(signals) + 0.5 - (returns > 0)
    assert error.mean() == pytest.approx(0.0, abs=1e-8)
    slope = signals.T @ error / 300 + 0.01 * np.array(stacker.weights)
    assert slope == pytest.approx([0.0, 0.0], abs=1e-9)


def test_logistic_stacker_stays_finite_when_a_member_is_always_right() -> None:
    signals = np.sign(np.random.default_rng(4).normal(size=(100, 1)))
    stacker = fit_stacker(signals, signals[:, 0], 0, kind="logistic")
    assert np.isfinite(stacker.weights).all()
    assert stacker.combine(signals).tolist() == (signals[:, 0] > 0).tolist()
    rising = fit_stacker(signals, np.ones(100), 0, kind="logistic")
    assert rising.combine(signals).tolist() == [1.0] * 100


def test_stack_is_trained_up_to_the_end_of_the_bars_it_was_fitted_on() -> None:
    bars = walk(5, 300)
    members = [make("rsi", {"period": 4}), make("donchian", {"entry": 4, "exit": 2})]
    composite = stacked(members, bars)
    assert composite.train_end_ns == bars.close_ns[-1]
    assert set(composite.signals(bars)) <= {0.0, 1.0}
    assert composite.name == "stacked(rsi, donchian)"


def test_stack_is_refused_when_a_member_was_trained_on_its_bars() -> None:
    with pytest.raises(ConfigError, match="says was trained up to"):
        stacked([Learned((1.0,) * 50)], walk(5, 50))
    with pytest.raises(InsufficientData, match="rows"):
        stacked([make("rsi", {})], walk(5, 2))


def test_next_returns_are_unknown_at_the_end() -> None:
    found = next_returns(bars_of([1.0, 2.0, 3.0, 6.0]), 2)
    np.testing.assert_array_equal(found, [2.0, 2.0, NAN, NAN])


def test_members_are_fitted_on_the_bars_before_each_fold_alone() -> None:
    fitted = []

    def fit(bars: BarArrays):
        fitted.append(len(bars))
        return [Says((float(len(bars)),) * 200)]

    first, signals = out_of_sample_signals(fit, walk(1, 100), 3)
    assert fitted == [25, 50, 75]
    assert first == 25
    assert signals[:, 0].tolist() == [25.0] * 25 + [50.0] * 25 + [75.0] * 25
    with pytest.raises(InsufficientData):
        out_of_sample_signals(fit, walk(1, 3), 3)


def test_inverse_volatility_gives_the_calmer_market_the_larger_share() -> None:
    steps = np.where(np.arange(40) % 2, 1.0, -1.0)
    calm = bars_of(100 * np.exp(0.01 * steps), "A/USD")
    wild = bars_of(100 * np.exp(0.03 * steps), "B/USD")
    hold = make("buy_and_hold", {})
    members = [Member(hold, ("A/USD",)), Member(hold, ("B/USD",))]
    targets = Portfolio(members, InverseVolatility(10, 5)).signals_of(Panel.of([calm, wild]))
    assert (targets[:10] == 0.0).all()
    np.testing.assert_allclose(targets[10:], [[0.75, 0.25]] * 30)


def test_portfolio_lets_opposite_wishes_for_a_symbol_cancel() -> None:
    bars = bars_of(np.arange(1.0, 5.0))
    members = [Member(Says((1.0,) * 4), ("BTC/USD",)), Member(Says((-1.0,) * 4), ("BTC/USD",))]
    targets = Portfolio(members, Fixed((0.5, 0.5))).signals_of(Panel.of([bars]))
    assert (targets == 0.0).all()


def test_portfolio_is_refused_when_a_symbol_has_no_bars() -> None:
    portfolio = Portfolio([Member(Says((1.0,) * 4), ("SOL/USD",))], Fixed((1.0,)))
    with pytest.raises(ConfigError, match="SOL/USD"):
        portfolio.signals_of(Panel.of([bars_of([1.0, 2.0])]))


SMALL = [
    make("rsi", {"period": 4, "low": 40.0, "high": 60.0}),
    make("donchian", {"entry": 4, "exit": 3}),
    make("sma_cross", {"fast": 3, "slow": 7, "below": -1.0}),
]
COMPOSITES = [
    vote(SMALL),
    weighted(SMALL, (0.3, 0.3, 0.1)),
    filtered(SMALL[0], SMALL[2]),
    regime_switch(SMALL[2], SMALL[1], SMALL[0]),
    stacked(SMALL, walk(99, 300), short=True),
    stacked(SMALL, walk(99, 300), kind="logistic"),
]


@pytest.mark.parametrize("composite", COMPOSITES, ids=lambda one: one.name)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 120))
def test_composite_decides_the_same_when_the_future_is_cut_off(
    composite: Composite, seed: int, cut: int
) -> None:
    bars = walk(seed, 120)
    whole = composite.signals(bars)
    assert (np.abs(whole) <= 1.0).all()
    np.testing.assert_array_equal(composite.signals(bars.take(0, cut)), whole[:cut])


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 110))
def test_portfolio_decides_the_same_when_the_future_is_cut_off(seed: int, cut: int) -> None:
    panel = Panel.of(walks(seed, 120))
    pair = build("pairs", {"window": 12, "entry": 1.0, "short": True})
    members = [
        Member(pair, ("ETH/USD", "BTC/USD")),
        Member(SMALL[1], ("BTC/USD",)),
        Member(vote(SMALL), ("ETH/USD",)),
    ]
    portfolio = Portfolio(members, InverseVolatility(10, 4))
    whole = portfolio.signals_of(panel)
    assert (np.abs(whole) <= 1.0).all()
    np.testing.assert_array_equal(portfolio.signals_of(panel.take(cut)), whole[:cut])
