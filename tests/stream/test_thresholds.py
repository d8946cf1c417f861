"""Thresholds as a document: what is special wins, and a wrong document is refused by name."""

import pytest

from tradelake.errors import ConfigError
from tradelake.stream.thresholds import DEFAULTS, Thresholds, load_rules

DOCUMENT = """{
  "defaults": {"stale_s": 60, "largest": 4, "spike_run": 9},
  "venues": {"us-1": {"future_s": 2, "largest": 3}},
  "quote_currencies": {"JPY": {"largest": 2, "stale_s": null}},
  "symbols": {"ETH/JPY": {"largest": 1}}
}"""


def test_thresholds_are_the_defaults_when_the_document_is_empty():
    assert load_rules("").of_venue("us")["BTC/USD"] == DEFAULTS
    assert load_rules("{}").of_venue("us")["BTC/USD"] is DEFAULTS


@pytest.mark.parametrize(
    ("venue", "symbol", "largest", "future_s", "stale_s"),
    [
        ("us", "BTC/USD", 4, 10, 60),
        ("us-1", "BTC/USD", 3, 2, 60),
        ("us-1", "BTC/JPY", 2, 2, None),
        ("us-1", "ETH/JPY", 1, 2, None),
        ("us", "rubbish", 4, 10, 60),
    ],
)
def test_the_more_special_override_wins_field_by_field(venue, symbol, largest, future_s, stale_s):
    found = load_rules(DOCUMENT).of_venue(venue)[symbol]
    assert (found.largest, found.future_s, found.stale_s) == (largest, future_s, stale_s)
    assert found.spike_run == 9
    assert isinstance(found.spike_run, int)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "truncated"),
        ("[]", "expected an object with defaults, venues"),
        ('{"symbol": {}}', "unknown field `symbol`"),
        ('{"defaults": {"larges": 1}}', "defaults: expected one of largest.*found 'larges'"),
        (
            '{"symbols": {"A/USD": {"largest": -1}}}',
            "symbols.A/USD: expected largest of at least 0",
        ),
        ('{"venues": {"us": {"spike_mads": 0.5}}}', "venues.us: expected spike_mads of at least 1"),
        ('{"defaults": {"spike_run": 1.5}}', "defaults.spike_run: expected a whole number"),
        ('{"defaults": {"largest": null}}', "defaults.largest: expected a number, found null"),
        ('{"defaults": {"largest": "1"}}', "Expected"),
        ('{"defaults": {"largest": 1e400}}', "out of range"),
    ],
)
def test_a_document_is_refused_with_its_place_when_it_is_wrong(document, message):
    with pytest.raises(ConfigError, match=message):
        load_rules(document)


def test_thresholds_of_symbols_are_bounded_when_a_venue_sends_rubbish():
    found = load_rules(DOCUMENT).of_venue("us")
    for n in range(30_000):
        assert found[f"X{n}/USD"].largest == 4
    assert len(found) <= 20_000


def test_thresholds_refuse_nan():
    with pytest.raises(ValueError, match="future_s"):
        Thresholds(future_s=float("nan"))
