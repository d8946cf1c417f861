"""The unmodified alpaca-py clients against the exchange."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
import warnings
from collections import Counter
from datetime import UTC, datetime

import pytest

from tradelake.exchange.publication import Lateness, publish
from tradelake.exchange.recorded import RecordedMarket

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # alpaca-py imports websockets.legacy
    from alpaca.data.historical import CryptoHistoricalDataClient
    from alpaca.data.live import CryptoDataStream
    from alpaca.data.requests import (
        CryptoBarsRequest,
        CryptoLatestBarRequest,
        CryptoLatestOrderbookRequest,
        CryptoLatestQuoteRequest,
        CryptoLatestTradeRequest,
        CryptoQuoteRequest,
        CryptoSnapshotRequest,
        CryptoTradesRequest,
    )
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*legacy.*:DeprecationWarning", "ignore:.*websockets.*:DeprecationWarning"
)


def _post(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5):
        pass


def _status(server) -> dict:
    with urllib.request.urlopen(server.url + "/_exchange/status", timeout=5) as response:
        return json.load(response)


def _subscribe(stream: CryptoDataStream, received: dict, expected: int) -> None:
    def handler(channel):
        async def take(datum) -> None:
            received[channel].append(datum)
            if sum(map(len, received.values())) == expected:
                await stream.stop_ws()

        return take

    stream.subscribe_trades(handler("trades"), "*")
    stream.subscribe_quotes(handler("quotes"), "*")
    stream.subscribe_orderbooks(handler("orderbooks"), "*")
    stream.subscribe_bars(handler("bars"), "*")
    stream.subscribe_updated_bars(handler("updatedBars"), "*")
    stream.subscribe_daily_bars(handler("dailyBars"), "*")


@pytest.mark.parametrize("raw", [True, False])
def test_stream_client_receives_everything_the_ledger_counts(exchange, recordings, raw):
    server = exchange(data=recordings, start="subscribed", late_trade_fraction=0.1)
    stream = CryptoDataStream("demo-key", "demo-secret", raw_data=raw, url_override=server.stream)
    received = {
        channel: []
        for channel in ("trades", "quotes", "orderbooks", "bars", "updatedBars", "dailyBars")
    }
    symbol = (lambda datum: datum["S"]) if raw else (lambda datum: datum.symbol)
    market = RecordedMarket(recordings)
    expected = sum(1 for s in market.sessions for _ in publish(s, Lateness(fraction=0.1)))
    _subscribe(stream, received, expected)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    sent = _status(server)["sent"]
    assert {c: dict(Counter(map(symbol, data))) for c, data in received.items()} == sent


def test_history_client_reads_every_bar_over_pages(exchange, recordings, t0):
    server = exchange(data=recordings)
    client = CryptoHistoricalDataClient(url_override=server.url)
    request = CryptoBarsRequest(
        symbol_or_symbols=["ETH/USD", "BTC/USD"],
        timeframe=TimeFrame.Minute,
        start=datetime.fromtimestamp(t0 / 1e9 - 4000 * 60, UTC),
        end=datetime.fromtimestamp(t0 / 1e9, UTC),
    )
    bars = client.get_crypto_bars(request).data
    client._session.close()
    assert {symbol: len(rows) for symbol, rows in bars.items()} == {
        "BTC/USD": 3000,
        "ETH/USD": 1500,
    }
    stamps = [bar.timestamp for bar in bars["BTC/USD"]]
    assert stamps == sorted(set(stamps))


def test_history_client_reads_hours_trades_quotes_latest_and_snapshots(exchange, recordings, t0):
    server = exchange(data=recordings, start="at_once", speed=1e9)
    client = CryptoHistoricalDataClient("demo-key", "demo-secret", url_override=server.url)
    asyncio.run(_finished(server))
    span = {
        "start": datetime.fromtimestamp(t0 / 1e9 - 86_400, UTC),
        "end": datetime.fromtimestamp(t0 / 1e9 + 86_400, UTC),
    }
    hours = client.get_crypto_bars(
        CryptoBarsRequest(
            symbol_or_symbols="BTC/USD", timeframe=TimeFrame(4, TimeFrameUnit.Hour), **span
        )
    )
    trades = client.get_crypto_trades(CryptoTradesRequest(symbol_or_symbols="BTC/USD", **span))
    quotes = client.get_crypto_quotes(CryptoQuoteRequest(symbol_or_symbols="BTC/USD", **span))
    both = ["BTC/USD", "ETH/USD"]
    latest_trade = client.get_crypto_latest_trade(CryptoLatestTradeRequest(symbol_or_symbols=both))
    latest_quote = client.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols=both))
    latest_bar = client.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols=both))
    books = client.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(symbol_or_symbols=both))
    snapshots = client.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols=both))
    client._session.close()
    assert {bar.timestamp.hour % 4 for bar in hours["BTC/USD"]} == {0}
    assert len(trades["BTC/USD"]) == len(quotes["BTC/USD"]) == 200
    assert latest_trade["BTC/USD"].id == trades["BTC/USD"][-1].id
    assert latest_quote["ETH/USD"].ask_price > latest_quote["ETH/USD"].bid_price
    assert latest_bar["BTC/USD"].trade_count > 0
    assert books["BTC/USD"].bids[0].price < books["BTC/USD"].asks[0].price
    assert snapshots["BTC/USD"].daily_bar.volume >= snapshots["BTC/USD"].minute_bar.volume
    assert snapshots["BTC/USD"].previous_daily_bar is not None


async def _finished(server) -> None:
    for _ in range(500):
        if (await asyncio.to_thread(_status, server))["state"] == "finished":
            return
        await asyncio.sleep(0.02)
    pytest.fail("the playback does not end")
