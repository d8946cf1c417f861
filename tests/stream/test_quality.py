"""Quality rules: what is rejected, what is flagged; the fast way agrees with the rules."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.market.records import Bar, BookUpdate, Quote, Rejected, Trade, Unreadable
from tradelake.stream import quality_checks
from tradelake.stream.quality import Flag, Reject, findings, suspects, with_flags
from tradelake.stream.quality_rules import RULES
from tradelake.stream.thresholds import DEFAULTS, Thresholds

T = 1_723_161_600_000_000_000


def trade(**changes):
    return Trade(
        **{
            "symbol": "BTC/USD",
            "ts_event": T,
            "ts_ingest": T,
            "trade_id": 7,
            "price": 61000.5,
            "size": 0.25,
        }
        | changes
    )


def quote(**changes):
    values = {"symbol": "BTC/USD", "ts_event": T, "ts_ingest": T}
    return Quote(**values | {"bid": 10.0, "bid_size": 1.0, "ask": 11.0, "ask_size": 2.0} | changes)


def book(**changes):
    values = {"symbol": "BTC/USD", "ts_event": T, "ts_ingest": T}
    return BookUpdate(**values | {"bids": [(10.0, 1.0)], "asks": [(11.0, 0.0)]} | changes)


def bar(**changes):
    values = {"symbol": "BTC/USD", "ts_event": T, "ts_ingest": T, "open": 10.0, "high": 12.0}
    values |= {"low": 9.0, "close": 11.0, "volume": 3.0, "vwap": 10.5, "trades": 4}
    values |= {"timeframe": "1m", "source": "alpaca", "channel": "bars"}
    return Bar(**values | changes)


@pytest.mark.parametrize("record", [trade(), quote(), book(), bar()])
def test_a_believable_record_has_no_findings(record):
    assert findings(record) == []


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (trade(symbol="BTCUSD"), "symbol"),
        (trade(symbol=""), "symbol"),
        (trade(price=math.nan), "not_finite"),
        (trade(price=math.inf), "not_finite"),
        (trade(size=math.nan), "not_finite"),
        (trade(size=1.1e18), "too_large"),
        (quote(ask=1e300), "too_large"),
        (trade(price=0.0), "price_not_positive"),
        (trade(price=-1.0), "price_not_positive"),
        (trade(size=-0.5), "negative_size"),
        (trade(ts_event=0), "timestamp"),
        (trade(ts_event=-1), "timestamp"),
        (trade(ts_event=T // 1000), "timestamp"),
        (trade(ts_event=T * 1000), "timestamp"),
        (trade(ts_ingest=0), "timestamp"),
        (trade(trade_id=2**63), "trade_id"),
        (quote(bid=11.5), "crossed"),
        (quote(bid=-1.0), "price_not_positive"),
        (quote(ask=math.nan), "not_finite"),
        (quote(ask_size=-1.0), "negative_size"),
        (book(bids=[(0.0, 1.0)]), "price_not_positive"),
        (book(asks=[(11.0, -1.0)]), "negative_size"),
        (book(asks=[(11.0, math.nan)]), "not_finite"),
        (bar(high=10.5), "ohlc"),
        (bar(low=10.5), "ohlc"),
        (bar(open=math.nan), "not_finite"),
        (bar(close=0.0), "price_not_positive"),
        (bar(volume=-1.0), "negative_size"),
        (bar(trades=-1), "negative_size"),
        (bar(timeframe="7m"), "timeframe"),
        (Unreadable("BTC/USD", T, "trades", "no price", b"{}"), "unreadable"),
        (Rejected("BTC/USD", T, T, "trades", "crossed", "why", b"", 3), "crossed"),
    ],
)
def test_a_record_is_rejected_when_it_breaks_a_rule(record, rule):
    assert rule in [finding.rule for finding in findings(record) if isinstance(finding, Reject)]


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (trade(size=0.0), "zero_size"),
        (trade(ts_event=T + 11 * 10**9), "future"),
        (quote(bid=11.0), "locked"),
        (quote(bid=0.0, bid_size=0.0), "one_sided"),
        (book(reset=True), "zero_size"),
        (book(reset=True, bids=[(12.0, 1.0)], asks=[(11.0, 1.0)]), "crossed_book"),
        (bar(ts_event=T + 14_789_000_000), "off_grid"),
        (bar(trades=0), "untold_trades"),
        (bar(volume=0.0), "no_volume"),
        (bar(vwap=13.0), "vwap_outside"),
    ],
)
def test_a_record_is_kept_and_flagged_when_it_is_odd_but_usable(record, rule):
    found = findings(record)
    assert rule in [finding.rule for finding in found]
    assert all(isinstance(finding, Flag) for finding in found)


def test_a_bar_is_clean_when_it_is_alpacas_empty_minute():
    assert findings(bar(volume=0.0, trades=0, vwap=0.0)) == []


def test_a_delta_may_cross_because_it_is_not_the_whole_book():
    assert findings(book(bids=[(12.0, 1.0)], asks=[(11.0, 1.0)])) == []


def test_a_reason_says_what_was_expected_found_and_where_without_control_characters():
    (reject,) = findings(trade(symbol="BTC\n", price=5.0))
    assert reject.rule == "symbol"
    assert reject.reason.startswith("expected BASE/QUOTE in capitals; found 'BTC\\n' in Trade(")
    assert "\n" not in reject.reason


NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, 1e18, 2e18, math.nan, math.inf]))
TIMES = st.one_of(st.just(T), st.integers(-(2**63), 2**64 - 1))
SYMBOLS = st.sampled_from(["BTC/USD", "BTCUSD", "", "a/b"])


def is_clean(record) -> bool:
    return suspects([record], {record.symbol: DEFAULTS}) == []


@given(SYMBOLS, TIMES, TIMES, st.integers(-(2**63), 2**64 - 1), NUMBERS, NUMBERS)
def test_the_fast_way_through_agrees_with_the_rules_for_any_trade(
    symbol, at, seen, tid, price, size
):
    record = Trade(symbol, at, seen, tid, price, size)
    assert findings(record) == quality_checks.run(quality_checks.TRADE_CHECKS, record, DEFAULTS)
    assert is_clean(record) == (findings(record) == [])


@given(SYMBOLS, TIMES, TIMES, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_the_fast_way_through_agrees_with_the_rules_for_any_quote(symbol, at, seen, b, bs, a, az):
    record = Quote(symbol, at, seen, b, bs, a, az)
    assert is_clean(record) == (
        quality_checks.run(quality_checks.QUOTE_CHECKS, record, DEFAULTS) == []
    )


LEVELS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3)


@given(TIMES, LEVELS, LEVELS, st.booleans())
def test_the_fast_way_through_agrees_with_the_rules_for_any_book(at, bids, asks, reset):
    record = BookUpdate("BTC/USD", at, T, bids, asks, reset)
    assert is_clean(record) == (
        quality_checks.run(quality_checks.BOOK_CHECKS, record, DEFAULTS) == []
    )


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "ts_event": TIMES,
            "open": NUMBERS,
            "high": NUMBERS,
            "low": NUMBERS,
            "close": NUMBERS,
            "volume": NUMBERS,
            "vwap": NUMBERS,
            "trades": st.integers(-1, 3),
            "timeframe": st.sampled_from(["1m", "1h", "7m"]),
        },
    )
)
def test_the_fast_way_through_agrees_with_the_rules_for_any_bar(changes):
    record = bar(**changes)
    assert is_clean(record) == (
        quality_checks.run(quality_checks.BAR_CHECKS, record, DEFAULTS) == []
    )


ACTIONS = {rule.name: rule.action for rule in RULES}
STRANGE = st.one_of(
    st.builds(Trade, SYMBOLS, TIMES, TIMES, st.integers(-(2**63), 2**64 - 1), NUMBERS, NUMBERS),
    st.builds(Quote, SYMBOLS, TIMES, TIMES, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(BookUpdate, SYMBOLS, TIMES, TIMES, LEVELS, LEVELS, st.booleans()),
    st.builds(
        lambda *numbers: bar(
            **dict(zip(("open", "high", "low", "close", "volume", "vwap"), numbers, strict=True)),
            timeframe="7m",
        ),
        *[NUMBERS] * 6,
    ),
)


@given(STRANGE)
def test_every_finding_is_in_the_list_of_rules_with_its_action(record):
    for finding in findings(record):
        assert ACTIONS[finding.rule] == ("reject" if isinstance(finding, Reject) else "flag")


def test_every_threshold_belongs_to_a_rule_and_every_rules_threshold_exists():
    read = {name for rule in RULES for name in rule.thresholds}
    assert read == set(Thresholds.__struct_fields__)


def test_thresholds_decide_what_is_too_large_and_what_is_in_the_future():
    strict = Thresholds(largest=100.0, future_s=1.0)
    late = trade(price=99.0, ts_event=T + 2 * 10**9)
    assert findings(late) == []
    assert [finding.rule for finding in findings(late, strict)] == ["future"]
    assert [finding.rule for finding in findings(trade(price=101.0), strict)] == ["too_large"]


def test_flags_are_merged_sorted_and_a_record_that_has_them_is_the_same_object():
    once = with_flags(trade(), ["spike", "future"])
    assert once.flags == "future,spike"
    assert with_flags(once, ["future"]) is once
    assert with_flags(once, ["duplicate"]).flags == "duplicate,future,spike"
    assert with_flags(trade(), []) == trade()
