"""Partial bars add up to the same bar however trades are cut and ordered."""

from decimal import Decimal
from fractions import Fraction
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from tradelake.market.records import Trade
from tradelake.stream.partial_bars import SCALE, merge, of_trade, to_bar

PRICES = st.floats(1e-9, 1e7, allow_nan=False)
SIZES = st.floats(0.0, 1e9, allow_nan=False)
TRADES = st.builds(
    Trade,
    st.just("BTC/USD"),
    st.integers(0, 5),
    st.integers(0, 9),
    st.integers(0, 3),
    PRICES,
    SIZES,
)
PARTS = TRADES.map(of_trade)


def total(trades):
    return reduce(merge, map(of_trade, trades))


@given(PARTS, PARTS)
def test_merge_is_commutative(one, other):
    assert merge(one, other) == merge(other, one)


@given(PARTS, PARTS, PARTS)
def test_merge_is_associative(one, two, three):
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(st.lists(TRADES, min_size=1, max_size=30), st.data())
def test_a_bar_is_identical_when_its_trades_are_shuffled_and_cut_anywhere(trades, data):
    shuffled = data.draw(st.permutations(trades))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(trades)), max_size=5)) | {len(trades)})
    starts = [0, *cuts[:-1]]
    parts = [total(shuffled[a:b]) for a, b in zip(starts, cuts, strict=True)]
    assert reduce(merge, data.draw(st.permutations(parts))) == total(trades)


@given(st.lists(TRADES, min_size=1, max_size=30))
def test_sums_are_exact_to_half_a_unit_a_trade(trades):
    part = total(trades)
    sizes = [Fraction(Decimal(repr(t.size))) for t in trades]
    notionals = [
        Fraction(Decimal(repr(t.price))) * size for t, size in zip(trades, sizes, strict=True)
    ]
    assert abs(part.volume - sum(sizes) * SCALE) <= Fraction(len(trades), 2)
    assert abs(part.notional - sum(notionals) * SCALE) <= Fraction(len(trades), 2)


DECIMALS = st.integers(1, 10**15).map(lambda units: float(Decimal(units).scaleb(-9)))


@given(st.lists(st.tuples(DECIMALS, DECIMALS), min_size=1, max_size=20))
def test_sums_are_exact_when_inputs_have_nine_decimals(pairs):
    part = total([Trade("A/USD", 1, 1, i, p, s) for i, (p, s) in enumerate(pairs)])
    exact = sum(Fraction(Decimal(repr(p))) * Fraction(Decimal(repr(s))) for p, s in pairs)
    assert part.notional == exact * SCALE
    bar = to_bar(part, "A/USD", "1m", 0, "complete")
    volume = sum(Fraction(Decimal(repr(s))) for _, s in pairs)
    assert bar.volume == float(volume)
    assert bar.vwap == float(exact / volume)


def test_open_and_close_follow_time_then_trade_id_not_arrival():
    trades = [
        Trade("A/USD", 5, 9, tid, price, 1.0) for tid, price in [(3, 30.0), (1, 10.0), (2, 20.0)]
    ]
    bar = to_bar(total(trades), "A/USD", "1m", 0, "complete")
    assert (bar.open, bar.high, bar.low, bar.close) == (10.0, 30.0, 10.0, 30.0)
    assert (bar.volume, bar.vwap, bar.trades, bar.revision, bar.ts_ingest) == (3.0, 20.0, 3, 6, 9)


def test_vwap_is_zero_when_nothing_but_empty_trades_came():
    bar = to_bar(of_trade(Trade("A/USD", 5, 9, 1, 7.0, 0.0)), "A/USD", "1m", 0, "complete")
    assert (bar.volume, bar.vwap, bar.trades) == (0.0, 0.0, 1)
