"""Folders of recordings."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import ConfigError
from tradelake.exchange.recorded import RecordedMarket, trade_id_of
from tradelake.market.records import BookUpdate, Quote, Trade


def test_sessions_are_played_in_time_order_each_channel_complete(recordings):
    market = RecordedMarket(recordings)
    assert [session.name for session in market.sessions] == ["first_btcusd", "second_ethusd"]
    assert market.symbols == ["BTC/USD", "ETH/USD"]
    ticks = list(market.sessions[0].ticks())
    assert all(a.ts_event <= b.ts_event for a, b in pairwise(ticks))
    assert [type(tick) for tick in ticks[:3]] == [BookUpdate, Quote, Trade]
    assert ticks == list(market.sessions[0].ticks())


def test_symbols_sessions_and_limit_choose_what_is_played(recordings):
    assert RecordedMarket(recordings, symbols=["ETH/USD"]).symbols == ["ETH/USD"]
    market = RecordedMarket(recordings, sessions=["first"], limit=7)
    assert len(market.sessions) == 1
    assert len(list(market.sessions[0].ticks())) == 7


def test_session_without_books_is_played_only_when_named(recordings):
    (recordings / "books_first_btcusd.parquet").unlink()
    assert RecordedMarket(recordings).symbols == ["ETH/USD"]
    assert RecordedMarket(recordings, sessions=["first"]).symbols == ["BTC/USD"]


@pytest.mark.parametrize("wanted", [{"symbols": ["NO/USD"]}, {"sessions": ["nowhere"]}])
def test_market_is_refused_when_nothing_is_left_to_play(recordings, wanted):
    with pytest.raises(ConfigError, match="first_btcusd"):
        RecordedMarket(recordings, **wanted)


def test_market_is_refused_when_the_folder_is_missing_or_empty(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        RecordedMarket(tmp_path / "none")
    with pytest.raises(ConfigError, match="found none"):
        RecordedMarket(tmp_path)


def test_file_is_refused_with_its_name_and_the_column_expected_and_found(recordings):
    path = recordings / "trades_first_btcusd.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["price"]), path)
    with pytest.raises(ConfigError, match=r"trades_first.*expected column price of double"):
        RecordedMarket(recordings)
    wrong = table.set_column(2, "price", table.column("price").cast(pa.string()))
    pq.write_table(wrong, path)
    with pytest.raises(ConfigError, match=r"expected column price of double; found string"):
        RecordedMarket(recordings)
    path.write_bytes(b"not parquet")
    with pytest.raises(ConfigError, match="expected a Parquet file"):
        RecordedMarket(recordings)


def test_bar_file_is_refused_when_a_column_is_missing(recordings):
    path = recordings / "bars_1m_one_a.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["close"]), path)
    with pytest.raises(ConfigError, match="close"):
        RecordedMarket(recordings)


@given(st.none() | st.text(max_size=8), st.integers(0, 2**62), st.integers(0, 10**9))
def test_trade_id_is_a_non_negative_int64_and_the_same_every_time(text, ts_ns, row):
    trade_id = trade_id_of("BTC/USD", text, ts_ns, row)
    assert 0 <= trade_id < 2**63
    assert trade_id == trade_id_of("BTC/USD", text, ts_ns, row)


def test_trade_ids_differ_for_rows_of_one_instant_without_ids():
    assert trade_id_of("BTC/USD", None, 5, 1) != trade_id_of("BTC/USD", None, 5, 2)


@pytest.mark.data
def test_recorded_bitstamp_and_binance_sessions_are_the_default(recorded_data):
    market = RecordedMarket(recorded_data)
    assert [s.name.split("_")[0] for s in market.sessions] == ["bitstamp", "binance"]
    counts = [sum(1 for _ in session.ticks()) for session in market.sessions]
    assert counts == [31_627 + 1_659 + 333, 15_836 + 51_997 + 6_859]


@pytest.mark.data
def test_recorded_playback_reaches_the_client_to_the_last_message(
    exchange, venue, table_of, recorded_data
):
    async def scenario():
        async with venue(server) as v, v.stream(binary=True) as client:
            await client.login()
            return table_of(await v.play(client)), await v.status()

    server = exchange(data=recorded_data)
    received, status = asyncio.run(scenario())
    assert received == status["sent"]
    assert received["trades"] == {"BTC/USD": 333, "BTC/USDT": 9_738, "ETH/USDT": 6_098}
