"""Sizing: formulas, identities and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tradelake.errors import InvalidData
from tradelake.strategies import sizing

EQUITY = st.floats(1.0, 1e9)
PRICE = st.floats(1e-6, 1e6)
SHARE = st.floats(0.0, 1.0)


@given(equity=EQUITY, price=PRICE, fraction=st.floats(-1.0, 1.0))
def test_fixed_fraction_is_worth_the_fraction(equity: float, price: float, fraction: float) -> None:
    quantity = sizing.fixed_fraction(equity, price, fraction)
    assert quantity * price == pytest.approx(fraction * equity, rel=1e-12, abs=1e-12)


@given(volatility=st.floats(1e-6, 1.0), target=SHARE, cap=st.floats(0.0, 3.0))
def test_volatility_target_hits_the_target_unless_it_is_capped(
    volatility: float, target: float, cap: float
) -> None:
    size = sizing.volatility_target(volatility, target, cap=cap)
    assert 0.0 <= size <= cap
    if size < cap:
        assert size * volatility == pytest.approx(target)


@pytest.mark.parametrize("unknown", [0.0, math.nan])
def test_volatility_target_is_nothing_when_the_volatility_is_not_known(unknown: float) -> None:
    assert sizing.volatility_target(unknown, 0.1) == 0.0


def test_annual_volatility_of_metrics_oracle() -> None:
    returns = np.array([0.01, 0.10, -0.04, 0.02, 0.03, 0.02, 0.01, -0.10])
    # empyrical's test-suite: annual_volatility of these simple returns, 252 periods.
    assert sizing.annual_volatility(returns, 252) == pytest.approx(0.9136465399704637, rel=1e-12)


@given(p=st.floats(0.0, 1.0), b=st.floats(0.01, 100.0), other=st.floats(0.0, 0.999))
def test_whole_kelly_bet_grows_no_slower_than_any_other(p: float, b: float, other: float) -> None:
    def growth(f: float) -> float:
        won = p * math.log1p(b * f) if p else 0.0
        return won + ((1.0 - p) * math.log1p(-f) if p < 1.0 else 0.0)

    best = sizing.kelly_from_odds(p, b, fraction=1.0)
    assume(best < 1.0)
    assert growth(best) >= growth(other) - 1e-9


@given(p=SHARE, b=st.floats(0.01, 100.0), fraction=SHARE, cap=SHARE)
def test_fractional_kelly_bet_is_the_fraction_of_the_whole_one_within_the_cap(
    p: float, b: float, fraction: float, cap: float
) -> None:
    whole = sizing.kelly_from_odds(p, b, fraction=1.0, cap=math.inf)
    part = sizing.kelly_from_odds(p, b, fraction=fraction, cap=cap)
    assert part == pytest.approx(min(cap, fraction * whole))


@given(seed=st.integers(0, 1000), scale=st.floats(1e-4, 1e-3))
def test_kelly_of_small_returns_grows_no_slower_than_its_neighbours(
    seed: int, scale: float
) -> None:
    returns = np.random.default_rng(seed).normal(scale / 50.0, scale, 400)
    best = sizing.kelly_from_returns(returns, fraction=1.0, cap=math.inf)
    assume(best > 0.0)
    growth = [np.mean(np.log1p(f * returns)) for f in (0.8 * best, best, 1.25 * best)]
    assert growth[1] >= max(growth[0], growth[2])


def test_kelly_is_nothing_without_an_edge_and_short_only_when_asked() -> None:
    falling = np.array([-0.02, 0.01, -0.01])
    assert sizing.kelly_from_odds(0.4, 1.0) == 0.0
    assert sizing.kelly_from_returns(falling) == 0.0
    assert sizing.kelly_from_returns(falling, shorts=True) == -1.0
    assert sizing.kelly_from_returns(np.array([0.01])) == 0.0


@given(
    equity=EQUITY, entry=PRICE, distance=st.floats(0.001, 0.9), risk=SHARE, cost=st.floats(0, 0.01)
)
def test_risk_per_trade_loses_the_risk_at_the_stop_unless_it_is_capped(
    equity: float, entry: float, distance: float, risk: float, cost: float
) -> None:
    stop = entry * (1.0 - distance)
    quantity = sizing.risk_per_trade(equity, entry, stop, risk, cost=cost)
    lost = quantity * (entry - stop) + cost * quantity * (entry + stop)
    assert quantity * entry <= equity * (1 + 1e-12)
    assert lost <= risk * equity * (1 + 1e-9) + 1e-300
    if quantity * entry < equity * (1 - 1e-9):
        assert lost == pytest.approx(risk * equity)


def test_risk_per_trade_is_nothing_when_stop_and_entry_are_one() -> None:
    assert sizing.risk_per_trade(1000.0, 10.0, 10.0, 0.01) == 0.0
    assert sizing.risk_per_trade(-5.0, 10.0, 9.0, 0.01) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sizing.fixed_fraction(math.nan, 1.0, 1.0),
        lambda: sizing.fixed_fraction(1.0, 0.0, 1.0),
        lambda: sizing.volatility_target(-0.1, 0.1),
        lambda: sizing.kelly_from_odds(1.1, 1.0),
        lambda: sizing.kelly_from_odds(0.5, math.inf),
        lambda: sizing.kelly_from_returns(np.array([0.1, np.nan])),
        lambda: sizing.risk_per_trade(1.0, 1.0, -1.0, 0.1),
        lambda: sizing.risk_per_trade(1.0, 1.0, 0.9, math.nan),
    ],
)
def test_sizing_refuses_numbers_that_make_no_sense(wrong) -> None:
    with pytest.raises(InvalidData, match="expected"):
        wrong()
