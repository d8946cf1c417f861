"""Windows that impact looks back at (C2): those of the twin, however rows come and however many."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.execution.twin.costs import trailing_volume, volatility
from tradelake.execution.twin.state import Market
from tradelake.execution.windows import Windows

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.floats(1e-3, 1e6), st.floats(0.0, 1e9)), max_size=60
)


@given(ROWS, st.integers(1, 9), st.lists(st.integers(0, 60), max_size=4))
def test_windows_are_the_twins_to_the_last_bit_when_rows_come_in_pieces(
    rows: list[tuple[int, float, float]], window: int, cuts: list[int]
) -> None:
    markets, expected = [Market() for _ in range(3)], []
    for number, price, size in rows:
        market = markets[number]
        market.closes.append(price)
        market.volumes.append(size)
        expected.append((trailing_volume(market, window), volatility(market, window)))
    windows, told = Windows(1, window), np.array(rows).reshape(-1, 3)
    bounds = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    found = [
        windows.add(part[:, 0].astype(np.int64), part[:, 1], part[:, 2]).tolist()
        for part in (told[first:last] for first, last in pairwise(bounds))
    ]
    assert [one for part in found for one in part] == expected


def test_windows_are_mean_and_deviation_when_they_are_long() -> None:
    drawn = np.random.default_rng(3)
    prices, sizes = np.exp(np.cumsum(drawn.normal(0.0, 1e-3, 5_000))), drawn.exponential(5.0, 5_000)
    found = Windows(1, 1_440).add(np.zeros(5_000, np.int64), prices, sizes)
    returns = np.diff(np.log(prices))
    for row in (3, 1_439, 1_440, 1_441, 2_879, 2_880, 4_999):
        first = max(row - 1_439, 0)
        assert found["volume"][row] == pytest.approx(sizes[first : row + 1].mean(), rel=1e-12)
        deviation = returns[max(row - 1_440, 0) : row].std()
        assert found["volatility"][row] == pytest.approx(deviation, rel=1e-9)


def test_small_volumes_are_not_lost_after_a_large_one() -> None:
    sizes = np.array([1e18, 1e-3, 1e-3, 1e-3, 1e-3, 0.0, 0.0, 0.0])
    found = Windows(1, 3).add(np.zeros(8, np.int64), np.ones(8), sizes)
    assert found["volume"][[3, 4, 7]].tolist() == [0.003 / 3, 0.003 / 3, 0.0]
    assert math.copysign(1.0, found["volume"][7]) == 1.0
