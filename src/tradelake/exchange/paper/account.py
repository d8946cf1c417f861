"""One paper account: orders as clients place them, filled by the matching core. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from typing import Final

from tradelake.errors import InvalidData
from tradelake.exchange.assets import ListedAsset
from tradelake.exchange.paper.asks import Ask, ReplaceBody
from tradelake.exchange.paper.blotter import Blotter
from tradelake.exchange.paper.holdings import AccountFigures, Position
from tradelake.exchange.paper.market import PaperMarket
from tradelake.exchange.paper.matching import BROKER, Matching
from tradelake.exchange.paper.orders import CASH_UNIT, TIF_NAMES, PaperOrder, plain
from tradelake.exchange.paper.refusals import NO_FUNDS, NOT_ALLOWED, Refused, invalid, not_found
from tradelake.exchange.publication import Message
from tradelake.exchange.tape import Tape
from tradelake.execution.broker import DAY_NS, Rejection
from tradelake.execution.brokers.alpaca import BAD_TIF, DUPLICATE_CLIENT_ORDER_ID
from tradelake.execution.layout import OrderType, Reason, Side, Sizing, Status, TimeInForce
from tradelake.market.symbols import quote_asset

NAN: Final = float("nan")
_NAMESPACE: Final = uuid.UUID("0b2b1f52-6d0f-4a4c-8a43-2f1d1f3f6a10")


class PaperAccount:
    """Orders, positions and cash of the venue's one account.

    Times are the market's, ns since 1970 UTC, and never go back.

    Parameters
    ----------
    matching : Matching
        How orders are filled.
    cash : Decimal
        At the start, quote units.
    currency : str
        Cash is counted in it; only pairs quoted in it are traded.
    tape : Tape
        What was published so far.
    seed : int
        Of ids and of random partial fills.
    """

    def __init__(
        self, matching: Matching, cash: Decimal, currency: str, tape: Tape, seed: int
    ) -> None:
        self.currency = currency
        self.account_id = str(uuid.uuid5(_NAMESPACE, f"account {seed}"))
        self._cash = int(cash / CASH_UNIT)
        self._market = PaperMarket(matching, self._cash, tape, seed)
        self.blotter = Blotter(self._market, uuid.UUID(self.account_id))
        self._day = 0
        self._last_equity = cash
        self._created_ns = 0

    def prepare(self) -> None:
        """Load, or compile, the matching core; takes seconds once, and long where nothing is kept.

        To be called before orders are placed.
        """
        from tradelake.execution import calls, tick_calls  # the compiler: loaded by those who trade

        calls.prepare()
        tick_calls.prepare()

    def begin(self, now_ns: int) -> None:
        """Take down that it is this late, before a request is answered."""
        self._created_ns = self._created_ns or now_ns
        self._turn_day(now_ns)
        self._market.pass_time(now_ns)
        self.blotter.take_down()

    def observe(self, messages: Sequence[Message]) -> None:
        """Let what the venue publishes fill orders."""
        if not self._market.assets:
            return
        self._turn_day(messages[-1].at_ns)
        if self._market.observe(messages):
            self.blotter.take_down()

    def change(self, asset: ListedAsset) -> None:
        """Let what the venue says of an asset count from now on.

        Raises
        ------
        InvalidData
            What was traded would be quoted in a currency the account does not hold, or has terms
            the core cannot count in; nothing is changed then.
        """
        if self._market.number(asset) is None:
            return
        if quote_asset(asset.symbol) != self.currency:
            raise InvalidData(
                "assets",
                f"expected a pair quoted in {self.currency}, which was traded; "
                f"found {asset.symbol}",
            )
        self._market.change(asset)
        self.blotter.take_down()
        self.blotter.relist(asset)

    def place(self, ask: Ask, asset: ListedAsset) -> PaperOrder:
        """Place an order and return it, as it is right after it came to the venue.

        Raises
        ------
        Refused
            As Alpaca answers; there is no order then.
        """
        if self.blotter.knows(ask.client_order_id):
            raise Refused(DUPLICATE_CLIENT_ORDER_ID)
        if quote_asset(asset.symbol) != self.currency:
            raise invalid(
                f"the account holds {self.currency}; {asset.symbol} is not traded for it",
                NOT_ALLOWED,
            )
        number = self._market.know(asset, ask.limit)
        if number is None:
            raise invalid(f"no price is known of {asset.symbol} yet", NOT_ALLOWED)
        self._check_cash(ask, asset, number)
        amount, sizing = _amount(ask)
        row = self._market.machine.place(
            asset.asset_id,
            ask.side,
            amount,
            now_ns=self._market.now_ns,
            kind=ask.kind,
            sizing=sizing,
            limit=NAN if ask.limit is None else float(ask.limit),
            stop=NAN if ask.stop is None else float(ask.stop),
            tif=ask.tif,
        )
        self._market.settle()
        self._refuse_rejected(row, asset, ask)
        return self.blotter.accept(row, ask, asset)

    def cancel(self, order_id: str) -> PaperOrder:
        """Cancel an order.

        Raises
        ------
        Refused
            There is no such order, or it has ended.
        """
        order = self.blotter.order(order_id)
        if not order.open:
            raise invalid(f'order is already in "{order.status}" state', NOT_ALLOWED)
        self._market.machine.cancel(order.row, now_ns=self._market.now_ns)
        self._market.settle()
        self.blotter.take_down()
        return order

    def replace(self, order_id: str, told: ReplaceBody) -> PaperOrder:
        """Put another order in the place of one; a quantity is what shall be left to fill (O4).

        Raises
        ------
        Refused
            There is no such order, it has ended, or the other one is refused: it stays then.
        """
        order = self.blotter.order(order_id)
        if not order.open:
            raise invalid(f'order is already in "{order.status}" state', NOT_ALLOWED)
        ask = _changed(order, told)
        if self.blotter.knows(ask.client_order_id):
            raise Refused(DUPLICATE_CLIENT_ORDER_ID)
        row = self._market.machine.replace(
            order.row,
            now_ns=self._market.now_ns,
            amount=NAN if told.qty is None else float(told.qty),
            limit=NAN if told.limit_price is None else float(told.limit_price),
            stop=NAN if told.stop_price is None else float(told.stop_price),
        )
        self._market.settle()
        self._refuse_rejected(row, order.asset, ask)
        return self.blotter.accept(row, ask, order.asset, replaces=order)

    def close(
        self, asset: ListedAsset, share: Decimal | None, quantity: Decimal | None
    ) -> PaperOrder:
        """Sell what is held of an asset, or a share (0 to 1) or quantity of it, at the market.

        Raises
        ------
        Refused
            Nothing is held, or the order is refused.
        """
        position = self.position(asset)
        if position is None:
            raise not_found("position does not exist")
        whole = quantity is None and (share is None or share == 1)
        if quantity is None and share is not None and not whole:
            step = self._market.step(asset)
            quantity = (position.quantity * share / step).to_integral_value(ROUND_DOWN) * step
        if whole and position.available != position.quantity:
            # what other orders promise would be left open: as Alpaca, refuse the whole
            raise self._no_funds(asset, position.quantity, position.available)
        ask = Ask(asset.symbol, Side.SELL, OrderType.MARKET, TimeInForce.GTC, quantity)
        return self.place(ask, asset)

    def position(self, asset: ListedAsset) -> Position | None:
        """Return what is held of an asset, or None."""
        number = self._market.number(asset)
        return None if number is None else self._position(number)

    def positions(self) -> list[Position]:
        """Return what is held, by symbol."""
        held = (self._position(number) for number in range(len(self._market.assets)))
        return sorted((one for one in held if one is not None), key=lambda one: one.asset.symbol)

    def figures(self) -> AccountFigures:
        """Return cash, equity and what may be spent."""
        cash, promised = self._cash, 0
        if self._market.assets:
            account = self._market.machine.state.account[0]
            cash, promised = int(account["cash"]), int(account["promised"])
        positions = self.positions()
        return AccountFigures(
            account_id=self.account_id,
            currency=self.currency,
            created_ns=self._created_ns,
            cash=cash * CASH_UNIT,
            promised=promised * CASH_UNIT,
            holdings=sum((one.market_value for one in positions), Decimal(0)),
            last_equity=self._last_equity,
        )

    def _position(self, number: int) -> Position | None:
        row = self._market.machine.state.positions[number]
        if row["quantity"] == 0:
            return None
        unit = self._market.unit(number)
        return Position(
            asset=self._market.assets[number],
            quantity=int(row["quantity"]) * unit,
            available=int(row["quantity"] - row["promised"]) * unit,
            cost=int(row["cost"]) * CASH_UNIT,
            price=Decimal(repr(float(row["price"]))),
        )

    def _turn_day(self, now_ns: int) -> None:
        """Take down the equity of the day that ends, UTC."""
        day = now_ns // DAY_NS
        if day > self._day:
            if self._day:
                self._market.pass_time(self._market.now_ns)
                self._last_equity = self.figures().equity
            self._day = day

    def _check_cash(self, ask: Ask, asset: ListedAsset, number: int) -> None:
        """Refuse a buy at the market of more than there is cash for at the price asked now."""
        if ask.side is not Side.BUY or ask.kind is not OrderType.MARKET or ask.quantity is None:
            return
        price = self._market.ask(number)
        if price != price:
            return
        figures, cost = self.figures(), ask.quantity * Decimal(repr(price))
        if cost > figures.available:
            raise self._no_funds(asset, cost, figures.available, self.currency)

    def _no_funds(
        self, asset: ListedAsset, requested: Decimal, available: Decimal, of: str = ""
    ) -> Refused:
        name = of or asset.symbol.partition("/")[0]
        return Refused(
            Rejection(
                403,
                NO_FUNDS,
                f"insufficient balance for {name} (requested: {plain(requested)}, "
                f"available: {plain(available)})",
            )
        )

    def _refuse_rejected(self, row: int, asset: ListedAsset, ask: Ask) -> None:
        """Refuse what the venue rejected at once.

        Raises
        ------
        Refused
            With the broker's answer.
        """
        order = self._market.order(row)
        if order["status"] != Status.REJECTED:
            return
        self.blotter.take_down()
        reason = Reason(int(order["reason"]))
        base = asset.symbol.partition("/")[0]
        position = self.position(asset)
        selling = ask.side is Side.SELL
        requested = ask.quantity if ask.quantity is not None else ask.notional
        if not selling and ask.quantity is not None and ask.limit is not None:
            requested = ask.quantity * ask.limit
        held = position.available if position is not None else Decimal(0)
        number = self._market.number(asset)
        assert number is not None
        terms = self._market.machine.state.symbols[number]
        answer = BROKER.rejection(
            reason,
            symbol=asset.symbol,
            asset=base if selling else self.currency,
            requested=plain(requested or Decimal(0)),
            available=plain(held if selling else self.figures().available),
            minimum=plain(int(terms["minimum_value"]) * CASH_UNIT),
            cap=f"{BROKER.largest_notional:g}",
        )
        raise Refused(answer)


def _amount(ask: Ask) -> tuple[float, Sizing]:
    if ask.quantity is not None:
        return float(ask.quantity), Sizing.QUANTITY
    if ask.notional is not None:
        return float(ask.notional), Sizing.NOTIONAL
    return NAN, Sizing.CLOSE


def _changed(order: PaperOrder, told: ReplaceBody) -> Ask:
    """Return what a replacement asks for: the order's own, with what was told.

    Raises
    ------
    Refused
        The order has no such price, or its time in force would change.
    """
    ask = order.ask
    if told.limit_price is not None and ask.limit is None:
        raise invalid("limit price can only be changed of limit orders")
    if told.stop_price is not None and ask.stop is None:
        raise invalid("stop price can only be changed of stop orders")
    if told.time_in_force not in (None, TIF_NAMES[ask.tif]):
        raise Refused(BAD_TIF)
    left = order.quantity - order.filled_quantity if order.quantity is not None else None
    quantity = told.qty or left
    return replace(
        ask,
        quantity=quantity,
        notional=ask.notional if quantity is None else None,
        limit=told.limit_price or ask.limit,
        stop=told.stop_price or ask.stop,
        client_order_id=told.client_order_id or "",
    )
