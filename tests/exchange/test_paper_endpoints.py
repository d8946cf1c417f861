"""The market goes on whatever becomes of the paper account."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.exchange.paper_account import Desk
from tradelake.exchange.connection import Connections
from tradelake.exchange.faults import Faults
from tradelake.exchange.paper.endpoints import PaperEndpoints
from tradelake.exchange.paper.updates import UpdateStream
from tradelake.exchange.publication import Lateness, Message
from tradelake.market.channels import QUOTES
from tradelake.market.records import Quote


def _endpoints(desk: Desk) -> PaperEndpoints:
    faults = Faults(Connections(), Lateness())
    stream = UpdateStream(lambda _key, _secret: True, faults, 10.0)
    return PaperEndpoints(desk.account, desk.listing, stream, lambda: desk.now_ns, "KEY")


def _ask(endpoints: PaperEndpoints, path: str) -> tuple[int, Any]:
    (route,) = [one for one in endpoints.routes("/v2") if one.path == path]
    handler: Any = route.handler
    answer = asyncio.run(handler(make_mocked_request("GET", path, {"KEY": "key"})))
    assert isinstance(answer, web.Response)
    assert isinstance(answer.body, bytes)
    return answer.status, json.loads(answer.body)


def test_trading_ends_and_the_market_goes_on_when_the_account_breaks() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1", limit="90")
    endpoints = _endpoints(desk)
    assert _ask(endpoints, "/v2/account")[0] == 200
    nonsense: Any = "a price that is text"
    record = Quote("BTC/USD", desk.now_ns, 0, nonsense, 1.0, 101.0, 1.0)
    endpoints.observe([Message(desk.now_ns, (QUOTES, "BTC/USD"), record)])
    desk.listing.halt("BTC/USD")
    assert _ask(endpoints, "/v2/account") == (
        500,
        {"code": 50010000, "message": "internal server error occurred"},
    )
