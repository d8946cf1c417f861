"""The library of strategies: declared parameters, no look-ahead, light imports."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.errors import ConfigError, InvalidData
from tradelake.features.registry import BASIC_V1
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.library import STRATEGIES, make

HOUR_NS = 3_600_000_000_000


def bars_of(close: FloatArray) -> BarArrays:
    close = np.asarray(close, dtype=np.float64)
    return BarArrays(
        "BTC/USD",
        "1h",
        np.arange(close.size) * HOUR_NS,
        close,
        close * 1.01,
        close * 0.99,
        close,
        np.ones(close.size),
    )


@dataclass(frozen=True)
class MomentumPredictor:
    """Probability from the one-bar return."""

    feature_set: str = "basic-v1"
    train_end_ns: int = 0

    def predict_proba(self, features: FloatArray) -> FloatArray:
        return 1.0 / (1.0 + np.exp(-1000.0 * features[:, 0]))


def build(name: str):
    small = {
        "sma_cross": {"fast": 3, "slow": 7},
        "bollinger_reversion": {"window": 5, "width": 1.0},
    }
    predictor = MomentumPredictor() if name == "ml_classifier" else None
    return make(name, small.get(name, {}), predictor)


@pytest.mark.parametrize("name", STRATEGIES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 200))
def test_strategy_decides_the_same_when_the_future_is_cut_off(
    name: str, seed: int, cut: int
) -> None:
    rng = np.random.default_rng(seed)
    bars = bars_of(100 * np.exp(np.cumsum(rng.normal(0, 0.02, 200))))
    strategy = build(name)
    whole = strategy.signals(bars)
    assert whole.shape == (200,)
    np.testing.assert_array_equal(strategy.signals(bars.take(0, cut)), whole[:cut])


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_gives_no_signal_when_there_are_no_bars(name: str) -> None:
    assert build(name).signals(bars_of(np.array([]))).shape == (0,)


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("sma_cross", {"fast": 0}, ["sma_cross", "fast", "0", "[1, 100000]"]),
        ("sma_cross", {"fast": 2.5}, ["fast", "2.5", "int"]),
        ("sma_cross", {"fast": True}, ["fast", "True"]),
        ("sma_cross", {"fast": "10"}, ["fast", "'10'"]),
        ("sma_cross", {"fast": 50, "slow": 20}, ["fast", "less than slow", "20", "50"]),
        ("sma_cross", {"fsat": 5}, ["fsat", "fast, slow, below"]),
        ("bollinger_reversion", {"width": float("nan")}, ["width", "nan", "[0.1, 10.0]"]),
        ("ml_classifier", {}, ["ml_classifier", "needs a model"]),
        ("moon", {}, ["moon", "buy_and_hold"]),
    ],
)
def test_strategy_is_refused_with_every_detail_when_parameters_are_wrong(
    name, params, words
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(name, params)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_sma_cross_enters_on_the_cross_alone_when_the_fast_average_starts_above() -> None:
    close = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3, 4, 5], dtype=float)
    targets = make("sma_cross", {"fast": 1, "slow": 3}).signals(bars_of(close))
    assert targets.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_sma_cross_stays_flat_when_prices_do_not_move() -> None:
    close = np.concatenate((np.full(50, 3.3), np.full(500, 1.1)))
    targets = make("sma_cross", {"fast": 3, "slow": 7}).signals(bars_of(close))
    assert np.count_nonzero(np.diff(targets)) == 0


def test_donchian_enters_above_the_channel_and_leaves_below_it() -> None:
    close = np.array([10, 10, 10, 12, 12, 12, 9, 9], dtype=float)
    targets = make("donchian", {"entry": 2, "exit": 2}).signals(bars_of(close))
    assert targets.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]


def test_bollinger_reversion_buys_below_the_band_and_leaves_at_the_mean() -> None:
    close = np.array([10, 10.1, 10, 10.1, 8, 8.5, 11, 11], dtype=float)
    targets = make("bollinger_reversion", {"window": 4, "width": 1.5}).signals(bars_of(close))
    assert targets.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]


def test_ml_classifier_has_no_position_when_features_are_warming_up() -> None:
    close = 100 * np.exp(np.linspace(0, 3, 300))
    targets = build("ml_classifier").signals(bars_of(close))
    assert (targets[: BASIC_V1.warmup] == 0.0).all()
    assert (targets[BASIC_V1.warmup :] == 1.0).all()


def test_ml_classifier_keeps_its_position_between_the_thresholds() -> None:
    rng = np.random.default_rng(5)
    bars = bars_of(100 * np.exp(np.cumsum(rng.normal(0, 3e-4, 400))))
    strategy = make(
        "ml_classifier", {"threshold_long": 0.6, "threshold_exit": 0.4}, MomentumPredictor()
    )
    targets = strategy.signals(bars)
    probability = MomentumPredictor().predict_proba(BASIC_V1.batch(bars))
    held = 0.0
    for i in range(BASIC_V1.warmup, 400):
        held = 1.0 if probability[i] >= 0.6 else 0.0 if probability[i] < 0.4 else held
        assert targets[i] == held


def test_ml_classifier_refuses_answers_that_are_no_probabilities() -> None:
    class Wrong(MomentumPredictor):
        def predict_proba(self, features: FloatArray) -> FloatArray:
            return np.full(len(features), np.nan)

    with pytest.raises(InvalidData, match="prediction"):
        make("ml_classifier", {}, Wrong()).signals(bars_of(np.linspace(1, 2, 200)))


def test_ml_classifier_is_refused_when_the_exit_lies_above_the_entry() -> None:
    with pytest.raises(ConfigError, match="threshold_exit"):
        make("ml_classifier", {"threshold_long": 0.4, "threshold_exit": 0.6}, MomentumPredictor())


def test_strategies_load_neither_compiler_nor_learner() -> None:
    code = (
        "import sys, tradelake.strategies.library;"
        "print([m for m in ('numba', 'xgboost', 'talib', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
