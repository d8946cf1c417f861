"""Rules of snapshots and instruments."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.market.records import BookSnapshot, Instrument
from tradelake.stream.quality import Reject, findings, first_reject
from tradelake.stream.quality_rules import RULES

T = 1_700_000_000_000_000_000
SNAPSHOT = BookSnapshot("BTC/USD", T, T + 5, [(9.0, 1.0), (8.0, 1.0)], [(10.0, 1.0)], 3)
INSTRUMENT = Instrument("BTC/USD", T, T, "changed", "active", True, "0.0001", "0.000000001", "0.01")
ACTIONS = {rule.name: rule.action for rule in RULES}


def but(record, **changes):
    return msgspec.structs.replace(record, **changes)


def test_clean_records_have_no_findings():
    assert findings(SNAPSHOT) == findings(but(SNAPSHOT, bids=[], asks=[])) == []
    assert findings(INSTRUMENT) == findings(but(INSTRUMENT, price_increment="")) == []
    assert findings(but(INSTRUMENT, event="renamed", renamed_to="XBT/USD")) == []
    assert findings(but(INSTRUMENT, min_trade_increment="1e-09")) == []


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (but(SNAPSHOT, symbol="btcusd"), "symbol"),
        (but(SNAPSHOT, ts_event=0), "timestamp"),
        (but(SNAPSHOT, ts_event=T + 10**12), "future"),
        (but(SNAPSHOT, bids=[(math.nan, 1.0)]), "not_finite"),
        (but(SNAPSHOT, bids=[(9.0, math.inf)]), "not_finite"),
        (but(SNAPSHOT, asks=[(1e19, 1.0)]), "too_large"),
        (but(SNAPSHOT, bids=[(0.0, 1.0)]), "price_not_positive"),
        (but(SNAPSHOT, asks=[(10.0, -1.0)]), "negative_size"),
        (but(SNAPSHOT, asks=[(10.0, 0.0)]), "zero_size"),
        (but(SNAPSHOT, bids=[(8.0, 1.0), (9.0, 1.0)]), "book_order"),
        (but(SNAPSHOT, asks=[(10.0, 1.0), (10.0, 1.0)]), "book_order"),
        (but(SNAPSHOT, bids=[(10.0, 1.0)]), "crossed_book"),
        (but(SNAPSHOT, updates=-1), "updates"),
        (but(INSTRUMENT, symbol="BTCUSD"), "symbol"),
        (but(INSTRUMENT, ts_ingest=-1), "timestamp"),
        (but(INSTRUMENT, price_increment="a lot"), "decimal"),
        (but(INSTRUMENT, min_order_size="-1"), "decimal"),
        (but(INSTRUMENT, min_order_size="nan"), "decimal"),
        (but(INSTRUMENT, min_trade_increment="1e-20"), "decimal"),
        (but(INSTRUMENT, price_increment="2e9"), "decimal"),
        (but(INSTRUMENT, event="renamed"), "renamed_to"),
        (but(INSTRUMENT, renamed_to="XBT/USD"), "renamed_to"),
        (but(INSTRUMENT, status="asleep"), "unknown_status"),
    ],
)
def test_a_record_is_found_by_the_rule_it_breaks(record, rule):
    found = findings(record)[0]
    assert found.rule == rule
    assert isinstance(found, Reject) == (ACTIONS[rule] == "reject")
    assert "expected" in found.reason


@pytest.mark.parametrize("text", ["0", "0.0", "1e-18", "0.000000001"])
def test_an_increment_that_can_be_counted_or_is_none_passes(text):
    assert findings(but(INSTRUMENT, min_trade_increment=text, price_increment=text)) == []


def test_a_reason_is_short_when_the_value_is_long():
    found = first_reject(findings(but(INSTRUMENT, price_increment="9" * 10_000)))
    assert found is not None
    assert len(found.reason) < 300


sides = st.lists(st.tuples(st.floats(), st.floats()), max_size=5)


@given(st.text(), st.integers(), st.integers(), sides, sides, st.integers())
def test_any_snapshot_is_judged_without_an_error(symbol, ts, ingest, bids, asks, updates):
    for found in findings(BookSnapshot(symbol, ts, ingest, bids, asks, updates)):
        assert found.rule in ACTIONS
