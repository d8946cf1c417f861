"""Which interval of history holds what a gap may have lost."""

from __future__ import annotations

import pytest

from tradelake.usecases.fill_plan import MARGINS

S = 1_000_000_000
DAY = 86_400 * S


@pytest.mark.parametrize(
    ("opened_s", "closed_s", "opens"),
    [
        (3_600, 3_660, [0]),
        (1, 60, [-1, 0]),
        (86_000, 86_460, [0, 1]),
        (3_600, 3 * 86_400 + 5, [0, 1, 2, 3]),
    ],
)
def test_every_day_that_a_gap_touches_is_asked_for_also_the_one_that_goes_on(
    opened_s, closed_s, opens
):
    start_ns, end_ns = MARGINS.widened("dailyBars", 9 * DAY + opened_s * S, 9 * DAY + closed_s * S)
    days = [day for day in range(-3, 6) if start_ns <= (9 + day) * DAY < end_ns]
    assert days == opens


def test_a_gap_within_a_day_asks_for_one_slice_of_daily_bars():
    start_ns, end_ns = MARGINS.widened("dailyBars", 9 * DAY + 7_200 * S, 9 * DAY + 7_300 * S)
    assert (start_ns, end_ns) == (9 * DAY, 9 * DAY + 1)
