"""Performance measures against published values, and their rules for the undefined."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.backtest import engine, metrics
from tradelake.errors import InvalidData
from tradelake.market.arrays import BarArrays
from tradelake.strategies.library import make

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text())
RETURNS = np.array(GOLDEN["returns"])
DAY_NS = 86_400_000_000_000


@pytest.mark.parametrize("periods", [252, 365])
@pytest.mark.parametrize("name", ["sharpe", "sortino", "volatility", "downside_risk"])
def test_annualised_measure_equals_the_published_value(name: str, periods: int) -> None:
    expected = GOLDEN[str(periods)][name]
    assert getattr(metrics, name)(RETURNS, periods) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["max_drawdown", "omega", "value_at_risk", "expected_shortfall"])
def test_measure_equals_the_published_value(name: str) -> None:
    assert getattr(metrics, name)(RETURNS) == pytest.approx(GOLDEN[name], abs=1e-9)


def test_cagr_goes_by_elapsed_time_when_returns_are_weekly() -> None:
    total = 1.006**26 - 1.0
    assert metrics.cagr(total, 25 * 7 * DAY_NS) == pytest.approx(0.383, abs=0.001)
    assert metrics.cagr(total, 26 * 7 * DAY_NS) == pytest.approx(0.366, abs=0.001)


@pytest.mark.parametrize("name", ["sharpe", "sortino", "volatility"])
def test_measure_is_nan_when_there_is_no_return(name: str) -> None:
    assert math.isnan(getattr(metrics, name)(np.array([]), 365))


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1])
def test_sharpe_is_nan_when_returns_are_flat(value: float) -> None:
    assert math.isnan(metrics.sharpe(np.full(7, value), 365))


def test_sortino_is_nan_when_nothing_fell() -> None:
    assert math.isnan(metrics.sortino(np.array([0.0, 0.1]), 365))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_returns_are_refused_when_one_is_not_finite(bad: float) -> None:
    with pytest.raises(InvalidData, match="period 1"):
        metrics.sharpe(np.array([0.1, bad]), 365)


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=50))
def test_drawdown_lies_between_total_loss_and_none(values: list[float]) -> None:
    assert -1.0 <= metrics.max_drawdown(np.array(values)) <= 0.0


def daily(close: list[float]) -> BarArrays:
    prices = np.array(close, dtype=np.float64)
    ts = np.arange(prices.size) * DAY_NS
    return BarArrays("BTC/USD", "1d", ts, prices, prices, prices, prices, prices)


def test_summary_holds_together_when_a_position_is_bought_and_kept() -> None:
    result = engine.run(daily([10, 10, 20, 5]), make("buy_and_hold", {}), fee_bps=0, slippage_bps=0)
    summary = metrics.summarise(result)
    assert summary.total_return == pytest.approx(-0.5)
    assert summary.max_drawdown == pytest.approx(-0.75)
    assert summary.exposure == 0.75
    assert summary.trades == 0
    assert summary.row()["win_rate"] is None
    assert summary.cagr == pytest.approx(0.5 ** (365 / 4) - 1)
    assert summary.sharpe == metrics.sharpe(result.returns(), 365)


def test_summary_is_undefined_rather_than_zero_when_nothing_was_traded() -> None:
    result = engine.run(daily([10, 11, 12]), make("buy_and_hold", {"fraction": 0.0}))
    row = metrics.summarise(result).row()
    assert (row["total_return"], row["volatility"], row["turnover"]) == (0.0, 0.0, 0.0)
    assert (row["sharpe"], row["sortino"]) == (None, None)
