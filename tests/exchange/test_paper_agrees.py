"""The paper account fills what a backtest of the same orders on the same market fills."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np
import pytest

from tradelake.exchange.assets import Listing
from tradelake.exchange.options import SyntheticOptions
from tradelake.exchange.paper.account import PaperAccount
from tradelake.exchange.paper.asks import Ask, ReplaceBody
from tradelake.exchange.paper.matching import BROKER, MATCHINGS, tape_of, tick_rows
from tradelake.exchange.paper.refusals import Refused
from tradelake.exchange.publication import Lateness, Message, publish
from tradelake.exchange.synthetic.market import SyntheticMarket
from tradelake.exchange.tape import Tape
from tradelake.execution.broker import terms
from tradelake.execution.instruments import InstrumentHistory
from tradelake.execution.layout import CASH_UNITS, OrderType, Side, TimeInForce
from tradelake.execution.tick_machine import TickMachine

CASH = Decimal(100_000)
SYMBOLS = ("BTC/USD", "ETH/USD")


def _market() -> list[Message]:
    options = SyntheticOptions(seed=3, symbols=SYMBOLS, hours=0.5, activity=20.0, history_days=1)
    (session,) = SyntheticMarket(options).sessions
    return list(islice(publish(session, Lateness()), 12_000))


class _Trader:
    """Places, replaces and cancels at random; writes down what was sent to the core."""

    def __init__(self, account: PaperAccount, listing: Listing, tape: Tape, seed: int) -> None:
        self.account, self.listing, self.tape = account, listing, tape
        self.draw = random.Random(seed)
        self.sent: list[tuple[int, str, tuple[Any, ...]]] = []

    def act(self, now_ns: int) -> None:
        self.account.begin(now_ns)
        working = [order for order in self.account.blotter.orders() if order.open]
        kind = self.draw.random()
        if working and kind < 0.2:
            order = self.draw.choice(working)
            self.account.cancel(order.order_id)
            self.sent.append((now_ns, "cancel", (order.row,)))
        elif working and kind < 0.4:
            order = self.draw.choice([one for one in working if one.ask.limit] or working)
            if order.ask.limit is not None:
                limit = round(order.ask.limit * Decimal(self.draw.uniform(0.999, 1.001)), 2)
                self._try(now_ns, "replace", (order.row, limit), order.order_id)
        else:
            self._place(now_ns)

    def _place(self, now_ns: int) -> None:
        symbol = self.draw.choice(SYMBOLS)
        quote = self.tape.latest("quotes", symbol)
        if quote is None:
            return
        side = self.draw.choice([Side.BUY, Side.SELL])
        quantity = Decimal(str(round(self.draw.uniform(0.001, 0.2), 6)))
        limit = None
        if self.draw.random() < 0.6:
            limit = round(Decimal(str(quote.bid)) * Decimal(self.draw.uniform(0.9995, 1.0005)), 2)
        stop = None
        if limit is not None and self.draw.random() < 0.3:
            stop = round(Decimal(str(quote.bid)) * Decimal(self.draw.uniform(0.9995, 1.0005)), 2)
        tif = self.draw.choice([TimeInForce.GTC, TimeInForce.IOC])
        kind = OrderType.MARKET
        if limit is not None:
            kind = OrderType.LIMIT if stop is None else OrderType.STOP_LIMIT
        ask = Ask(symbol, side, kind, tif, quantity, limit=limit, stop=stop)
        self._try(now_ns, "place", (ask,))

    def _try(self, now_ns: int, what: str, told: tuple[Any, ...], order_id: str = "") -> None:
        orders = 0
        if self.account._market.assets:
            orders = len(self.account._market.machine.orders)
        try:
            if what == "place":
                asset = self.listing.find(told[0].symbol)
                assert asset is not None
                self.account.place(told[0], asset)
            else:
                self.account.replace(order_id, ReplaceBody(limit_price=told[1]))
        except Refused:
            if orders == len(self.account._market.machine.orders):
                return  # refused before it came to the core
        self.sent.append((now_ns, what, told))


def _paper(messages: list[Message], matching: str, seed: int) -> _Trader:
    tape = Tape(100_000)
    listing = Listing(SYMBOLS, tape)
    account = PaperAccount(MATCHINGS[matching], CASH, "USD", tape, 7)  # type: ignore[index]
    account.prepare()
    trader = _Trader(account, listing, tape, seed)
    for first in range(0, len(messages), 5):
        frame = messages[first : first + 5]
        for message in frame:
            tape.add(message.key, message.record)
        account.observe(frame)
        now_ns, following = frame[-1].at_ns, messages[first + 5 : first + 6]
        more = bool(following) and following[0].at_ns == now_ns  # of this instant
        if first > 200 and not more and trader.draw.random() < 0.1:
            trader.act(now_ns)
    account.begin(messages[-1].at_ns)
    return trader


def _replay(messages: list[Message], matching: str, trader: _Trader) -> TickMachine:
    """Send the same orders to a core that is given the whole market beforehand."""
    chosen, account = MATCHINGS[matching], trader.account  # type: ignore[index]
    assets = account._market.assets
    symbols = [asset.symbol for asset in assets]
    told = InstrumentHistory()
    for asset in assets:
        told = told.with_symbol(
            asset.symbol,
            *InstrumentHistory.of(
                asset.symbol,
                min_order_size=asset.min_order_size,
                min_trade_increment=asset.min_trade_increment,
                price_increment=asset.price_increment,
            ).terms[asset.symbol],
        )
    rows = [
        row
        for message in messages
        if message.key[0] in chosen.channels and message.key[1] in symbols
        for row in tick_rows(message.record, symbols.index(message.key[1]), message.at_ns)
    ]
    instruments = BROKER.instruments(told, symbols, account._market._prices)
    machine = TickMachine(
        symbols,
        instruments,
        terms(BROKER, chosen.costs, chosen.rung, 7),
        int(CASH * int(CASH_UNITS)),
        1024,
    )
    tape = tape_of(rows)
    machine.append(tape)
    at = 0
    for now_ns, what, told_ in trader.sent:
        reached = int(np.searchsorted(tape["ts_ns"], now_ns, "right"))
        machine.advance(at, reached, stops=False)
        at = reached
        machine.finish(now_ns)
        if what == "cancel":
            machine.cancel(told_[0], now_ns=now_ns)
        elif what == "replace":
            machine.replace(told_[0], limit=float(told_[1]), now_ns=now_ns)
        else:
            ask = told_[0]
            limit = float("nan") if ask.limit is None else float(ask.limit)
            stop = float("nan") if ask.stop is None else float(ask.stop)
            machine.place(
                ask.symbol, ask.side, float(ask.quantity), now_ns=now_ns,
                kind=ask.kind, limit=limit, stop=stop, tif=ask.tif,
            )  # fmt: skip
        machine.finish(now_ns)
    machine.advance(at, len(tape), stops=False)
    return machine


@pytest.mark.parametrize("matching", ["paper", "quotes", "books"])
@pytest.mark.parametrize("seed", range(4))
def test_paper_fills_are_those_of_a_backtest_of_the_same_orders(matching: str, seed: int) -> None:
    messages = _market()
    trader = _paper(messages, matching, seed)
    ours, theirs = trader.account._market.machine, _replay(messages, matching, trader)
    assert len(ours.fills) > 20
    for name in ("orders", "fills"):
        held, expected = getattr(ours, name), getattr(theirs, name)
        for column in set(held.dtype.names or ()) - {"event"}:
            np.testing.assert_array_equal(held[column], expected[column], f"{name}.{column}")
    assert ours.state.account["cash"] == theirs.state.account["cash"]
    np.testing.assert_array_equal(
        ours.state.positions["quantity"], theirs.state.positions["quantity"]
    )
