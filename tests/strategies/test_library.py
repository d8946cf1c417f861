"""The library of strategies: declared parameters, no look-ahead, light imports."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.markets import bars_of, walk, walks
from tradelake.errors import ConfigError, InvalidData
from tradelake.features.registry import BASIC_V1
from tradelake.market.arrays import FloatArray
from tradelake.strategies import library
from tradelake.strategies.library import STRATEGIES, make
from tradelake.strategies.panel import Panel


@dataclass(frozen=True)
class MomentumPredictor:
    """Probability from the one-bar return."""

    feature_set: str = "basic-v1"
    train_end_ns: int = 0

    def predict_proba(self, features: FloatArray) -> FloatArray:
        return 1.0 / (1.0 + np.exp(-1000.0 * features[:, 0]))


@dataclass(frozen=True)
class MomentumRegressor:
    """Expects the one-bar return again."""

    feature_set: str = "basic-v1"
    train_end_ns: int = 0

    def predict(self, features: FloatArray) -> FloatArray:
        return features[:, 0]


MODELS = {"ml_classifier": MomentumPredictor(), "ml_regressor": MomentumRegressor()}
SMALL = {
    "sma_cross": {"fast": 3, "slow": 7},
    "bollinger_reversion": {"window": 5, "width": 1.0},
    "macd": {"fast": 3, "slow": 7, "signal": 4, "below": -1.0},
    "rsi": {"period": 4, "low": 40.0, "high": 60.0},
    "ts_momentum": {"lookback": 5, "every": 3, "volatility": 0.01, "volatility_window": 8},
    "ml_regressor": {"enter_bps": 50.0, "scaling": True, "short": True},
    "xs_momentum": {"lookback": 5, "every": 3, "top": 1},
    "pairs": {"window": 12, "entry": 1.0, "exit": 0.2, "short": True},
}
SIGNALS = [name for name, entry in STRATEGIES.items() if entry.style == "signals"]
PANELS = [name for name, entry in STRATEGIES.items() if entry.style == "panel"]


def build(name: str, **params: object):
    return library.build(name, {**SMALL.get(name, {}), **params}, MODELS.get(name))


@pytest.mark.parametrize("name", SIGNALS)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 200))
def test_strategy_decides_the_same_when_the_future_is_cut_off(
    name: str, seed: int, cut: int
) -> None:
    bars = walk(seed)
    strategy = build(name)
    whole = strategy.signals(bars)
    assert whole.shape == (200,)
    np.testing.assert_array_equal(strategy.signals(bars.take(0, cut)), whole[:cut])


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("name", PANELS)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 190))
def test_panel_strategy_decides_the_same_when_the_future_is_cut_off(
    name: str, short: bool, seed: int, cut: int
) -> None:
    panel = Panel.of(walks(seed))
    strategy = build(name, short=short)
    whole = strategy.signals_of(panel)
    assert whole.shape == panel.close.shape
    np.testing.assert_array_equal(strategy.signals_of(panel.take(cut)), whole[:cut])
    assert (np.abs(whole).sum(axis=1) <= 1.0 + 1e-12).all()
    assert short or (whole >= 0.0).all()


@pytest.mark.parametrize("name", SIGNALS)
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
        ("pairs", {}, ["pairs", "needs several symbols"]),
        ("grid", {}, ["grid", "needs events"]),
        ("rsi", {"low": 80.0}, ["rsi", "low", "less than high"]),
        ("xs_momentum", {"short": 1}, ["short", "a bool", "1"]),
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
        "import importlib, pkgutil, sys, tradelake.strategies as s\n"
        "names = [m.name for m in pkgutil.walk_packages(s.__path__, s.__name__ + '.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "heavy = ('numba', 'xgboost', 'talib', 'scipy', 'sklearn', 'pandas')\n"
        "print(len(names) > 15, [m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"
