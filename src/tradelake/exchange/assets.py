"""What the venue lists: assets over REST, and the route that halts, delists and renames them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, Final

import msgspec
from aiohttp import web

from tradelake.decoding import convert, json_decoder
from tradelake.errors import InvalidData
from tradelake.exchange.publication import Message
from tradelake.exchange.tape import Tape
from tradelake.market.channels import ORDERBOOKS
from tradelake.market.symbols import parse_symbol

_NAMESPACE: Final = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_TERMS: Final = frozenset(("min_order_size", "min_trade_increment", "price_increment"))
_NOT_FOUND: Final = 40410000


@dataclass(frozen=True, slots=True)
class ListedAsset:
    """An asset; its id is made of the symbol it was listed under first."""

    asset_id: str
    symbol: str
    active: bool = True
    tradable: bool = True
    min_order_size: str = "0.0001"
    min_trade_increment: str = "0.000000001"
    price_increment: str = "0.000000001"
    """Whatever is played, at whatever price, can be bid for; ``change`` makes it coarser."""

    def body(self) -> dict[str, object]:
        """The asset as Alpaca's trading API answers it."""
        return {
            "id": self.asset_id,
            "class": "crypto",
            "exchange": "CRYPTO",
            "symbol": self.symbol,
            "name": self.symbol.replace("/", " / "),
            "status": "active" if self.active else "inactive",
            "tradable": self.tradable,
            "marginable": False,
            "shortable": False,
            "easy_to_borrow": False,
            "fractionable": True,
            "maintenance_margin_requirement": 100,
            "min_order_size": self.min_order_size,
            "min_trade_increment": self.min_trade_increment,
            "price_increment": self.price_increment,
            "attributes": [],
        }


def listed(symbol: str) -> ListedAsset:
    """Return a new asset that trades."""
    return ListedAsset(str(uuid.uuid5(_NAMESPACE, symbol)), symbol)


