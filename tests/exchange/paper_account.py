"""A paper account without a server: quotes by hand, orders in a line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tradelake.exchange.assets import Listing
from tradelake.exchange.paper.account import PaperAccount
from tradelake.exchange.paper.asks import Ask, read_order
from tradelake.exchange.paper.matching import MATCHINGS
from tradelake.exchange.paper.orders import PaperOrder
from tradelake.exchange.publication import Message
from tradelake.exchange.tape import Tape
from tradelake.execution.layout import OrderType, Side, TimeInForce
from tradelake.market.channels import ORDERBOOKS, QUOTES, TRADES
from tradelake.market.records import BookUpdate, Level, Quote, Trade

T0 = 1_750_000_000_000_000_000
SECOND = 1_000_000_000


class Desk:
    """One account at a venue that lists BTC/USD, ETH/USD and ETH/BTC."""

    def __init__(self, matching: str = "quotes", cash: str = "100000", seed: int = 7) -> None:
        self.tape = Tape(1000)
        self.listing = Listing(["BTC/USD", "ETH/USD", "ETH/BTC"], self.tape)
        self.account = PaperAccount(
            MATCHINGS[matching],
            Decimal(cash),
            "USD",
            self.tape,
            seed,  # type: ignore[index]
        )
        self.listing.watch(self.account.change)
        self.account.prepare()
        self.now_ns = T0

    def publish(self, *records: Any) -> None:
        """Publish records at the present instant."""
        channels = {Quote: QUOTES, Trade: TRADES, BookUpdate: ORDERBOOKS}
        messages = [
            Message(self.now_ns, (channels[type(record)], record.symbol), record)
            for record in records
        ]
        for message in messages:
            self.tape.add(message.key, message.record)
        self.account.observe(messages)

    def quote(
        self, bid: float, ask: float, symbol: str = "BTC/USD", size: float = 5.0, after_s: float = 1
    ) -> None:
        """Publish a quote, a second later."""
        self.now_ns += int(after_s * SECOND)
        self.publish(Quote(symbol, self.now_ns, 0, bid, size, ask, size))

    def book(self, bids: list[Level], asks: list[Level], symbol: str = "BTC/USD") -> None:
        """Publish a whole book, a second later; levels are (price, size), the best first."""
        self.now_ns += SECOND
        self.publish(BookUpdate(symbol, self.now_ns, 0, bids, asks, reset=True))

    def trade(self, price: float, size: float, symbol: str = "BTC/USD") -> None:
        """Publish a trade, a second later."""
        self.now_ns += SECOND
        self.publish(Trade(symbol, self.now_ns, 0, self.now_ns, price, size, "sell"))

    def place(
        self,
        side: str,
        qty: str | None = None,
        *,
        symbol: str = "BTC/USD",
        notional: str | None = None,
        limit: str | None = None,
        stop: str | None = None,
        tif: str = "gtc",
        client_order_id: str = "",
    ) -> PaperOrder:
        """Place an order now."""
        kind = OrderType.MARKET
        if limit is not None:
            kind = OrderType.LIMIT if stop is None else OrderType.STOP_LIMIT
        number = lambda text: None if text is None else Decimal(text)  # noqa: E731
        ask = Ask(
            symbol,
            Side.BUY if side == "buy" else Side.SELL,
            kind,
            TimeInForce.GTC if tif == "gtc" else TimeInForce.IOC,
            number(qty),
            number(notional),
            number(limit),
            number(stop),
            client_order_id,
        )
        self.account.begin(self.now_ns)
        asset = self.listing.find(symbol)
        assert asset is not None
        return self.account.place(ask, asset)

    def close(self, name: str, share: str | None = None) -> PaperOrder:
        """Close a position, or a share of it, now."""
        self.account.begin(self.now_ns)
        asset = self.listing.find(name)
        assert asset is not None
        return self.account.close(asset, None if share is None else Decimal(share), None)

    def post(self, body: bytes) -> PaperOrder:
        """Place what a body asks for."""
        ask = read_order(body)
        self.account.begin(self.now_ns)
        asset = self.listing.find(ask.symbol)
        assert asset is not None
        return self.account.place(ask, asset)

    def events(self) -> list[tuple[str, str]]:
        """Return (event, order's status then) since the last call."""
        return [(u.event, u.order["status"]) for u in self.account.blotter.updates()]

    def held(self, symbol: str = "BTC/USD") -> Decimal:
        """Return what is held of a symbol, base units."""
        asset = self.listing.find(symbol)
        assert asset is not None
        position = self.account.position(asset)
        return Decimal(0) if position is None else position.quantity
