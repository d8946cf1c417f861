"""Rules that need neighbours: what is odd is marked, the market itself is not."""

import os
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.market.records import Bar, BookUpdate, Instrument, Quote, Trade, Unreadable
from tradelake.stream.neighbours import Neighbours
from tradelake.stream.thresholds import DEFAULTS, load_rules

T = 1_723_161_600_000_000_000
SECOND = 10**9
MILLISECOND = 10**6
DATA = os.environ.get("TRADELAKE_DATA", "")


def stage(document="", *, live=True):
    return Neighbours(load_rules(document).of_venue("us"), live=live)


def trade(n, price=100.0, size=1.0, ts_event=None, **more):
    ts_event = T + n * SECOND if ts_event is None else ts_event
    return Trade("BTC/USD", ts_event, ts_event + MILLISECOND, n, price, size, **more)


def quote(n, bid=99.0, ask=101.0, **more):
    ts_event = T + n * SECOND
    return Quote("BTC/USD", ts_event, ts_event + MILLISECOND, bid, 1.0, ask, 1.0, **more)


def flags(records, document="", **options):
    return [record.flags for record in stage(document, **options).process(records, 0)]


def test_records_pass_as_the_same_list_when_nothing_is_odd():
    records = [trade(n) for n in range(200)]
    assert stage().process(records, 0) is records


def test_records_without_neighbours_pass_untouched():
    others = [
        Unreadable("BTC/USD", T, "trades", "no price", b""),
        Instrument("BTC/USD", T, T, "listed", "active", True, "1", "1", "1"),
    ]
    assert stage().process(others, 0) is others


def test_a_trade_is_a_duplicate_when_its_id_and_time_were_seen():
    again = [trade(1), trade(2), trade(1), msgspec.structs.replace(trade(2), ts_event=T)]
    assert flags(again) == ["", "", "duplicate,out_of_order", "out_of_order"]


def test_a_duplicate_is_found_within_the_window_and_memory_is_bounded():
    document = '{"defaults": {"duplicate_records": 5}}'
    made = stage(document)
    made.process([trade(n) for n in range(1_000)], 0)
    series = made._trades["BTC/USD"]
    assert len(series._recent) + len(series._older) <= 10
    late = stage(document).process([trade(n) for n in range(6)] + [trade(1)], 0)
    assert "duplicate" in late[-1].flags


def test_a_quote_or_an_update_is_a_duplicate_when_the_same_instant_has_its_content():
    assert flags([quote(1), quote(1, occurrence=1), quote(2)]) == ["", "duplicate", ""]
    assert flags([quote(1), quote(1)]) == ["", "duplicate"]
    book = BookUpdate("BTC/USD", T, T, [(1.0, 1.0)], [], occurrence=1)
    assert flags([book]) == ["duplicate"]


def test_a_bars_new_revision_is_no_duplicate_but_the_same_one_is():
    first = Bar("BTC/USD", T, T, 1, 1, 1, 1, 1, 1, 1, "1m", "alpaca", "bars", 5)
    second = msgspec.structs.replace(first, revision=6)
    assert flags([first, second, first]) == ["", "", "duplicate"]


def test_order_is_judged_with_tolerance_and_per_channel_and_symbol():
    near = trade(2, ts_event=T + 3 * SECOND - 90 * MILLISECOND)
    far = trade(4, ts_event=T + 2 * SECOND)
    other = msgspec.structs.replace(trade(5, ts_event=T), symbol="ETH/USD")
    assert flags([trade(3), near, far, other, quote(1)]) == ["", "", "out_of_order", "", ""]


def test_a_time_far_ahead_of_the_receipt_makes_nothing_after_it_late():
    wrong = Trade("BTC/USD", T + 3600 * SECOND, T, 1, 100.0, 1.0)
    assert flags([wrong, trade(2), trade(3)]) == ["", "", ""]


def test_a_record_is_stale_when_it_is_received_long_after_it_happened_and_live():
    late = Trade("BTC/USD", T, T + 31 * SECOND, 1, 100.0, 1.0)
    assert flags([late]) == ["stale"]
    assert flags([late], live=False) == [""]
    assert flags([late], '{"defaults": {"stale_s": null}}') == [""]
    assert flags([late], '{"symbols": {"BTC/USD": {"stale_s": 40}}}') == [""]


WALKS = st.lists(st.floats(-0.004, 0.004), min_size=60, max_size=200)


@given(WALKS)
def test_prices_are_never_spikes_when_they_stay_within_the_floor(noise):
    assert set(flags([trade(n, 100.0 * (1 + d)) for n, d in enumerate(noise)])) == {""}


@given(WALKS, st.floats(0.2, 50.0), st.booleans(), st.sampled_from([0.01, 1.0, 61_000.0]))
def test_an_injected_spike_is_always_found_and_nothing_else(noise, size, is_up, price):
    """No deviation of the walk exceeds 0.8 %, so no scale does, and 20 of them are below 0.2."""
    prices = [price * (1 + d) for d in noise]
    prices.append(price * (1 + size) if is_up else price / (1 + size))
    prices.append(price)
    found = flags([trade(n, p) for n, p in enumerate(prices)])
    assert found == ["" for _ in noise] + ["spike", ""]
    middles = [quote(n, 0.9995 * p, 1.0005 * p) for n, p in enumerate(prices)]
    assert flags(middles) == found