class Listing:
    """The venue's assets, and what may be published of them.

    Parameters
    ----------
    symbols : sequence of str
        What is listed at the start.
    tape : Tape
        Where a renamed pair's book goes on under its new symbol.
    """

    def __init__(self, symbols: Sequence[str], tape: Tape) -> None:
        self._tape = tape
        self._assets = {symbol: listed(symbol) for symbol in symbols}
        self._names: dict[str, str] = {}  # of the market's own symbols that go by another now
        self._left: set[str] = set()
        self._silent: frozenset[str] = frozenset()
        self._watchers: list[Callable[[ListedAsset], None]] = []

    def watch(self, watcher: Callable[[ListedAsset], None]) -> None:
        """Call ``watcher`` with every asset that changes, as it is then.

        What it raises refuses the change, which has not been made then.
        """
        self._watchers.append(watcher)

    def find(self, name: str) -> ListedAsset | None:
        """Return the asset of a symbol, with or without the slash, or of an id; or None."""
        for asset in self.assets():
            if name in (asset.symbol, asset.symbol.replace("/", ""), asset.asset_id):
                return asset
        return None

    @property
    def symbols(self) -> list[str]:
        """Symbols that are active, sorted."""
        return sorted(symbol for symbol, asset in self._assets.items() if asset.active)

    def assets(self) -> list[ListedAsset]:
        """Every asset, active or not, sorted by symbol."""
        return [asset for _, asset in sorted(self._assets.items())]

    def refused(self, symbol: str) -> bool:
        """Whether a subscription may not name a symbol: it was delisted, or has another name."""
        return symbol in self._silent

    def publishable(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return what is published of messages: nothing of delisted pairs, renamed ones renamed."""
        if not (self._silent or self._names):
            return messages
        published = []
        for message in messages:
            channel, symbol = message.key
            symbol = self._names.get(symbol, symbol)
            if symbol in self._silent:
                continue
            if symbol == message.key[1]:
                published.append(message)
            else:
                record = msgspec.structs.replace(message.record, symbol=symbol)
                published.append(Message(message.at_ns, (channel, symbol), record))
        return published

    def halt(self, symbol: str) -> None:
        """Orders are refused; data goes on."""
        self._set(replace(self._active(symbol), tradable=False))

    def resume(self, symbol: str) -> None:
        """Orders are accepted again."""
        self._set(replace(self._active(symbol), tradable=True))

    def delist(self, symbol: str) -> None:
        """The asset is inactive, its messages stop, and subscriptions to it are refused."""
        self._set(replace(self._active(symbol), active=False, tradable=False))

    def enlist(self, symbol: str) -> None:
        """A new pair, or one that was delisted, trades."""
        old = self._assets.get(symbol)
        if old is not None and old.active:
            raise InvalidData("assets", f"{symbol} is listed")
        if old is not None:
            self._set(replace(old, active=True, tradable=True))
            return
        self._set(replace(listed(symbol), asset_id=self._free_id(symbol)))
        self._names.pop(symbol, None)

    def rename(self, symbol: str, to: str) -> None:
        """The asset keeps its id; data goes on under the symbol ``to``, the book whole."""
        asset = self._active(symbol)
        if to in self._assets:
            raise InvalidData("assets", f"expected a symbol that is free; {to} is not")
        self._tell(replace(asset, symbol=to))
        book = self._tape.book(symbol)
        if book is not None:
            self._tape.add((ORDERBOOKS, to), msgspec.structs.replace(book, symbol=to))
        names = {symbol: symbol} | self._names
        names = {source: to if name == symbol else name for source, name in names.items()}
        self._names = {source: name for source, name in names.items() if source != name}
        self._left.add(symbol)
        del self._assets[symbol]
        self._keep(replace(asset, symbol=to))

    def change(self, symbol: str, terms: dict[str, str]) -> None:
        """Increments and the minimum size change."""
        unknown = terms.keys() - _TERMS
        if unknown or not terms:
            raise InvalidData(
                "assets", f"expected {', '.join(sorted(_TERMS))}; found {sorted(terms)}"
            )
        for name, text in terms.items():
            if not _is_decimal(text):
                raise InvalidData("assets", f"expected {name} of 0 or more; found {text!r:.40}")
        asset = self._active(symbol)
        self._set(convert(asdict(asset) | terms, ListedAsset))

    def _active(self, symbol: str) -> ListedAsset:
        asset = self._assets.get(symbol)
        if asset is None or not asset.active:
            raise InvalidData("assets", f"expected a listed symbol; found {symbol!r}")
        return asset

    def _free_id(self, symbol: str) -> str:
        taken = {asset.asset_id for asset in self._assets.values()}
        while (asset_id := str(uuid.uuid5(_NAMESPACE, symbol))) in taken:
            symbol += " again"
        return asset_id

    def _set(self, asset: ListedAsset) -> None:
        self._tell(asset)
        self._keep(asset)

    def _tell(self, asset: ListedAsset) -> None:
        for watcher in self._watchers:
            watcher(asset)

    def _keep(self, asset: ListedAsset) -> None:
        self._assets[asset.symbol] = asset
        gone = {symbol for symbol, known in self._assets.items() if not known.active}
        self._silent = frozenset(gone | (self._left - self._assets.keys()))


def _is_decimal(text: str) -> bool:
    try:
        value = Decimal(text)
    except ArithmeticError:
        return False
    return value.is_finite() and value >= 0


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """A request to the admin route."""

    action: str
    symbol: str
    to: str = ""
    terms: dict[str, str] = {}


def keyless(request: web.Request, key_header: str) -> web.Response | None:
    """Return the trading API's answer to a request without a key; None where it has one."""
    if key_header in request.headers:
        return None
    return web.json_response({"message": "forbidden."}, status=403)


@dataclass(frozen=True, slots=True)
class AssetEndpoints:
    """Serves ``/v2/assets`` of the trading API, and ``/_exchange/assets``.

    Parameters
    ----------
    listing : Listing
        What there is.
    key_header : str
        Without this header the trading API answers nobody.
    """

    listing: Listing
    key_header: str

    def routes(self, trading: str, admin: str) -> list[web.RouteDef]:
        """Routes under the prefixes of the trading API and of the simulator's own."""
        return [
            web.get(f"{trading}/assets", self.every),
            web.get(f"{trading}/assets/{{base}}/{{quote}}", self.one),
            web.get(f"{trading}/assets/{{name}}", self.one),
            web.post(f"{admin}/assets", self.order),
        ]

    async def every(self, request: web.Request) -> web.Response:
        """Assets, of a ``status`` and an ``asset_class`` where they are given."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        bodies = [asset.body() for asset in self.listing.assets()]
        for parameter, field in (("status", "status"), ("asset_class", "class")):
            wanted = request.query.get(parameter)
            if wanted is not None:
                bodies = [body for body in bodies if body[field] == wanted]
        return web.json_response(bodies)

    async def one(self, request: web.Request) -> web.Response:
        """An asset by its symbol, with or without the slash, or its id."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        name = "/".join(request.match_info.values())
        asset = self.listing.find(name)
        if asset is not None:
            return web.json_response(asset.body())
        message = {"code": _NOT_FOUND, "message": f"asset not found for {name}"}
        return web.json_response(message, status=404)

    async def order(self, request: web.Request) -> web.Response:
        """``action``: halt, resume, delist, list, rename (``to``) or change (``terms``)."""
        try:
            order = json_decoder(_Order).decode(await request.read())
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InvalidData("assets", f"expected action and symbol: {error}") from error
        symbol, listing = parse_symbol(order.symbol), self.listing
        actions: dict[str, Callable[[], Any]] = {
            "halt": lambda: listing.halt(symbol),
            "resume": lambda: listing.resume(symbol),
            "delist": lambda: listing.delist(symbol),
            "list": lambda: listing.enlist(symbol),
            "rename": lambda: listing.rename(symbol, parse_symbol(order.to)),
            "change": lambda: listing.change(symbol, order.terms),
        }
        if order.action not in actions:
            raise InvalidData(
                "assets", f"expected one of {', '.join(actions)}; found {order.action!r}"
            )
        actions[order.action]()
        return web.json_response([asset.body() for asset in listing.assets()])

    def _refusal(self, request: web.Request) -> web.Response | None:
        return keyless(request, self.key_header)
