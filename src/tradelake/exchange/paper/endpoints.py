"""The REST routes of the trading API: account, orders, positions, activities."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import wraps
from typing import Any, Final

from aiohttp import web

from tradelake.errors import InvalidData
from tradelake.exchange.assets import ListedAsset, Listing, keyless
from tradelake.exchange.paper.account import PaperAccount
from tradelake.exchange.paper.asks import read_amount, read_order, read_replacement
from tradelake.exchange.paper.orders import PaperOrder
from tradelake.exchange.paper.refusals import NOT_ALLOWED, Refused, invalid, not_found
from tradelake.exchange.paper.updates import UpdateStream
from tradelake.exchange.publication import Message
from tradelake.exchange.wire import parse_timestamp
from tradelake.execution.broker import DAY_NS

_DEFAULT_ORDERS: Final = 50
_MOST_ORDERS: Final = 500
_DEFAULT_ACTIVITIES: Final = 100
_HUNDRED: Final = Decimal(100)
_BROKEN: Final = {"code": 50010000, "message": "internal server error occurred"}
_LOG: Final = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.Response]]


class PaperEndpoints:
    """Serves ``/v2`` but its assets, and feeds the account with what the venue publishes.

    Parameters
    ----------
    account : PaperAccount
        The venue's one account.
    listing : Listing
        What the venue trades.
    stream : UpdateStream
        Where updates are told.
    now : callable
        The market's time, ns since 1970 UTC.
    key_header : str
        Without this header nobody is answered.
    """

    def __init__(
        self,
        account: PaperAccount,
        listing: Listing,
        stream: UpdateStream,
        now: Callable[[], int],
        key_header: str,
    ) -> None:
        self._account = account
        self._listing = listing
        self._stream = stream
        self._now = now
        self._key_header = key_header
        self._preparing: asyncio.Task[None] | None = None
        self._broken = False

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Routes under ``prefix``, and ``/stream``."""
        order, position = f"{prefix}/orders/{{order_id}}", f"{prefix}/positions/{{name:.+}}"
        answer = self._answering
        return [
            web.get("/stream", self._stream.handle),
            web.get(f"{prefix}/account", answer(self._figures)),
            web.get(f"{prefix}/account/activities", answer(self._activities)),
            web.get(f"{prefix}/account/activities/{{kind}}", answer(self._activities)),
            web.get(f"{prefix}/orders", answer(self._orders)),
            web.post(f"{prefix}/orders", answer(self._place)),
            web.delete(f"{prefix}/orders", answer(self._cancel_all)),
            web.get(f"{prefix}/orders:by_client_order_id", answer(self._by_client)),
            web.get(order, answer(self._order)),
            web.patch(order, answer(self._replace)),
            web.delete(order, answer(self._cancel)),
            web.get(f"{prefix}/positions", answer(self._positions)),
            web.delete(f"{prefix}/positions", answer(self._close_all)),
            web.get(position, answer(self._position)),
            web.delete(position, answer(self._close)),
        ]

    def observe(self, messages: Sequence[Message]) -> None:
        """Let what the venue publishes fill orders.

        Where that fails trading ends, and every request to trade is answered 500; the market, of
        which others rely on every message, goes on.
        """
        if self._broken:
            return
        try:
            self._account.observe(messages)
            self._tell()
        except Exception:  # noqa: BLE001 - whatever is wrong with trading, the market is played
            self._broken = True
            _LOG.exception("the paper account is broken: trading ends, the market goes on")

    def change(self, asset: ListedAsset) -> None:
        """Let what the venue says of an asset count from now on."""
        if self._broken:
            return
        self._account.change(asset)
        self._tell()

    def _tell(self) -> None:
        self._stream.publish(self._account.blotter.updates())

    def _answering(self, handler: _Handler) -> _Handler:
        """Return the handler with what is the same for all: the key, the time, refusals."""

        @wraps(handler)
        async def answer(request: web.Request) -> web.Response:
            return await self._answer(handler, request)

        return answer

    async def _answer(self, handler: _Handler, request: web.Request) -> web.Response:
        refusal = keyless(request, self._key_header)
        if refusal is not None:
            return refusal
        await request.read()
        if request.method == "POST":
            await self._ready()
        if self._broken:
            return web.json_response(_BROKEN, status=500)
        self._account.begin(self._now())
        try:
            return await handler(request)
        except Refused as error:
            return web.json_response(_error(error), status=error.answer.http)
        except InvalidData as error:
            refused = invalid(str(error))
            return web.json_response(_error(refused), status=refused.answer.http)
        finally:
            self._tell()

    async def _ready(self) -> None:
        """Load the matching core with the first order, beside everything else."""
        if self._preparing is None or (self._preparing.done() and self._preparing.exception()):
            self._preparing = asyncio.create_task(asyncio.to_thread(self._account.prepare))
        await asyncio.shield(self._preparing)

    async def _figures(self, _request: web.Request) -> web.Response:
        """Cash, buying power and equity of the account."""
        return web.json_response(self._account.figures().body())

    async def _place(self, request: web.Request) -> web.Response:
        """Place an order; 403 or 422 with Alpaca's code where it is refused."""
        ask = read_order(await request.read())
        asset = self._listing.find(ask.symbol)
        if asset is None:
            raise invalid(f'could not find asset "{ask.symbol:.40}"', NOT_ALLOWED)
        return web.json_response(self._account.place(ask, asset).body())

    async def _orders(self, request: web.Request) -> web.Response:
        """Orders by ``status`` (open, closed, all), ``symbols``, ``side``, ``after``, ``until``."""
        return web.json_response(
            [order.body() for order in _chosen(self._account.blotter.orders(), request.query)]
        )

    async def _order(self, request: web.Request) -> web.Response:
        """An order by its id."""
        order = self._account.blotter.order(request.match_info["order_id"])
        return web.json_response(order.body())

    async def _by_client(self, request: web.Request) -> web.Response:
        """The order of a ``client_order_id``."""
        order = self._account.blotter.order_of_client(request.query.get("client_order_id", ""))
        return web.json_response(order.body())

    async def _replace(self, request: web.Request) -> web.Response:
        """Put another order in the place of one; ``qty`` is what shall be left to fill."""
        told = read_replacement(await request.read())
        order = self._account.replace(request.match_info["order_id"], told)
        return web.json_response(order.body())

    async def _cancel(self, request: web.Request) -> web.Response:
        """Cancel an order; 204."""
        self._account.cancel(request.match_info["order_id"])
        return web.Response(status=204)

    async def _cancel_all(self, _request: web.Request) -> web.Response:
        """Cancel every open order; 207 with the outcome of each."""
        return web.json_response(self._cancelled(self._account.blotter.open()), status=207)

    def _cancelled(self, orders: Sequence[PaperOrder]) -> list[dict[str, Any]]:
        answers = []
        for order in orders:
            self._account.cancel(order.order_id)
            answers.append({"id": order.order_id, "status": 200, "body": order.body()})
        return answers

    async def _positions(self, _request: web.Request) -> web.Response:
        """What is held."""
        return web.json_response([one.body() for one in self._account.positions()])

    async def _position(self, request: web.Request) -> web.Response:
        """What is held of an asset, by symbol without the slash, or by its id."""
        position = self._account.position(self._asset(request))
        if position is None:
            raise not_found("position does not exist")
        return web.json_response(position.body())

    async def _close(self, request: web.Request) -> web.Response:
        """Sell what is held of an asset, or ``qty`` or ``percentage`` of it, at the market."""
        quantity, share = request.query.get("qty"), request.query.get("percentage")
        if quantity is not None and share is not None:
            raise invalid("only one of qty or percentage is accepted")
        part = None if share is None else read_amount("percentage", share) / _HUNDRED
        if part is not None and part > 1:
            raise invalid("percentage must be between 0 and 100")
        amount = None if quantity is None else read_amount("qty", quantity)
        order = self._account.close(self._asset(request), part, amount)
        return web.json_response(order.body())

    async def _close_all(self, request: web.Request) -> web.Response:
        """Sell everything, after cancelling with ``cancel_orders``; 207 with each outcome."""
        if request.query.get("cancel_orders", "").lower() == "true":
            self._cancelled(self._account.blotter.open())
        answers: list[dict[str, Any]] = []
        for position in self._account.positions():
            answer: dict[str, Any] = {"symbol": position.asset.symbol.replace("/", "")}
            try:
                order = self._account.close(position.asset, None, None)
            except Refused as error:
                answer |= {"status": error.answer.http, "body": _error(error)}
            else:
                answer |= {"status": 200, "order_id": order.order_id, "body": order.body()}
            answers.append(answer)
        return web.json_response(answers, status=207)

    async def _activities(self, request: web.Request) -> web.Response:
        """Fills and their fees, by ``activity_types``, ``after``, ``until``; paged."""
        query = request.query
        given = request.match_info.get("kind") or query.get("activity_types", "")
        kinds = {kind.strip() for kind in given.split(",") if kind.strip()}
        after, until = _between(query)
        if "date" in query:
            after = parse_timestamp(query["date"]) - 1
            until = after + 1 + DAY_NS
        found = [
            one
            for one in self._account.blotter.activities
            if (not kinds or one.kind in kinds) and after < one.ts_ns < until
        ]
        if _one_of(query, "direction", "desc", "asc") == "desc":
            found.reverse()
        token = query.get("page_token")
        if token is not None:
            ids = [one.activity_id for one in found]
            if token not in ids:
                raise invalid(f"invalid page_token: {token!r:.80}")
            found = found[ids.index(token) + 1 :]
        size = _count(query, "page_size", _DEFAULT_ACTIVITIES, _DEFAULT_ACTIVITIES)
        return web.json_response([one.body for one in found[:size]])

    def _asset(self, request: web.Request) -> ListedAsset:
        asset = self._listing.find(request.match_info["name"])
        if asset is None:
            raise not_found("position does not exist")
        return asset


