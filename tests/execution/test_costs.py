"""Costs: what they become for the matching cores, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import ConfigError
from tradelake.execution.broker import terms
from tradelake.execution.brokers import ALPACA
from tradelake.execution.costs import (
    AlmgrenImpact,
    Costs,
    FillOptions,
    FixedSlippage,
    Latencies,
    Latency,
    PartialFills,
    Participation,
    Spread,
    SquareRootImpact,
    VolumeShareSlippage,
)
from tradelake.execution.realism import describe
from tradelake.execution.terms import Draw, Impact, Slippage


def test_costs_become_fractions_and_nanoseconds_when_made_terms() -> None:
    costs = Costs(
        spread=Spread(8.0),
        slippage=FixedSlippage(3.0),
        latency=Latencies(
            Latency.constant(1.5), Latency.uniform(10.0, 30.0), Latency.exponential(5.0, 20.0)
        ),
        participation=Participation(0.25),
        partial_fills=PartialFills(),
        fills=FillOptions(touch=True, beyond_top=True, own_trades_stay=False, queue="last"),
        delisting_haircut=0.2,
    )
    made = terms(ALPACA, costs, 2)
    assert (made.half_spread, made.slippage) == (0.0004, 0.0003)
    assert made.latency.dtype == np.int64
    assert made.latency.tolist() == [
        [Draw.CONSTANT, 1_500_000, 0],
        [Draw.UNIFORM, 10_000_000, 20_000_000],
        [Draw.EXPONENTIAL, 5_000_000, 20_000_000],
    ]
    assert (made.participation, made.partial_probability) == (0.25, 0.1)
    assert (made.touch, made.beyond_top, made.own_trades_stay) == (True, True, False)
    assert not made.queue_pro_rata
    assert made.delisting_haircut == 0.2


def test_volume_share_is_ziplines_when_a_twentieth_of_the_bar_is_ordered() -> None:
    # Zipline: order 100, volume 2,000, limit 2.5 %, impact 0.1, price 3.5 -> 50 at 3.50021875.
    costs = Costs(slippage=VolumeShareSlippage(0.1), participation=Participation(0.025))
    made = terms(ALPACA, costs, 2)
    assert made.slippage_kind == Slippage.VOLUME_SHARE
    filled = min(100.0, made.participation * 2_000.0)
    share = filled / 2_000.0
    assert filled == 50.0
    assert 3.5 * (1.0 + made.slippage * share * share) == pytest.approx(3.50021875, abs=1e-12)


def test_spread_and_participation_are_left_out_when_the_data_has_its_own() -> None:
    costs = Costs(spread=Spread(8.0), participation=Participation(0.2))
    spreads = [terms(ALPACA, costs, rung).half_spread for rung in (1, 2, 3, 4)]
    shares = [terms(ALPACA, costs, rung).participation for rung in (1, 2, 3, 4)]
    assert spreads == [0.0004, 0.0004, 0.0, 0.0]
    assert shares == [0.0, 0.2, 0.0, 0.0]


def test_default_slippage_stands_for_the_spread_when_there_are_only_bars() -> None:
    assert [terms(ALPACA, Costs(), rung).slippage for rung in (1, 2, 3, 4)] == [5e-4, 5e-4, 0, 0]
    fixed = Costs(slippage=FixedSlippage(2.0))
    assert [terms(ALPACA, fixed, rung).slippage for rung in (1, 4)] == [2e-4, 2e-4]


def test_impact_is_square_root_when_chosen() -> None:
    made = terms(ALPACA, Costs(impact=SquareRootImpact(0.9, 60)), 2)
    assert (made.impact_kind, made.impact, made.impact_power) == (Impact.SQUARE_ROOT, 0.9, 0.5)
    assert (made.impact_window, made.impact_permanent) == (60, 0.0)


def test_impact_is_almgrens_when_chosen() -> None:
    made = terms(ALPACA, Costs(impact=AlmgrenImpact(0.01, 0.002, 0.6, 30.0, 90)), 2)
    assert (made.impact_kind, made.impact, made.impact_power) == (Impact.ALMGREN, 0.01, 0.6)
    assert (made.impact_permanent, made.impact_half_life_ns) == (0.002, 30e9)
    assert made.impact_window == 90


def test_almgren_gives_the_papers_permanent_impact_when_a_tenth_of_the_day_trades() -> None:
    # Almgren et al. (2005), table 3, without shares outstanding: gamma 0.314, X/V = 0.1, sigma
    # 1.57 % -> 0.314 * 0.0157 * 0.1 = 4.93 bps, here 144 bars' volume of 1,440 in the day.
    impact = AlmgrenImpact.of_volatility(0.0157, 1440.0)
    assert impact.gamma * 144 == pytest.approx(4.9298e-4)
    # Over half a day the rate is 0.2 of the volume: 0.142 * 0.0157 * 0.2^0.6 = 8.49 bps.
    assert impact.eta * 0.2**impact.power == pytest.approx(8.488e-4, rel=1e-3)


def test_no_costs_are_none_when_asked_for() -> None:
    made = terms(ALPACA, Costs.none(), 2)
    assert (made.half_spread, made.slippage, made.participation) == (0.0, 0.0, 0.0)
    assert made.impact_kind == Impact.NONE
    assert not made.latency.any()
    assert made.partial_probability == 0.0


BAD = [
    (lambda: Spread(-1.0), "spread.bps"),
    (lambda: Spread(float("nan")), "spread.bps"),
    (lambda: Spread("5"), "spread.bps"),
    (lambda: FixedSlippage(10_000.0), "slippage.bps"),
    (lambda: FixedSlippage(True), "slippage.bps"),
    (lambda: VolumeShareSlippage(-0.1), "slippage.coefficient"),
    (lambda: SquareRootImpact(float("inf")), "impact.coefficient"),
    (lambda: SquareRootImpact(1.0, 0), "impact.window"),
    (lambda: SquareRootImpact(1.0, 1.5), "impact.window"),
    (lambda: AlmgrenImpact(-1.0, 0.0), "impact.eta"),
    (lambda: AlmgrenImpact(0.0, -1.0), "impact.gamma"),
    (lambda: AlmgrenImpact(0.0, 0.0, 3.0), "impact.power"),
    (lambda: AlmgrenImpact(0.0, 0.0, 0.6, -1.0), "impact.half_life_s"),
    (lambda: AlmgrenImpact.of_volatility(-0.1, 1440.0), "daily_volatility"),
    (lambda: AlmgrenImpact.of_volatility(0.1, 0.0), "bars_per_day"),
    (lambda: Latency(-1.0), "latency.constant_ms"),
    (lambda: Latency(1.0, "normal"), "latency.draw"),
    (lambda: Latency(1.0, "constant", 2.0), "latency.scale_ms"),
    (lambda: Latency.uniform(5.0, 4.0), "latency.high_ms"),
    (lambda: Latency.exponential(1.0, -1.0), "latency.scale_ms"),
    (lambda: Latencies(5.0), "latency.feed"),
    (lambda: PartialFills(1.1), "partial_fills.probability"),
    (lambda: Participation(-0.1), "participation.share"),
    (lambda: Participation(2.0), "participation.share"),
    (lambda: FillOptions(touch=1), "fills.touch"),
    (lambda: FillOptions(queue="first"), "fills.queue"),
    (lambda: Costs(spread=5.0), "spread"),
    (lambda: Costs(slippage=5.0), "slippage"),
    (lambda: Costs(impact=FixedSlippage()), "impact"),
    (lambda: Costs(delisting_haircut=1.1), "delisting_haircut"),
]


@pytest.mark.parametrize(("make", "field"), BAD)
def test_costs_refuse_and_name_the_field_when_it_makes_no_sense(make, field) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}: expected .*; found "):
        make()


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_latency_is_whole_nanoseconds_when_drawn_uniformly(low, width) -> None:
    kind, constant, scale = Latency.uniform(low, low + width).row
    assert (kind, type(constant), type(scale)) == (Draw.UNIFORM, int, int)
    assert constant + scale == pytest.approx((low + width) * 1e6, abs=2.0)


def test_realism_names_every_cost_when_there_are_some() -> None:
    costs = Costs(
        spread=Spread(8.0),
        impact=SquareRootImpact(),
        latency=Latencies(entry=Latency.uniform(10.0, 30.0)),
        partial_fills=PartialFills(),
    )
    text = describe(ALPACA, costs, 2)
    for part in (
        "Spread 8 bps",
        "square-root impact with coefficient 1",
        "entry latency 10 to 30 ms",
        "at random with probability 0.1",
        "at most 0.1 of a bar's volume",
    ):
        assert part in text
    assert "Not modelled: the order of prices" in text
