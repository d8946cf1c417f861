"""Features: batch and online agree, nothing looks ahead, TA-Lib's reference values hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.errors import ConfigError, InvalidData
from tradelake.features import indicators
from tradelake.features.registry import BASIC_V1, feature_set
from tradelake.features.rolling import rolling_max, rolling_mean, rolling_min, rolling_std
from tradelake.market.arrays import BarArrays
from tradelake.market.records import Bar

MINUTE_NS = 60_000_000_000
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "indicators.json").read_text())


def golden_bars() -> BarArrays:
    i = np.arange(200)
    close = 100 + 10 * np.sin(0.1 * i) + 0.05 * i + ((37 * i) % 11) / 10
    open_ = np.concatenate(([close[0]], close[:-1]))
    high = np.maximum(open_, close) + 0.5 + ((13 * i) % 7) * 0.05
    low = np.minimum(open_, close) - 0.5 - ((17 * i) % 5) * 0.05
    volume = 1000.0 + ((53 * i) % 29) * 10
    return BarArrays("BTC/USD", "1m", i * MINUTE_NS, open_, high, low, close, volume)


@st.composite
def walks(draw: st.DrawFn, low: int = 1, high: int = 300) -> BarArrays:
    """Random walks in ticks, with flat stretches, at prices of very different size."""
    size = draw(st.integers(low, high))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tick = draw(st.sampled_from([1e-4, 0.01, 10.0]))
    moves = rng.integers(-20, 21, size) * (
        rng.random(size) < draw(st.sampled_from([0.02, 0.5, 1.0]))
    )
    close = (np.abs(2000 + np.cumsum(moves)) + 1) * tick
    open_ = np.concatenate(([close[0]], close[:-1]))
    top = np.maximum(open_, close) + rng.integers(0, 5, size) * tick
    bottom = np.minimum(open_, close) - np.minimum(
        rng.integers(0, 5, size) * tick, np.minimum(open_, close) / 2
    )
    volume = rng.integers(0, draw(st.sampled_from([1, 2, 1000])), size) / 8
    gaps = rng.integers(1, 3, size)
    return BarArrays(
        "BTC/USD", "1m", np.cumsum(gaps) * MINUTE_NS, open_, top, bottom, close, volume
    )


def records(bars: BarArrays) -> list[Bar]:
    columns = (bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return [
        Bar("BTC/USD", ts, ts, o, h, low, c, v, c, 1, "1m", "tradelake", "aggregate")
        for ts, o, h, low, c, v in zip(*(column.tolist() for column in columns), strict=True)
    ]


def agree(left: np.ndarray, right: np.ndarray) -> None:
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-10, equal_nan=True)


@settings(deadline=None, max_examples=60)
@given(walks())
def test_features_agree_in_batch_and_online_for_any_walk(bars: BarArrays) -> None:
    online = BASIC_V1.online()
    rows = np.array([online.update(bar) for bar in records(bars)])
    agree(rows, BASIC_V1.batch(bars))


@settings(deadline=None, max_examples=40)
@given(walks(low=130), st.data())
def test_features_do_not_look_ahead_when_history_is_cut(
    bars: BarArrays, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(bars)))
    agree(BASIC_V1.batch(bars.take(0, cut)), BASIC_V1.batch(bars)[:cut])


@settings(deadline=None, max_examples=25)
@given(walks(low=2), st.data())
def test_online_features_go_on_as_before_when_stored_and_restored(
    bars: BarArrays, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(bars) - 1))
    whole, first = BASIC_V1.online(), BASIC_V1.online()
    for bar in records(bars)[:cut]:
        whole.update(bar)
        first.update(bar)
    second = BASIC_V1.restore(first.dump())
    for bar in records(bars)[cut:]:
        np.testing.assert_array_equal(second.update(bar), whole.update(bar))


def test_online_states_stay_bounded_when_many_bars_pass() -> None:
    online = BASIC_V1.online()
    sizes = []
    for _ in range(2):
        for bar in records(golden_bars()):
            online.update(bar)
        sizes.append(len(online.dump()))
    assert sizes[1] <= sizes[0] + 16  # a counter may need more bytes


@pytest.mark.parametrize("feature", BASIC_V1.features, ids=lambda feature: feature.name)
def test_feature_has_its_stated_warmup_and_values_after_it(feature) -> None:
    values = feature.batch(golden_bars())
    assert np.isnan(values[: feature.warmup]).all()
    assert np.isfinite(values[feature.warmup :]).all()


@pytest.mark.parametrize("size", [1, 2, 14, 33, 34, 60, 120])
def test_feature_set_gives_one_row_a_bar_when_history_is_short(size: int) -> None:
    matrix = BASIC_V1.batch(golden_bars().take(0, size))
    assert matrix.shape == (size, len(BASIC_V1.names))
    assert np.isnan(matrix).any(axis=1).all()


def test_indicators_equal_the_reference_library_at_the_golden_bar() -> None:
    bars = golden_bars()
    close = bars.close[199]
    assert indicators.rsi(14).batch(bars)[199] * 100 == pytest.approx(GOLDEN["RSI14"], abs=1e-8)
    assert indicators.atr(14).batch(bars)[199] * close == pytest.approx(GOLDEN["ATR14"], abs=1e-8)
    histogram = indicators.macd_histogram(12, 26, 9).batch(bars)[199]
    assert histogram * close == pytest.approx(GOLDEN["MACD_histogram"], abs=1e-8)
    assert rolling_mean(bars.close, 20)[199] == pytest.approx(GOLDEN["SMA20"], abs=1e-8)


def test_feature_set_is_refused_when_unknown() -> None:
    with pytest.raises(ConfigError, match=r"basic-v1.*'basic-v0'"):
        feature_set("basic-v0")


@pytest.mark.parametrize("stored", [b"", b"\x93", b"\x92\xa8basic-v1\x90", b"\x92\xa1x\x90"])
def test_stored_states_are_refused_when_they_are_not_of_the_set(stored: bytes) -> None:
    with pytest.raises(InvalidData, match="feature_state"):
        BASIC_V1.restore(stored)


@settings(deadline=None)
@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=80).map(lambda v: np.array(v) / 8.0),
    st.integers(1, 70),
)
def test_rolling_statistics_equal_a_two_pass_oracle(values: np.ndarray, window: int) -> None:
    oracles = (
        (rolling_mean, np.mean),
        (rolling_max, np.max),
        (rolling_min, np.min),
        (rolling_std, np.std),
    )
    for rolling, oracle in oracles:
        expected = [
            oracle(values[i + 1 - window : i + 1]) if i + 1 >= window else np.nan
            for i in range(len(values))
        ]
        np.testing.assert_allclose(rolling(values, window), expected, rtol=1e-12, atol=1e-12)


def test_rolling_std_is_exactly_zero_when_the_window_is_flat() -> None:
    assert (rolling_std(np.full(100, 0.1), 60)[59:] == 0.0).all()
