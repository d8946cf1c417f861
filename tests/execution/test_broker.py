"""Brokers: fees by tier and date, what is refused, and what the matching cores are told."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import ConfigError
from tradelake.execution.broker import (
    DAY_NS,
    BrokerRules,
    FeeSchedule,
    FeeTier,
    fee_rows,
    flat_fee,
    terms,
)
from tradelake.execution.brokers import ALPACA, BROKERS, IDEAL, broker
from tradelake.execution.costs import Costs
from tradelake.execution.instruments import InstrumentHistory, MinimumNotional
from tradelake.execution.layout import OrderType, Reason, TimeInForce
from tradelake.execution.realism import describe
from tradelake.execution.rules import ALPACA_TAKER_BPS, Rules
from tradelake.execution.terms import Rung

NOW_NS = 1_780_000_000_000_000_000
"""May 2026."""
# Maker and taker bps by 30-day notional: https://alpaca.markets/support/crypto-maker-taker-gmt-faq
PUBLISHED = [
    (0, 15, 25),
    (100_000, 12, 22),
    (500_000, 10, 20),
    (1_000_000, 8, 18),
    (10_000_000, 5, 15),
    (25_000_000, 2, 13),
    (50_000_000, 2, 12),
    (100_000_000, 0, 10),
]


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(("notional", "maker", "taker"), PUBLISHED)
def test_alpaca_charges_what_it_published_when_a_tier_is_reached(notional, maker, taker) -> None:
    tier = ALPACA.tier(NOW_NS, [NOW_NS - DAY_NS], [float(notional)])
    assert (tier.maker_bps, tier.taker_bps) == (maker, taker)


@pytest.mark.parametrize(("below", "above"), list(pairwise(PUBLISHED)))
def test_alpaca_charges_the_tier_below_when_a_cent_is_missing(below, above) -> None:
    tier = ALPACA.tier(NOW_NS, [NOW_NS - DAY_NS], [above[0] - 0.01])
    assert (tier.maker_bps, tier.taker_bps) == below[1:]


def test_fee_is_that_of_alpacas_examples_when_two_bitcoin_trade_at_40000() -> None:
    # Alpaca's fee page: 0.005 BTC and 200 USD as a taker, 0.003 BTC and 120 USD as a maker.
    tiers = terms(ALPACA, Costs(), Rung.NEXT_OPEN).tiers
    maker, taker = tiers[tiers[:, 0] <= NOW_NS][-len(PUBLISHED), 2:]
    units, cash = 2 * 10**9, 80_000 * 10**8
    assert np.rint(units * np.array([taker, maker])).tolist() == [5_000_000, 3_000_000]
    assert np.rint(cash * np.array([taker, maker])).tolist() == [200 * 10**8, 120 * 10**8]


def test_tier_counts_from_the_next_day_when_a_fill_reaches_it() -> None:
    noon = NOW_NS // DAY_NS * DAY_NS + DAY_NS // 2
    fees = [ALPACA.tier(noon + days * DAY_NS, [noon], [1e5]).taker_bps for days in (0, 1, 30, 31)]
    assert fees == [25.0, 22.0, 22.0, 25.0]


def test_tier_changes_at_midnight_utc_when_the_fill_was_a_moment_before() -> None:
    midnight = NOW_NS // DAY_NS * DAY_NS
    assert ALPACA.tier(midnight - 1, [midnight - 1], [1e5]).taker_bps == 25.0
    assert ALPACA.tier(midnight, [midnight - 1], [1e5]).taker_bps == 22.0


@pytest.mark.parametrize(
    ("when", "maker"),
    [("2020-01-01", 15), ("2022-08-12", 25), ("2023-03-12T23:59:59", 25), ("2023-03-13", 15)],
)
def test_alpaca_charges_makers_by_date_when_the_table_changed(when, maker) -> None:
    assert ALPACA.schedule(ns(when)).tier(0.0).maker_bps == maker


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1e7)), max_size=20), st.integers(0, 40))
def test_tier_is_that_of_the_sum_when_fills_come_in_any_order(fills, day) -> None:
    given_tier = ALPACA.tier(day * DAY_NS, [d * DAY_NS for d, _ in fills], [v for _, v in fills])
    backwards = fills[::-1]
    same = ALPACA.tier(day * DAY_NS, [d * DAY_NS for d, _ in backwards], [v for _, v in backwards])
    total = sum(value for of, value in fills if day - 30 <= of < day)
    below = [taker for notional, _, taker in PUBLISHED if notional <= total * (1 - 1e-9)]
    above = [taker for notional, _, taker in PUBLISHED if notional <= total * (1 + 1e-9)]
    assert given_tier == same
    assert given_tier.taker_bps in {below[-1] if below else 25, above[-1]}


def test_fee_rows_are_sorted_by_date_then_notional_when_there_are_several_tables() -> None:
    rows = fee_rows(ALPACA)
    assert rows.shape == (24, 4)
    assert sorted(map(tuple, rows[:, :2])) == [tuple(row) for row in rows[:, :2]]
    assert rows[-1].tolist() == [1_678_665_600_000_000_000.0, 1e16, 0.0, 0.001]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"fees": ()}, "fees"),
        ({"fees": [FeeSchedule(0, (FeeTier(0.0, 1.0, 1.0),))]}, "fees"),
        ({"fees": (FeeSchedule(5, (FeeTier(0.0, 1.0, 1.0),)),)}, "fees.*schedule from 0"),
        ({"fees": flat_fee(1.0) + flat_fee(2.0)}, "fees.*rising date"),
        ({"fees_assumed_until_ns": -1}, "fees_assumed_until_ns"),
        ({"order_types": frozenset()}, "order_types.*at least one"),
        ({"order_types": frozenset({0})}, "order_types"),
        ({"order_types": {OrderType.MARKET}}, "order_types"),
        ({"order_types": frozenset({OrderType.LIMIT})}, "hold_unoffered"),
        ({"tifs": frozenset()}, "tifs"),
        ({"allow_short": 1}, "allow_short"),
        ({"brackets": None}, "brackets"),
        ({"in_halt": "reject"}, "in_halt"),
        ({"largest_notional": float("nan")}, "largest_notional"),
        ({"largest_notional": -1.0}, "largest_notional"),
        ({"rejections": {8: None}}, "rejections"),
        ({"rejections": {Reason.HALTED: "no"}}, "rejections"),
        ({"minimum_notional": 10.0}, "minimum_notional"),
        ({"minimum_notional": (10.0,)}, "minimum_notional"),
        (
            {"minimum_notional": (MinimumNotional(5, 1.0), MinimumNotional(5, 2.0))},
            "minimum_notional.*rising",
        ),
    ],
)
def test_rules_refuse_and_name_the_field_when_it_makes_no_sense(change, said) -> None:
    with pytest.raises(ConfigError, match=said):
        BrokerRules(**{"name": "venue", **change})


@pytest.mark.parametrize(
    "make",
    [
        lambda: FeeTier(-1.0, 1.0, 1.0),
        lambda: FeeTier(0.0, -1.0, 1.0),
        lambda: FeeTier(0.0, 1.0, 10_000.0),
        lambda: FeeTier(0.0, 1.0, float("inf")),
        lambda: FeeSchedule(0, ()),
        lambda: FeeSchedule(0, ((0.0, 1.0, 1.0),)),
        lambda: FeeSchedule(0, (FeeTier(1.0, 1.0, 1.0),)),
        lambda: FeeSchedule(0, (FeeTier(0.0, 1.0, 1.0), FeeTier(0.0, 1.0, 1.0))),
        lambda: FeeSchedule(-1, (FeeTier(0.0, 1.0, 1.0),)),
        lambda: FeeSchedule(1.5, (FeeTier(0.0, 1.0, 1.0),)),
        lambda: MinimumNotional(0, float("nan")),
        lambda: MinimumNotional(-1, 1.0),
    ],
)
def test_fee_tables_refuse_when_they_make_no_sense(make) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make()


def test_terms_offer_every_type_when_we_hold_what_the_venue_does_not_take() -> None:
    assert terms(ALPACA, Costs(), 2).types_offered == 0b11111
    assert ALPACA.types_held == {OrderType.STOP, OrderType.TRAILING_STOP}
    assert ALPACA.brackets_taken


def test_terms_offer_the_venues_types_alone_when_nothing_is_held() -> None:
    strict = BrokerRules(
        "strict", order_types=ALPACA.order_types, brackets=False, hold_unoffered=False
    )
    bits = {1 << OrderType.MARKET, 1 << OrderType.LIMIT, 1 << OrderType.STOP_LIMIT}
    assert terms(strict, Costs(), 2).types_offered == sum(bits)
    assert not strict.brackets_taken


def test_terms_carry_alpacas_limits_when_made_for_it() -> None:
    made = terms(ALPACA, Costs(), 2, seed=7)
    assert (made.rung, made.seed, made.cap) == (2, 7, 200_000 * 10**8)
    assert not made.allow_short
    assert not made.fee_in_quote
    assert made.halt_waits
    assert made.tifs_offered == (1 << TimeInForce.GTC) + (1 << TimeInForce.IOC)


def test_terms_charge_nothing_when_the_broker_is_ideal() -> None:
    made = terms(IDEAL, Costs.none(), 1)
    assert made.tiers.tolist() == [[0.0, 0.0, 0.0, 0.0]]
    assert (made.half_spread, made.slippage, made.cap, made.participation) == (0.0, 0.0, 0, 0.0)
    assert made.allow_short
    assert IDEAL.instruments(InstrumentHistory(), ["A/USD"], [1.0])["increment"][0] == 0


@pytest.mark.parametrize(("rung", "seed"), [(0, 0), (5, 0), (1, -1), (1, 2**63), (1, 0.5)])
def test_terms_refuse_when_rung_or_seed_is_unknown(rung, seed) -> None:
    with pytest.raises(ConfigError, match=r"rung|seed"):
        terms(ALPACA, Costs(), rung, seed)


@pytest.mark.parametrize("reason", list(Reason))
def test_alpaca_answers_any_rejection_when_asked(reason) -> None:
    answer = ALPACA.rejection(reason, symbol="BTC/USD", asset="BTC")
    assert answer.http in {403, 404, 422}
    assert str(answer.code).startswith(str(answer.http)[:1])
    assert "{" not in answer.message


def test_alpaca_names_what_is_missing_when_the_balance_does_not_suffice() -> None:
    answer = ALPACA.rejection(
        Reason.INSUFFICIENT_QUANTITY, asset="BTC", requested="1", available="0.5"
    )
    assert (answer.http, answer.code) == (403, 40310000)
    assert answer.message == "insufficient balance for BTC (requested: 1, available: 0.5)"


def test_rules_are_the_same_when_sent_to_another_process() -> None:
    sent = pickle.loads(pickle.dumps(ALPACA))
    assert sent == ALPACA
    assert sent.rejections == ALPACA.rejections
    assert asdict(ALPACA)["fees"][0]["tiers"][0]["taker_bps"] == 25.0


def test_brokers_load_no_compiler_when_imported() -> None:
    code = (
        "import sys, tradelake.execution.brokers, tradelake.execution.realism;"
        "print([name for name in ('numba', 'llvmlite', 'pandas') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_broker_is_found_when_named_given_or_importable() -> None:
    assert broker() is BROKERS["alpaca"] is ALPACA
    assert broker(IDEAL) is IDEAL
    assert broker("tradelake.execution.brokers.ideal:IDEAL") is IDEAL


@pytest.mark.parametrize(
    "name", ["", "nobody", "no.such.module:X", "tradelake.errors:ConfigError", ":X", ".a:X", "os:"]
)
def test_broker_refuses_when_the_name_leads_nowhere(name) -> None:
    with pytest.raises(ConfigError, match="broker"):
        broker(name)


def test_first_engines_rules_charge_alpacas_lowest_tier_when_nothing_is_said() -> None:
    assert ALPACA_TAKER_BPS == 25.0
    assert Rules().fee == terms(ALPACA, Costs(), 1).tiers[-8, 3]


@pytest.mark.parametrize("rung", list(Rung))
def test_realism_names_rung_fees_and_gaps_when_asked(rung) -> None:
    text = describe(ALPACA, Costs(), rung, symbols=["BTC/USD"], start_ns=0, end_ns=NOW_NS)
    assert text.startswith(f"Rung {rung.value}: ")
    assert "No fees are known before 2022-08-12; these are assumed." in text
    assert "stop, trailing stop, bracket orders: we hold them" in text
    assert "Nothing is known of BTC/USD" in text
    assert "Not modelled: latency, market impact" in text


def test_realism_tells_one_table_when_the_run_is_within_it() -> None:
    text = describe(ALPACA, Costs(), 2, start_ns=ns("2024-01-01"), end_ns=NOW_NS)
    assert "fees maker 15 and taker 25 bps, falling in 8 tiers" in text
    assert "then maker" not in text
    assert "assumed" not in text
