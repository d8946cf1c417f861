"""The unmodified trading clients of alpaca-py against the exchange's paper account."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.exchange.conftest import Server

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # alpaca-py imports websockets.legacy
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
    from alpaca.trading.requests import (
        ClosePositionRequest,
        GetOrdersRequest,
        LimitOrderRequest,
        MarketOrderRequest,
        ReplaceOrderRequest,
        StopLimitOrderRequest,
        StopOrderRequest,
    )
    from alpaca.trading.stream import TradingStream

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*legacy.*:DeprecationWarning", "ignore:.*websockets.*:DeprecationWarning"
)

GTC, BUY, SELL = TimeInForce.GTC, OrderSide.BUY, OrderSide.SELL


@pytest.fixture
def played(exchange: Callable[..., Server], recordings: Path) -> Server:
    """Return an exchange whose recordings were played: BTC/USD 105.5/106.5, ETH/USD alike."""
    server = exchange(data=recordings, start="at_once", speed=1e9, matching="quotes")
    deadline = time.monotonic() + 20
    while _status(server)["state"] != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server


@pytest.fixture
def client(played: Server) -> Iterator[TradingClient]:
    client = TradingClient("demo-key", "demo-secret", paper=True, url_override=played.url)
    yield client
    client._session.close()


def _status(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(server.url + "/_exchange/status", timeout=5) as response:
        return json.load(response)


def _fault(server: Server, **fault: Any) -> None:
    request = urllib.request.Request(
        server.url + "/_exchange/fault", json.dumps(fault).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=5):
        pass


def _market(side: OrderSide, **amount: Any) -> MarketOrderRequest:
    return MarketOrderRequest(symbol="BTC/USD", side=side, time_in_force=GTC, **amount)


def _limit(price: float, **more: Any) -> LimitOrderRequest:
    return LimitOrderRequest(
        symbol="ETH/USD", side=BUY, time_in_force=GTC, limit_price=price, qty=2, **more
    )


def test_orders_positions_and_account_are_what_the_client_expects(client: TradingClient) -> None:
    assert client.get_account().cash == "100000"
    bought = client.submit_order(_market(BUY, qty=1))
    assert (bought.status, bought.filled_qty) == (OrderStatus.FILLED, "1")
    position = client.get_open_position("BTCUSD")
    assert position.qty == position.qty_available == "0.9975"
    assert [one.symbol for one in client.get_all_positions()] == ["BTCUSD"]
    assert client.get_open_position(position.asset_id).qty == "0.9975"
    account = client.get_account()
    assert float(account.cash) == 100_000 - float(bought.filled_avg_price)
    half = client.close_position("BTCUSD", ClosePositionRequest(percentage="50"))
    assert half.filled_qty == "0.49875"
    closed = client.close_all_positions(cancel_orders=True)
    assert [(one.symbol, one.status, one.body.filled_qty) for one in closed] == [
        ("BTCUSD", 200, "0.49875")
    ]
    assert client.get_all_positions() == []
    with pytest.raises(APIError, match="position does not exist"):
        client.get_open_position("BTCUSD")


def test_orders_are_listed_replaced_and_cancelled(client: TradingClient) -> None:
    first = client.submit_order(_limit(50.0, client_order_id="first"))
    assert client.get_order_by_client_id("first").id == first.id
    second = client.replace_order_by_id(first.id, ReplaceOrderRequest(limit_price=51.0))
    assert (second.replaces, client.get_order_by_id(first.id).replaced_by) == (first.id, second.id)
    stop = client.submit_order(
        StopLimitOrderRequest(
            symbol="ETH/USD", side=BUY, time_in_force=GTC, qty=1, limit_price=200, stop_price=190
        )
    )
    assert [one.id for one in client.get_orders()] == [stop.id, second.id]
    client.cancel_order_by_id(stop.id)
    assert [one.id for one in client.get_orders()] == [second.id]
    assert [(one.id, one.status) for one in client.cancel_orders()] == [(second.id, 200)]
    every = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=2))
    assert [one.status for one in every] == [OrderStatus.CANCELED] * 2
    closed = client.get_orders(
        GetOrdersRequest(status=QueryOrderStatus.CLOSED, symbols=["ETH/USD"], side=BUY)
    )
    assert [one.id for one in closed] == [stop.id, second.id, first.id]
    assert client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, side=SELL)) == []


@pytest.mark.parametrize(
    ("order", "code", "said"),
    [
        (_market(BUY, qty=5000), 40310000, "insufficient balance for USD"),
        (_market(SELL, qty=1), 40310000, "insufficient balance for BTC"),
        (_market(BUY, qty=1e-6), 40310000, "cost basis must be >= minimal amount of order 1"),
        (
            MarketOrderRequest(symbol="NO/USD", side=BUY, time_in_force=GTC, qty=1),
            42210000,
            "could not find asset",
        ),
        (
            MarketOrderRequest(symbol="BTC/USD", side=BUY, time_in_force=TimeInForce.DAY, qty=1),
            42210000,
            "invalid crypto time_in_force",
        ),
        (
            StopOrderRequest(symbol="BTC/USD", side=SELL, time_in_force=GTC, qty=1, stop_price=90),
            40010001,
            "invalid order type for crypto order",
        ),
    ],
)
def test_what_the_venue_refuses_is_an_error_with_alpacas_code(
    client: TradingClient, order: Any, code: int, said: str
) -> None:
    with pytest.raises(APIError, match=said) as refused:
        client.submit_order(order)
    assert refused.value.code == code
    assert client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL)) == []


def test_an_order_lives_when_the_answer_to_it_was_lost(
    played: Server, client: TradingClient
) -> None:
    client._retry_wait = 0
    _fault(played, kind="lost_answer", status=504)
    with pytest.raises(APIError, match="client_order_id must be unique"):
        client.submit_order(_market(BUY, qty=1, client_order_id="once"))  # the SDK posts again
    assert client.get_order_by_client_id("once").status is OrderStatus.FILLED
    assert len(client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL))) == 1


def test_updates_tell_what_happens_to_orders(played: Server, client: TradingClient) -> None:
    updates: list[Any] = []
    stream = TradingStream(
        "demo-key", "demo-secret", url_override=played.url.replace("http", "ws") + "/stream"
    )

    async def take(update: Any) -> None:
        updates.append(update)
        if len(updates) == 5:
            await stream.stop_ws()

    stream.subscribe_trade_updates(take)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    _until(lambda: _listens(played))
    client.submit_order(_market(BUY, qty=1))
    resting = client.submit_order(_limit(50.0))
    client.cancel_order_by_id(resting.id)
    client.submit_order(_market(SELL, notional=20))
    thread.join(20)
    assert not thread.is_alive()
    told = [(one.event, one.order.status.value, one.position_qty) for one in updates[:4]]
    assert told == [
        ("new", "new", None),
        ("fill", "filled", 0.9975),
        ("new", "new", None),
        ("canceled", "canceled", None),
    ]


def _listens(server: Server) -> bool:
    """Whether somebody listens to updates: asked of a venue that we look into."""
    return bool(_status(server)["update_listeners"])


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_activities_are_paged_and_filtered(client: TradingClient) -> None:
    client.submit_order(_market(BUY, qty=1))
    client.submit_order(_market(SELL, qty=0.5))
    every = client.get("/account/activities")
    assert [one["activity_type"] for one in every] == ["CFEE", "FILL", "CFEE", "FILL"]
    fills = client.get("/account/activities/FILL", {"direction": "asc"})
    assert [one["side"] for one in fills] == ["buy", "sell"]
    first = client.get("/account/activities", {"page_size": "3"})
    token = {"page_token": first[-1]["id"]}
    assert first + client.get("/account/activities", token) == every


async def _talk(url: str, *messages: Any) -> list[Any]:
    """Send messages to the stream of updates; return what came within a second of the last."""
    heard: list[Any] = []
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        for message in messages:
            await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_json(message))
        while True:
            try:
                got = await ws.receive(timeout=0.5)
            except TimeoutError:
                return heard
            if got.type is not aiohttp.WSMsgType.BINARY:
                return heard
            heard.append(json.loads(got.data))


def test_the_stream_of_updates_wants_credentials_first(played: Server) -> None:
    url = played.url.replace("http", "ws") + "/stream"
    listen = {"action": "listen", "data": {"streams": ["trade_updates"]}}
    wrong = {"action": "authenticate", "data": {"key_id": "demo-key", "secret_key": "no"}}
    right = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
    unauthorized = {"action": "listen", "status": "unauthorized"}
    heard = asyncio.run(_talk(url, b"\xff\xfe", "nonsense", listen, wrong, right, listen))
    assert [one["data"] for one in heard] == [
        unauthorized,
        unauthorized | {"action": "authenticate"},
        {"action": "auth", "status": "authorized"},
        {"streams": ["trade_updates"]},
    ]
    assert "demo-secret" not in json.dumps(heard)


def test_clients_reconcile_over_rest_when_the_stream_of_updates_broke(
    played: Server, client: TradingClient
) -> None:
    url = played.url.replace("http", "ws") + "/stream"

    async def cut() -> aiohttp.WSMsgType:
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
            await ws.send_json({"action": "auth", "key": "demo-key", "secret": "demo-secret"})
            await ws.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
            await ws.receive()
            await ws.receive()
            await asyncio.to_thread(_fault, played, kind="cut_updates")
            return (await ws.receive(timeout=5)).type

    assert asyncio.run(cut()) in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert client.submit_order(_market(BUY, qty=1)).status is OrderStatus.FILLED


@pytest.mark.parametrize(
    ("method", "path", "http", "said"),
    [
        ("GET", "/v2/orders?status=lost", 422, "invalid status"),
        ("GET", "/v2/orders?limit=0", 422, "limit must be 1 to 500"),
        ("GET", "/v2/orders?limit=" + "9" * 5000, 422, "limit must be 1 to 500"),
        ("GET", "/v2/orders?side=long", 422, "invalid side"),
        ("GET", "/v2/orders?direction=up", 422, "invalid direction"),
        ("GET", "/v2/orders?after=noon", 422, "timestamp"),
        ("GET", "/v2/orders/none", 404, "order not found for none"),
        ("GET", "/v2/orders:by_client_order_id?client_order_id=x", 404, "order not found for x"),
        ("DELETE", "/v2/orders/none", 404, "order not found"),
        ("PATCH", "/v2/orders/none", 400, "request body format is invalid"),
        ("POST", "/v2/orders", 400, "request body format is invalid"),
        ("DELETE", "/v2/positions/BTCUSD?percentage=101", 422, "percentage must be between"),
        ("DELETE", "/v2/positions/BTCUSD?qty=x", 422, "invalid qty"),
        ("DELETE", "/v2/positions/NONE", 404, "position does not exist"),
        ("GET", "/v2/account/activities?page_token=x", 422, "invalid page_token"),
        ("GET", "/v2/account/activities?page_size=-1", 422, "page_size must be"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    played: Server, method: str, path: str, http: int, said: str
) -> None:
    keys = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}

    async def ask(headers: dict[str, str]) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, played.url + path, headers=headers) as response,
        ):
            return response.status, await response.json()

    status, body = asyncio.run(ask(keys))
    assert (status, said in body["message"]) == (http, True), body
    assert body["code"]
    assert asyncio.run(ask({}))[0] == 403
    assert asyncio.run(ask(keys | {"APCA-API-SECRET-KEY": "wrong"}))[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "headers", "http"),
    [
        ("GET", "/v2/clock", {}, 404),
        ("PUT", "/v2/orders", {}, 405),
        ("POST", "/v2/orders", {"Content-Encoding": "gzip"}, 400),
        ("POST", "/v2/orders", {"APCA-API-KEY-ID": "wrong", "Upgrade": "websocket"}, 403),
    ],
)
def test_every_error_is_json_and_nobody_gets_in_without_the_secret(
    played: Server, method: str, path: str, headers: dict[str, str], http: int
) -> None:
    keys = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}

    async def ask() -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, played.url + path, headers=keys | headers, data=b"{no gzip"
            ) as response,
        ):
            return response.status, await response.json()

    status, body = asyncio.run(ask())
    assert status == http
    assert body["message"]
    assert body["code"] // 100_000 == http


def test_activities_of_a_day_are_those_of_that_day(client: TradingClient) -> None:
    client.submit_order(_market(BUY, qty=1))
    (fill,) = client.get("/account/activities/FILL")
    day = fill["transaction_time"][:10]
    assert client.get("/account/activities/FILL", {"date": day}) == [fill]
    assert client.get("/account/activities/FILL", {"date": "2001-01-01"}) == []
