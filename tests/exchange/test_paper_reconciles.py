"""What the account tells, on whatever channel, is one story: orders, updates, activities, money."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.paper_account import SECOND, Desk
from tradelake.errors import InvalidData
from tradelake.exchange.paper.asks import ReplaceBody
from tradelake.exchange.paper.orders import Update
from tradelake.exchange.paper.refusals import Refused

STARTS = {"BTC/USD": 60_000.0, "ETH/USD": 3_000.0}
NAMES = {"BTC/USD": "XBT/USD", "XBT/USD": "BTC/USD", "ETH/USD": "ETC/USD", "ETC/USD": "ETH/USD"}
TERMS = ("0.000000001", "0.0001", "0")
ENDS = {"fill": "filled", "canceled": "canceled", "replaced": "replaced", "rejected": "rejected"}


class _Chaos:
    """A market, a trader and a venue that all do anything at any time."""

    def __init__(self, matching: str, seed: int) -> None:
        self.draw, self.matching = random.Random(seed), matching
        self.desk = Desk(matching, cash="50000", seed=seed)
        self.prices = dict(STARTS)
        self.told: list[Update] = []

    def step(self) -> None:
        what = self.draw.random()
        try:
            if what < 0.55:
                self._quote()
            elif what < 0.85:
                self._place()
            elif what < 0.97:
                self._amend()
            else:
                self._turn()
        except (Refused, InvalidData):
            pass
        self.told += self.desk.account.blotter.updates()

    def _symbols(self) -> list[str]:
        return [one.symbol for one in self.desk.listing.assets() if one.symbol != "ETH/BTC"]

    def _price(self, symbol: str) -> float:
        return self.prices.get(symbol) or self.prices[NAMES[symbol]]

    def _quote(self) -> None:
        symbol = self.draw.choice(self._symbols())
        price = self._price(symbol) * self.draw.uniform(0.99, 1.01)
        self.prices[symbol] = price
        bid, size = round(price, 2), self.draw.uniform(0.001, 2.0)
        after_s = self.draw.choice([0, 1, 1, 30_000])
        if self.draw.random() < 0.3:
            self.desk.trade(bid, size, symbol)
        ask = round(bid * 1.0001 + 0.01, 2)
        self.desk.now_ns += int(after_s * SECOND)
        if self.matching == "books":
            bids, asks = [(bid, size), (bid - 5.0, size)], [(ask, size), (ask + 5.0, size)]
            self.desk.book(bids, asks, symbol)
        else:
            self.desk.quote(bid, ask, symbol, size)

    def _place(self) -> None:
        symbol, draw = self.draw.choice(self._symbols()), self.draw
        price = self._price(symbol)
        amount = Decimal(str(round(draw.uniform(5.0, 9_000.0), 2)))
        quantity = str(round(float(amount) / price, draw.choice([4, 9])))
        limit = f"{price * draw.uniform(0.995, 1.005):.2f}" if draw.random() < 0.6 else None
        stop = f"{price * draw.uniform(0.995, 1.005):.2f}" if draw.random() < 0.3 else None
        notional = str(amount) if draw.random() < 0.3 else None
        self.desk.place(
            draw.choice(["buy", "buy", "sell"]),
            None if notional else quantity,
            symbol=symbol,
            notional=notional,
            limit=limit,
            stop=stop if limit else None,
            tif=draw.choice(["gtc", "gtc", "ioc"]),
        )

    def _amend(self) -> None:
        account, draw = self.desk.account, self.draw
        account.begin(self.desk.now_ns)
        working = account.blotter.open()
        what = draw.random()
        if what < 0.3 or not working:
            share = draw.choice([None, "0.37", "1"])
            self.desk.close(draw.choice(self._symbols()), share)
            return
        order = draw.choice(working)
        if what < 0.6:
            account.cancel(order.order_id)
            return
        left = None
        if draw.random() < 0.5 and order.quantity is not None:
            left = round((order.quantity - order.filled_quantity) * Decimal("0.7"), 9) or None
        limit = order.ask.limit
        limit = None if limit is None else round(limit * Decimal(draw.uniform(0.995, 1.005)), 2)
        account.replace(order.order_id, ReplaceBody(qty=left, limit_price=limit))

    def _turn(self) -> None:
        listing, draw = self.desk.listing, self.draw
        symbol = draw.choice(self._symbols())
        turns: list[Any] = [
            lambda: listing.halt(symbol),
            *[lambda: listing.resume(symbol)] * 3,
            lambda: listing.delist(symbol),
            *[lambda: listing.enlist(symbol)] * 3,
            lambda: listing.rename(symbol, NAMES[symbol]),
            lambda: listing.change(symbol, {"min_trade_increment": draw.choice(TERMS)}),
            lambda: listing.change(symbol, {"price_increment": draw.choice(["0.01", "0.5"])}),
        ]
        draw.choice(turns)()


def _told_over_the_stream(updates: list[Update]) -> dict[str, dict[str, Any]]:
    """Return what somebody knows of every order who hears the updates alone."""
    known: dict[str, dict[str, Any]] = {}
    for update in updates:
        order, before = update.order, known.get(update.order["id"])
        if update.event == "new":
            assert before is None
            assert (order["status"], order["filled_qty"]) == ("new", "0")
        filled = Decimal(0) if before is None else Decimal(before["filled_qty"])
        assert before is None or before["status"] in ("new", "partially_filled")
        if update.event in ("fill", "partial_fill"):
            assert update.quantity is not None
            filled += update.quantity
        assert Decimal(order["filled_qty"]) == filled
        if update.event in ENDS:
            assert order["status"] == ENDS[update.event]
        elif update.event == "partial_fill":
            assert order["status"] == "partially_filled"
        known[order["id"]] = order
    return known


def _held_over_the_stream(updates: list[Update]) -> dict[str, Decimal]:
    """Return the position of each asset that the newest fill told of."""
    told = [one for one in updates if one.position is not None]
    return {one.order["asset_id"]: one.position for one in told if one.position is not None}


def _posted(desk: Desk) -> tuple[Decimal, dict[str, Decimal]]:
    """Return changes of cash, but for roundings, and holdings that activities add up to."""
    cash = Decimal(0)
    held: dict[str, Decimal] = defaultdict(Decimal)
    assets = {order.order_id: order.asset.asset_id for order in desk.account.blotter.orders()}
    asset = ""
    for one in desk.account.blotter.activities:
        body = one.body
        if one.kind == "FILL":
            asset = assets[body["order_id"]]
            sign = 1 if body["side"] == "buy" else -1
            held[asset] += sign * Decimal(body["qty"])
            cash -= sign * round(Decimal(body["qty"]) * Decimal(body["price"]), 8)
        else:
            held[asset] += Decimal(body["qty"])
            cash += Decimal(body["net_amount"])
    return cash, {asset: quantity for asset, quantity in held.items() if quantity}


@pytest.mark.parametrize("matching", ["paper", "quotes", "books"])
@pytest.mark.parametrize("seed", range(6))
def test_account_orders_updates_and_activities_tell_one_story(matching: str, seed: int) -> None:
    chaos = _Chaos(matching, seed)
    desk = chaos.desk
    for _ in range(600):
        chaos.step()
    desk.account.begin(desk.now_ns)
    chaos.told += desk.account.blotter.updates()
    assert len(desk.account.blotter.activities) > 30
    known = _told_over_the_stream(chaos.told)
    for order in desk.account.blotter.orders():
        told, shown = known[order.order_id], order.body()
        names = ("status", "filled_qty", "filled_avg_price", "client_order_id", "limit_price")
        assert [told[name] for name in names] == [shown[name] for name in names]
    cash, held = _posted(desk)
    assert held == {one.asset.asset_id: one.quantity for one in desk.account.positions()}
    told_held = _held_over_the_stream(chaos.told)
    assert {asset: quantity for asset, quantity in told_held.items() if quantity} == held
    fills = sum(one.kind == "FILL" for one in desk.account.blotter.activities)
    figures = desk.account.figures()
    assert abs(figures.cash - 50_000 - cash) <= fills * Decimal("1e-8")
    assert figures.cash >= figures.promised >= 0
    assert all(one.quantity >= one.available >= 0 for one in desk.account.positions())
    for order in desk.account.blotter.open():
        desk.account.cancel(order.order_id)
    assert desk.account.figures().promised == 0
    assert all(one.quantity == one.available for one in desk.account.positions())
