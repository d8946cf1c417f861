"""The matching core in plain Python, slow and obvious: what the compiled one is tested against.

Rules are those of ``docs/explanation/matching.md``; functions name the rule they are. Each subject
has its module: ``money`` (M, C4), ``draws`` (T3, C3), ``orders`` (O2, O3),
``arrivals`` (O2, O4), ``fills`` (O1, O3, M5), ``costs`` (B5, C1, C2), ``bars``
(B), ``ticks`` (Q), ``book`` (L) and ``instruments`` (T4, I).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tradelake.execution.layout import (
    ACCOUNT,
    FILL,
    NONE,
    ORDER,
    POSITION,
    OrderType,
    Sizing,
    TimeInForce,
)
from tradelake.execution.terms import Terms
from tradelake.execution.twin import bars, book, draws, ticks
from tradelake.execution.twin.instruments import advance
from tradelake.execution.twin.money import Account, Position, equity
from tradelake.execution.twin.state import Answer, Market, Order, State, listing_of

Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class Seen:
    """What the strategy has been told by an instant (T2).

    ``cash`` in cash units, ``quantities`` in units by symbol, ``orders`` the newest answer to each
    order of which there is one, by id.
    """

    cash: int
    quantities: tuple[int, ...]
    orders: dict[int, Answer]


class Twin:
    """A venue and an account in plain Python.

    Inputs are given in the order in which they are known: bars by close, then symbol; ticks by
    time. Whatever is ordered ends as fills or as a reason, and never raises.

    Parameters
    ----------
    symbols : sequence of str
        Names; a symbol's number is its place.
    instruments : structured array of ``terms.INSTRUMENT``
        Sorted by symbol, then instant; at least one row for each symbol.
    terms : Terms
        Broker, costs and latencies.
    cash_units : int
        Cash to start with, in cash units (M1).
    """

    def __init__(
        self, symbols: Sequence[str], instruments: Rows, terms: Terms, cash_units: int
    ) -> None:
        rows = [listing_of(row) for row in instruments]
        listings = [[row for row in rows if row.symbol == index] for index in range(len(symbols))]
        self.symbols = tuple(symbols)
        self.start_units = cash_units
        self.state = State(
            terms=terms,
            listings=listings,
            account=Account(cash_units),
            positions=[Position(own[0].unit) for own in listings],
            markets=[Market() for _ in listings],
        )

    def place(
        self,
        now_ns: int,
        symbol: int,
        side: int,
        type: int,  # noqa: A002
        tif: int,
        sizing: int,
        amount: float,
        limit: float = math.nan,
        stop: float = math.nan,
        trail: float = math.nan,
        stop_exit: float = math.nan,
        target_exit: float = math.nan,
    ) -> int:
        """Send an order, and its exits where there are prices for them; return its id (O1, O3).

        Exits take the ids behind the entry's, stop before target.
        """
        order = self._send(
            Order(symbol, side, type, tif, sizing, now_ns, now_ns, amount, limit, stop, trail)
        )
        if not math.isnan(stop_exit):
            self._send_exit(order, OrderType.STOP, stop=stop_exit)
        if not math.isnan(target_exit):
            self._send_exit(order, OrderType.LIMIT, limit=target_exit)
        return order.id

    def cancel(self, now_ns: int, order: int) -> bool:
        """Send a cancel; False where the order has ended or one is on its way (T2)."""
        known = self.state.orders[order]
        if known.ended or known.cancel_ns != NONE:
            return False
        known.cancel_ns = now_ns + draws.latency_ns(
            self.state.terms, draws.ENTRY, order, draws.CANCEL
        )
        return True

    def replace(
        self,
        now_ns: int,
        order: int,
        amount: float = math.nan,
        limit: float = math.nan,
        stop: float = math.nan,
        trail: float = math.nan,
    ) -> int:
        """Send an order that shall take the place of another; return its id (O4).

        What is NaN stays as it was; ``amount`` is what shall be left to fill, base units.
        """
        old = self.state.orders[order]
        new = Order(
            old.symbol,
            old.side,
            old.type,
            old.tif,
            old.sizing,
            now_ns,
            now_ns,
            amount,
            limit,
            stop,
            trail,
        )
        new.replaces = order
        return self._send(new).id

    def bar(
        self,
        symbol: int,
        open_ns: int,
        close_ns: int,
        open: float,  # noqa: A002
        high: float,
        low: float,
        close: float,
        volume: float,
        event: int,
    ) -> None:
        """Match a bar against the orders that were at the venue at its open (B1 to B8)."""
        self.state.event = event
        advance(self.state, open_ns)
        bars.match(
            self.state,
            bars.Bar(symbol, open_ns, close_ns, open, high, low, close, volume, event),
        )

    def quote(
        self,
        symbol: int,
        ts_ns: int,
        bid: float,
        bid_size: float,
        ask: float,
        ask_size: float,
        event: int,
    ) -> None:
        """Match a quote (Q1 to Q3)."""
        self.state.event = event
        advance(self.state, ts_ns)
        ticks.on_quote(self.state, symbol, ts_ns, bid, bid_size, ask, ask_size)

    def trade(
        self, symbol: int, ts_ns: int, price: float, size: float, side: int, event: int
    ) -> None:
        """Match a trade (Q2, Q3, L2); ``side`` is the aggressor's, 0 where it is not known."""
        self.state.event = event
        advance(self.state, ts_ns)
        ticks.on_trade(self.state, symbol, ts_ns, price, size, side)

    def book_reset(self, symbol: int, ts_ns: int) -> None:
        """Forget the book; its levels are told anew."""
        advance(self.state, ts_ns)
        book.forget(self.state, symbol)

    def book_level(
        self,
        symbol: int,
        ts_ns: int,
        side: int,
        price: float,
        size: float,
        event: int,
        *,
        last: bool = True,
    ) -> None:
        """Take down a level that is told anew; a size of 0 takes it away (L1, L2).

        An update of several levels is matched with its ``last`` one.
        """
        self.state.event = event
        advance(self.state, ts_ns)
        ticks.on_level(self.state, symbol, ts_ns, side, price, size, last=last)

    def advance(self, now_ns: int) -> None:
        """Let everything reach the venue that does so by ``now_ns`` (T4)."""
        advance(self.state, now_ns)

    def equity(self) -> float:
        """Return the equity in quote units (M6)."""
        return equity(self.state.account, self.state.positions)

    def seen(self, now_ns: int) -> Seen:
        """Return what the strategy was told by ``now_ns`` (T2)."""
        told = [answer for answer in self.state.answers if answer.told_ns <= now_ns]
        quantities = [0] * len(self.symbols)
        for answer in told:
            if answer.position != 0:
                quantities[answer.symbol] += answer.position
        cash = self.start_units + sum(answer.cash for answer in told)
        return Seen(cash, tuple(quantities), {answer.order: answer for answer in told})

    @property
    def orders(self) -> Rows:
        """All orders, rows of ``layout.ORDER``; the row is the id."""
        return _rows(self.state.orders, ORDER)

    @property
    def fills(self) -> Rows:
        """All fills in the order in which they happened, rows of ``layout.FILL``."""
        return _rows(self.state.fills, FILL)

    @property
    def positions(self) -> Rows:
        """One row of ``layout.POSITION`` for each symbol."""
        return _rows(self.state.positions, POSITION)

    @property
    def account(self) -> Rows:
        """One row of ``layout.ACCOUNT``."""
        return _rows([self.state.account], ACCOUNT)

    def _send(self, order: Order) -> Order:
        order.id = len(self.state.orders)
        delay = draws.latency_ns(self.state.terms, draws.ENTRY, order.id, draws.ENTRY)
        order.arrives_ns = order.submitted_ns + delay
        self.state.orders.append(order)
        return order

    def _send_exit(
        self, entry: Order, type_: OrderType, limit: float = math.nan, stop: float = math.nan
    ) -> None:
        order = Order(
            entry.symbol,
            -entry.side,
            type_,
            TimeInForce.GTC,
            Sizing.QUANTITY,
            entry.submitted_ns,
            entry.arrives_ns,
            math.nan,
            limit,
            stop,
            parent=entry.id,
            group=entry.id,
            id=len(self.state.orders),
        )
        self.state.orders.append(order)
        entry.exits.append(order.id)


def _rows(records: Sequence[object], kind: np.dtype[Any]) -> Rows:
    names = kind.names or ()
    return np.array([tuple(getattr(row, name) for name in names) for row in records], kind)