@given(
    st.lists(st.sampled_from([1.0, 1.001, 0.999, 1.3, 0.5, 2.0, 1.01]), min_size=80, max_size=200),
    st.integers(-30, 30),
)
def test_flags_are_the_same_in_any_unit_of_price_and_size(factors, power):
    base = [trade(n, 100.0 * f, 3.0 * f**9) for n, f in enumerate(factors)]
    unit = 2.0**power
    scaled = [
        msgspec.structs.replace(one, price=one.price * unit, size=one.size * unit) for one in base
    ]
    assert flags(base) == flags(scaled)


@given(WALKS, st.floats(1.5, 1000.0))
def test_a_change_of_level_is_a_spike_no_longer_than_the_run(noise, factor):
    before = [trade(n, 100.0 * (1 + d)) for n, d in enumerate(noise)]
    after = [trade(len(noise) + n, 100.0 * factor * (1 + d)) for n, d in enumerate(noise)]
    found = flags(before + after)[len(noise) :]
    assert found[0] == "spike"
    assert set(found[DEFAULTS.spike_run :]) == {""}


def test_alternating_levels_become_usual():
    prices = [100.0 if n % 2 else 103.0 for n in range(1_000)]
    found = flags(
        [trade(n, 100.0) for n in range(100)] + [trade(100 + n, p) for n, p in enumerate(prices)]
    )
    assert "spike" in found[100:110]
    assert set(found[-500:]) == {""}


def test_a_move_is_no_spike_when_the_market_was_silent_for_long():
    quick = [trade(n, 100.0) for n in range(100)]
    at_once, later = trade(100, 103.0), trade(101, 103.0, ts_event=T + 100 * 3600 * SECOND)
    assert flags([*quick, at_once])[-1] == "spike"
    assert flags([*quick, later])[-1] == ""


def test_a_size_or_a_spread_is_odd_when_far_above_the_usual_tail():
    sizes = [1.0 + n % 7 for n in range(300)]
    found = flags([trade(n, size=s) for n, s in enumerate([*sizes, 500.0, 1.0])])
    assert found == [""] * 300 + ["size_outlier", ""]
    spreads = [quote(n) for n in range(100)] + [quote(100, 60.0, 140.0), quote(101)]
    assert flags(spreads) == [""] * 100 + ["spread_outlier", ""]


def test_large_sizes_are_not_odd_any_more_when_they_have_become_usual():
    sizes = [1.0] * 200 + [1000.0] * 100
    found = flags([trade(n, size=s) for n, s in enumerate(sizes)])
    assert found[200] == "size_outlier"
    assert set(found[230:]) == {""}


def test_what_cannot_be_believed_moves_no_scale():
    wrong = [
        trade(300 + n, price, size)
        for n, (price, size) in enumerate(
            [(float("nan"), 1.0), (-1.0, -1.0), (float("inf"), float("inf")), (0.0, 0.0)]
        )
    ]
    usual = [trade(n) for n in range(100)]
    assert set(flags([*usual, *wrong, trade(400)])) == {""}


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 7))
def test_flags_do_not_depend_on_how_the_sequence_is_cut(steps, size):
    records = [trade(step, 100.0 + step) for step in steps]
    whole = stage().process(records, 0)
    cut = stage()
    parts = [cut.process(records[n : n + size], n) for n in range(0, len(records), size)]
    assert [one for part in parts for one in part] == list(whole)


def test_series_are_forgotten_when_a_venue_sends_more_symbols_than_there_can_be(monkeypatch):
    monkeypatch.setattr("tradelake.stream.neighbours.MAX_SERIES", 10)
    made = stage()
    for n in range(100):
        made.process([msgspec.structs.replace(trade(n), symbol=f"X{n}/USD")], 0)
    assert len(made._trades) == 10


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="needs TRADELAKE_DATA")
@pytest.mark.parametrize(
    "name",
    [
        "trades_binance_spot_btcusdt_ethusdt_2024-08-08_2354_2359.parquet",
        "trades_bitstamp_btcusd_2015-05-01_0000_0300.parquet",
        "trades_coinbase_btcusd_2023-09-05_1600_1700.parquet",
        "trades_bitflyer_20180121_20180124.parquet",
        "trades_okcoin_btcusd_2017-08-07_2017-10-31.parquet",
    ],
)
def test_hardly_any_recorded_trade_is_a_spike(name, capsys):
    import pyarrow.parquet as pq

    columns = pq.read_table(Path(DATA) / name).slice(0, 100_000).to_pydict()
    rows = zip(columns["symbol"], columns["ts_ns"], columns["price"], columns["size"], strict=True)
    records = [Trade(s, ts, ts, n, price, size) for n, (s, ts, price, size) in enumerate(rows)]
    counts = Counter(
        one for r in stage().process(records, 0) if r.flags for one in r.flags.split(",")
    )
    with capsys.disabled():
        print(f"\n{name}: {len(records)} trades, {dict(counts)}")
    assert counts["spike"] <= 0.001 * len(records)
    assert counts["size_outlier"] <= 0.001 * len(records)
    assert counts["duplicate"] == counts["out_of_order"] == counts["stale"] == 0