def _error(error: Refused) -> dict[str, Any]:
    return {"code": error.answer.code, "message": error.answer.message}


def _chosen(orders: Sequence[PaperOrder], query: Mapping[str, str]) -> list[PaperOrder]:
    """Return the orders a query asks for, the newest first where it does not say."""
    status = _one_of(query, "status", "open", "closed", "all")
    side = _one_of(query, "side", "", "buy", "sell")
    symbols = {name.strip() for name in query.get("symbols", "").split(",") if name.strip()}
    after, until = _between(query)
    found = [
        order
        for order in orders
        if (status == "all" or order.open == (status == "open"))
        and (not symbols or symbols & {order.asset.symbol, order.asset.symbol.replace("/", "")})
        and side in ("", order.side)
        and after < order.created_ns < until
    ]
    if _one_of(query, "direction", "desc", "asc") == "desc":
        found.reverse()
    return found[: _count(query, "limit", _DEFAULT_ORDERS, _MOST_ORDERS)]


def _one_of(query: Mapping[str, str], name: str, default: str, *others: str) -> str:
    value = query.get(name, default)
    if value not in (default, *others):
        raise invalid(f"invalid {name}: {value!r:.40}")
    return value


def _between(query: Mapping[str, str]) -> tuple[int, int]:
    after = parse_timestamp(query["after"]) if "after" in query else -1
    until = parse_timestamp(query["until"]) if "until" in query else 2**63
    return after, until


def _count(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    if not number or not 1 <= int(text) <= most:
        raise invalid(f"{name} must be 1 to {most}: {text!r:.40}")
    return int(text)
