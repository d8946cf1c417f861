"""Curves, axes, heat maps and numbers of the report."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tradelake.research.report import Run, RunMetrics, thin
from tradelake.research.report.axes import Scale, nice_step, number_ticks, time_ticks
from tradelake.research.report.heatmaps import heat_maps
from tradelake.research.report.text import DASH, duration, number, percent, size

DAY_NS = 86_400 * 10**9
values = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(values, max_size=400), st.integers(4, 60))
def test_thin_keeps_ends_extremes_and_order(heights: list[float], limit: int) -> None:
    curve = tuple(enumerate(heights))
    kept = thin(curve, limit)
    assert len(kept) <= limit
    assert set(kept) <= set(curve)
    assert list(kept) == sorted(kept)
    if heights:
        assert (kept[0], kept[-1]) == (curve[0], curve[-1])
        levels = [level for _, level in kept]
        assert (min(levels), max(levels)) == (min(heights), max(heights))


def test_thin_drops_what_is_not_finite() -> None:
    assert thin([(0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)]) == ((0, 1.0), (3, 2.0))


def test_thin_is_refused_when_the_limit_cannot_hold_extremes() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        thin([(0, 1.0)], 3)


@given(st.floats(1e-9, 1e9), st.integers(2, 12))
def test_nice_step_cuts_a_span_in_at_most_the_wanted_parts(span: float, target: int) -> None:
    step = nice_step(span, target)
    assert target / 2.6 <= span / step <= target * (1 + 1e-6)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_on_the_axis_and_tell_each_other_apart(low: float, span: float) -> None:
    ticks = number_ticks(Scale(low, low + span, 0, 100), 6)
    assert all(-0.01 <= tick.at <= 100.01 for tick in ticks)
    assert len({tick.label for tick in ticks}) == len(ticks)


@given(st.integers(0, 3 * 10**18), st.integers(1, 40 * 365 * DAY_NS))
def test_time_ticks_lie_on_the_axis_and_are_few(low_ns: int, span_ns: int) -> None:
    ticks = time_ticks(low_ns, low_ns + span_ns)
    assert len(ticks) <= 8
    assert all(0 <= tick.at <= 100 for tick in ticks)


def test_time_ticks_stand_on_the_first_of_months_when_the_span_is_long() -> None:
    start_ns = 1_704_067_200 * 10**9
    labels = [tick.label for tick in time_ticks(start_ns, start_ns + 365 * DAY_NS)]
    assert labels == ["Jan 2024", "Mar 2024", "May 2024", "Jul 2024", "Sep 2024", "Nov 2024"]


def _run(x: object, y: object, sharpe: float | None, **more: object) -> Run:
    status = "failed" if sharpe is None else "succeeded"
    params = {"fast": x, "slow": y, **more}
    metrics = RunMetrics(sharpe=sharpe)
    return Run(f"{x}-{y}", "cross", "BTC/USD", "1h", params, status, metrics)  # type: ignore[arg-type]


def test_heat_map_shows_each_point_with_its_sign_and_its_failures() -> None:
    (heat_map,) = heat_maps(
        [_run(5, 30, 1.0), _run(10, 30, -2.0), _run(5, 50, None), _run(2, 50, 0.0)]
    )
    (panel,) = heat_map.panels
    assert (heat_map.x_name, heat_map.y_name, heat_map.limit) == ("fast", "slow", "2.0")
    assert panel.across == ("2", "5", "10")
    cells = {name: [(c.text, c.css) for c in row] for name, row in panel.rows}
    assert cells == {
        "30": [("", "absent"), ("1.00", "hp2 best"), ("−2.00", "hn5")],
        "50": [("0.00", "h0"), (DASH, "failed"), ("", "absent")],
    }


def test_heat_map_takes_the_median_over_the_other_parameters_when_three_are_swept() -> None:
    runs = [
        _run(fast, slow, 0.5 * fast + stop, stop=stop)
        for fast in (1, 2, 3, 4)
        for slow in (7, 8, 9)
        for stop in (-1.0, 5.0)
    ]
    (heat_map,) = heat_maps(runs)
    assert heat_map.folded == ("stop",)
    assert [cell.text for cell in heat_map.panels[0].rows[0][1]] == ["2.50", "3.00", "3.50", "4.00"]


def test_heat_map_is_left_out_when_one_parameter_is_swept() -> None:
    assert heat_maps([_run(5, 30, 1.0), _run(6, 30, 1.0)]) == ()


def test_heat_map_leads_with_the_median_when_there_are_many_symbols() -> None:
    runs = [
        replace(_run(x, y, s / 10), symbol=f"S{s}/USD")
        for s in range(20)
        for x in (1, 2)
        for y in (1, 2)
    ]
    (heat_map,) = heat_maps(runs)
    titles = [panel.title for panel in heat_map.panels]
    assert titles[:2] == ["Median over all symbols", "S19/USD · 1h"]
    assert (len(titles), heat_map.left_out) == (6, 15)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_number_is_a_dash_when_it_is_not_known(value: float | None) -> None:
    assert number(value) == percent(value) == DASH


def test_number_has_no_sign_when_it_rounds_to_zero() -> None:
    assert (number(-0.001), number(-0.01), percent(-0.00001)) == ("0.00", "−0.01", "0.00\u00a0%")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9996, "1.0\u00a0s"),
        (59.96, "1\u00a0min 00\u00a0s"),
        (3599.9, "1\u00a0h 00\u00a0min"),
        (math.nan, DASH),
    ],
)
def test_duration_carries_into_the_next_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.integers(0, 10**18))
def test_size_never_falls_back_on_an_exponent(value: int) -> None:
    assert "e" not in size(value)
