"""Golden values are those of Bailey and Lopez de Prado (2014); N = 100 is published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import InsufficientData
from tradelake.research.selection import (
    expected_maximum_normal,
    expected_maximum_sharpe,
    sharpe_standard_error,
)


@pytest.mark.parametrize(
    ("trials", "expected"), [(10, 1.5745983), (100, 2.5306029), (1000, 3.2551215)]
)
def test_expected_maximum_equals_the_published_value(trials: int, expected: float) -> None:
    assert expected_maximum_normal(trials) == pytest.approx(expected, abs=5e-8)


@pytest.mark.parametrize("trials", [3, 5, 20, 200])
def test_expected_maximum_is_within_three_per_cent_of_a_simulation(trials: int) -> None:
    draws = np.random.default_rng(1).standard_normal((40_000, trials)).max(axis=1)
    error = draws.std() / math.sqrt(len(draws))
    tolerance = 0.03 * expected_maximum_normal(trials) + 3 * error
    assert abs(draws.mean() - expected_maximum_normal(trials)) < tolerance


@given(st.integers(1, 100_000))
def test_expected_maximum_grows_with_every_trial(trials: int) -> None:
    assert expected_maximum_normal(trials + 1) > expected_maximum_normal(trials)


def test_expected_maximum_is_refused_when_there_is_no_trial() -> None:
    with pytest.raises(InsufficientData, match="found 0"):
        expected_maximum_normal(0)


def test_expected_sharpe_equals_the_published_value_of_the_deflated_sharpe_example() -> None:
    # V[SR] = 0.5 a year over N = 100 trials gives SR0 = 1.7894 a year
    sharpes = [-math.sqrt(0.5), 0.0, math.sqrt(0.5)]
    assert expected_maximum_sharpe(sharpes, trials=100) == pytest.approx(1.7894, abs=5e-5)


def test_expected_sharpe_counts_the_given_trials_when_no_number_is_named() -> None:
    assert expected_maximum_sharpe([1.0, 2.0, 4.0]) == expected_maximum_sharpe([1.0, 2.0, 4.0], 3)


def test_expected_sharpe_is_refused_when_there_is_one_trial() -> None:
    with pytest.raises(InsufficientData, match="at least two"):
        expected_maximum_sharpe([1.0])


def test_standard_error_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(3)
    returns = rng.normal(0.001, 0.02, (20_000, 365))
    ratios = returns.mean(axis=1) / returns.std(axis=1, ddof=1) * math.sqrt(365)
    sharpe = 0.05 * math.sqrt(365)
    assert ratios.std() == pytest.approx(sharpe_standard_error(sharpe, 1.0, 365), rel=0.02)


@pytest.mark.parametrize(("years", "periods"), [(0.0, 365.0), (1.0, 0.0), (math.nan, 365.0)])
def test_standard_error_is_refused_when_there_is_no_span(years: float, periods: float) -> None:
    with pytest.raises(InsufficientData):
        sharpe_standard_error(1.0, years, periods)
