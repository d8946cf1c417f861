"""What clients ask of the trading API is read as Alpaca reads it, or refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.paper_account import Desk
from tradelake.exchange.paper.asks import read_order, read_replacement
from tradelake.exchange.paper.refusals import Refused


def _body(**changes: Any) -> bytes:
    order = {
        "symbol": "BTC/USD",
        "qty": "0.1",
        "side": "buy",
        "type": "market",
        "time_in_force": "gtc",
    }
    return json.dumps({k: v for k, v in (order | changes).items() if v is not None}).encode()


@pytest.mark.parametrize(
    ("body", "http", "said"),
    [
        (b"", 400, "request body format is invalid"),
        (b"[]", 400, "request body format is invalid"),
        (b'{"x":' + b"[" * 100_000, 400, "request body format is invalid"),
        (_body(qty="lots"), 400, "request body format is invalid"),
        (_body(qty=None), 422, "qty or notional is required"),
        (_body(notional="5"), 422, "only one of qty or notional is accepted"),
        (_body(qty="0"), 422, "qty must be > 0"),
        (_body(qty="-1"), 422, "qty must be > 0"),
        (_body(qty="NaN"), 422, "qty must be > 0"),
        (_body(qty="1e30"), 422, "qty must be > 0 and < 1e18"),
        (_body(qty="0.0000000001"), 422, "qty must be limited to 9 decimal places"),
        (_body(side="hold"), 422, "invalid side"),
        (_body(side=None), 422, "side is required"),
        (_body(type="iceberg"), 422, "invalid type"),
        (_body(type="stop", stop_price="3"), 422, "invalid order type for crypto order"),
        (_body(type="trailing_stop", trail_price="3"), 422, "invalid order type for crypto order"),
        (_body(time_in_force="day"), 422, "invalid crypto time_in_force"),
        (_body(time_in_force=None), 422, "invalid crypto time_in_force"),
        (_body(symbol=None), 422, "symbol is required"),
        (_body(type="limit"), 422, "limit orders require a limit price"),
        (_body(limit_price="5"), 422, "market orders require no stop or limit price"),
        (_body(type="limit", limit_price="0"), 422, "limit price must be > 0"),
        (_body(type="stop_limit", limit_price="5"), 422, "require both stop and limit price"),
        (_body(order_class="bracket"), 422, "advanced order_class: 'bracket'"),
        (_body(extended_hours=True), 422, "extended hours order"),
        (_body(client_order_id="x" * 129), 422, "no more than 128 characters"),
    ],
)
def test_a_body_is_refused_when_it_makes_no_order(body: bytes, http: int, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        read_order(body)
    assert refused.value.answer.http == http


@pytest.mark.parametrize("body", [b"{}", b'{"qty": "-1"}', b'{"trail": "1"}', b"7"])
def test_a_replacement_is_refused_when_it_changes_nothing_that_can_change(body: bytes) -> None:
    with pytest.raises(Refused):
        read_replacement(body)


def test_numbers_may_come_as_numbers_or_in_scientific_notation() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    assert desk.post(_body(qty=1e-2)).filled_quantity == Decimal("0.01")
    assert desk.post(_body(qty="1e-02")).filled_quantity == Decimal("0.01")
