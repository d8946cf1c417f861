"""What clients ask of the trading API, read and checked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from tradelake.decoding import json_decoder
from tradelake.exchange.paper.refusals import BAD_BODY, NOT_ALLOWED, Refused, invalid
from tradelake.execution.broker import Rejection
from tradelake.execution.brokers.alpaca import BAD_TIF, REJECTIONS
from tradelake.execution.layout import OrderType, Reason, Side, TimeInForce

LONGEST_ID: Final = 128
_MOST_DECIMALS: Final = 9
_MOST: Final = Decimal("1e18")
SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
TYPES: Final = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stop": OrderType.STOP,
    "stop_limit": OrderType.STOP_LIMIT,
    "trailing_stop": OrderType.TRAILING_STOP,
}
TIFS: Final = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC}
_SIMPLE: Final = ("", "simple")
_T = TypeVar("_T")


class OrderBody(msgspec.Struct):
    """The body of ``POST /v2/orders``; numbers may come as text. What is not named is ignored."""

    symbol: str = ""
    side: str = ""
    type: str = ""
    time_in_force: str = ""
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    client_order_id: str | None = None
    order_class: str | None = None
    extended_hours: bool | None = None


class ReplaceBody(msgspec.Struct):
    """The body of ``PATCH /v2/orders/{id}``."""

    qty: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    time_in_force: str | None = None
    client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """An order as a client asks for it.

    Parameters
    ----------
    symbol : str
        As the client wrote it.
    quantity, notional : Decimal or None
        Base units, or quote units; one of them, or none for the whole position.
    limit, stop : Decimal or None
        Quote units.
    client_order_id : str
        Empty where the client gave none.
    """

    symbol: str
    side: Side
    kind: OrderType
    tif: TimeInForce
    quantity: Decimal | None = None
    notional: Decimal | None = None
    limit: Decimal | None = None
    stop: Decimal | None = None
    client_order_id: str = ""


def read_order(body: bytes) -> Ask:
    """Return what ``POST /v2/orders`` asks for.

    Raises
    ------
    Refused
        As Alpaca answers: 400 for what is no JSON of the right types, 422 for what makes no order.
    """
    told = _decoded(OrderBody, body)
    _require(bool(told.symbol), "symbol is required")
    side = SIDES.get(told.side)
    if side is None:
        raise invalid("side is required" if not told.side else f"invalid side: {told.side!r:.40}")
    kind = TYPES.get(told.type)
    if kind is None:
        raise invalid("type is required" if not told.type else f"invalid type: {told.type!r:.40}")
    if kind not in (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_LIMIT):
        raise Refused(REJECTIONS[Reason.UNSUPPORTED])
    tif = TIFS.get(told.time_in_force)
    if tif is None:
        raise Refused(BAD_TIF)
    if told.order_class not in (None, *_SIMPLE):
        raise invalid(
            f"crypto orders not allowed for advanced order_class: {told.order_class!r:.40}",
            NOT_ALLOWED,
        )
    _require(not told.extended_hours, "extended hours order must be DAY limit orders", NOT_ALLOWED)
    _check_amount(told)
    _check_prices(kind, told)
    return Ask(
        told.symbol,
        side,
        kind,
        tif,
        told.qty,
        told.notional,
        told.limit_price,
        told.stop_price,
        _client_id(told.client_order_id),
    )


def read_replacement(body: bytes) -> ReplaceBody:
    """Return what ``PATCH /v2/orders/{id}`` asks for.

    Raises
    ------
    Refused
        As :func:`read_order`.
    """
    told = _decoded(ReplaceBody, body)
    _positive("qty", told.qty)
    _positive("limit price", told.limit_price)
    _positive("stop price", told.stop_price)
    _require(told.trail is None, "trail can only be changed of trailing stop orders")
    _client_id(told.client_order_id)
    if told.time_in_force is not None and told.time_in_force not in TIFS:
        raise Refused(BAD_TIF)
    changes = (told.qty, told.limit_price, told.stop_price, told.time_in_force)
    _require(any(one is not None for one in changes), "order parameters are not changed")
    return told


def read_amount(name: str, text: str) -> Decimal:
    """Return a positive decimal of a query.

    Raises
    ------
    Refused
        It is none.
    """
    try:
        value = Decimal(text)
    except ArithmeticError:
        raise invalid(f"invalid {name}: {text!r:.40}") from None
    _positive(name, value)
    return value


def _decoded(kind: type[_T], body: bytes) -> _T:
    try:
        return json_decoder(kind).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"request body format is invalid: {error}"
        raise Refused(Rejection(400, BAD_BODY, message)) from error


def _require(holds: bool, message: str, code: int | None = None) -> None:
    if not holds:
        raise invalid(message) if code is None else invalid(message, code)


def _positive(name: str, value: Decimal | None) -> None:
    if value is None:
        return
    _require(value.is_finite() and 0 < value < _MOST, f"{name} must be > 0 and < 1e18")


def _check_amount(told: OrderBody) -> None:
    _require(told.qty is None or told.notional is None, "only one of qty or notional is accepted")
    _require(told.qty is not None or told.notional is not None, "qty or notional is required")
    _positive("qty", told.qty)
    _positive("notional", told.notional)
    for name, value in (("qty", told.qty), ("notional", told.notional)):
        if value is not None and value != round(value, _MOST_DECIMALS):
            raise invalid(f"{name} must be limited to {_MOST_DECIMALS} decimal places", NOT_ALLOWED)


def _check_prices(kind: OrderType, told: OrderBody) -> None:
    limit, stop = told.limit_price, told.stop_price
    if kind is OrderType.MARKET:
        _require(limit is None and stop is None, "market orders require no stop or limit price")
    elif kind is OrderType.LIMIT:
        _require(limit is not None, "limit orders require a limit price")
        _require(stop is None, "limit orders require no stop price")
    else:
        both = limit is not None and stop is not None
        _require(both, "stop limit orders require both stop and limit price")
    _positive("limit price", limit)
    _positive("stop price", stop)


def _client_id(given: str | None) -> str:
    text = given or ""
    long = f"client_order_id must be no more than {LONGEST_ID} characters"
    _require(len(text) <= LONGEST_ID, long)
    return text
