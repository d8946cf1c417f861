"""What changed between two looks at a venue's assets."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.feed.universe import Asset, diff, subscribable

NOW = 1_700_000_000_000_000_000
BTC = Asset("id-1", "BTC/USD", "active", True, "0.0001", "0.000000001", "0.01")


def but(asset: Asset, **changes) -> Asset:
    return msgspec.structs.replace(asset, **changes)


def told(before, after) -> list[tuple[str, str, str]]:
    return [(e.symbol, e.event, e.renamed_to) for e in diff(before, after, NOW)]


@pytest.mark.parametrize(
    ("after", "event"),
    [
        (BTC, None),
        (but(BTC, tradable=False), "halted"),
        (but(BTC, price_increment="0.1"), "changed"),
        (but(BTC, min_order_size="1"), "changed"),
        (but(BTC, tradable=False, price_increment="0.1"), "halted"),
        (but(BTC, status="inactive"), "delisted"),
        (None, "delisted"),
        (but(BTC, asset_id="id-9"), None),
        (but(BTC, asset_id=""), None),
    ],
)
def test_an_active_asset_has_one_record_when_something_changed(after, event):
    expected = [] if event is None else [("BTC/USD", event, "")]
    assert told([BTC], [after] if after else []) == expected


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (None, "listed"),
        (but(BTC, status="inactive", tradable=False), "listed"),
        (but(BTC, tradable=False), "resumed"),
    ],
)
def test_an_asset_that_became_active_is_told_as_what_it_is(before, event):
    assert told([before] if before else [], [BTC]) == [("BTC/USD", event, "")]


def test_a_record_carries_what_the_venue_says_now():
    (record,) = diff([BTC], [but(BTC, tradable=False, price_increment="0.5")], NOW)
    assert (record.ts_event, record.ts_ingest, record.status) == (NOW, NOW, "active")
    assert (record.tradable, record.price_increment) == (False, "0.5")
    (record,) = diff([BTC], [], NOW)
    assert (record.status, record.tradable, record.min_order_size) == ("inactive", False, "0.0001")


def test_the_old_symbol_is_renamed_and_the_new_one_listed_when_the_id_stays():
    xbt = but(BTC, symbol="XBT/USD")
    assert told([BTC], [xbt]) == [("BTC/USD", "renamed", "XBT/USD"), ("XBT/USD", "listed", "")]
    assert told([BTC], [but(xbt, status="inactive")]) == [("BTC/USD", "delisted", "")]


def test_a_symbol_is_renamed_and_listed_when_another_asset_takes_its_name():
    other = Asset("id-2", "BTC/USD", "active", True)
    assert told([BTC], [but(BTC, symbol="OLD/USD"), other]) == [
        ("BTC/USD", "renamed", "OLD/USD"),
        ("BTC/USD", "listed", ""),
        ("OLD/USD", "listed", ""),
    ]


def test_nothing_is_told_of_what_is_inactive_and_was():
    gone = but(BTC, status="inactive")
    assert told([], [gone]) == told([gone], []) == told([gone], [gone]) == []


def test_the_active_entry_counts_when_a_symbol_appears_twice():
    stale = Asset("id-0", "BTC/USD", "inactive", False)
    assert told([BTC], [BTC, stale]) == told([BTC], [stale, BTC]) == []


def test_symbols_without_data_are_not_subscribable():
    assets = [BTC, Asset("id-2", "ETH/USD", "inactive", False)]
    assert subscribable(["ETH/USD", "BTC/USD", "NO/USD"], assets) == ("BTC/USD",)


assets = st.lists(
    st.builds(
        Asset,
        st.sampled_from("123456"),
        st.sampled_from(["A/USD", "B/USD", "C/USD", "D/USD"]),
        st.sampled_from(["active", "inactive"]),
        st.booleans(),
        price_increment=st.sampled_from(["1", "2"]),
    ),
    unique_by=(lambda asset: asset.asset_id, lambda asset: asset.symbol),
    max_size=4,
)


@given(assets, assets)
def test_records_turn_the_symbols_of_before_into_those_of_after(before, after):
    state = {asset.symbol: asset.tradable for asset in before if asset.active}
    events = diff(before, after, NOW)
    for event in events:
        if event.event in ("delisted", "renamed"):
            del state[event.symbol]
    for event in events:
        if event.event in ("listed", "halted", "resumed", "changed"):
            state[event.symbol] = event.tradable
    assert state == {asset.symbol: asset.tradable for asset in after if asset.active}
    assert len({(event.symbol, event.event) for event in events}) == len(events)


@given(assets)
def test_nothing_is_told_when_nothing_changed(same):
    assert diff(same, list(reversed(same)), NOW) == []
