"""Event-driven strategies: what they are called with, and what they may ask for.

A strategy is told of bars, quotes, trades, books, its fills, its rejects and its timers as they
become known to it, and answers with orders on the :class:`Context` it is given. The same object
runs in a backtest, against the paper venue and live: what differs is who stands behind the context
(:class:`tradelake.strategies.context.Desk`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import msgspec
import numpy as np

from tradelake.execution.layout import OrderType, Side, Sizing, TimeInForce
from tradelake.market.arrays import BarArrays, FloatArray, IntArray
from tradelake.strategies import state
from tradelake.strategies.api import Value

NAN = math.nan
Rng: TypeAlias = np.random.Generator


class OrderRequest(msgspec.Struct, frozen=True, gc=False):
    """An order as it is sent, in codes of :mod:`tradelake.execution.layout`.

    Prices are quote units, NaN where the order has none. ``amount`` is what ``sizing`` says: base
    units, quote units, or a signed fraction of equity. A trail is quote units behind the water
    mark, or where negative that fraction of it.
    """

    symbol: str
    side: int
    amount: float
    sizing: int = int(Sizing.QUANTITY)
    kind: int = int(OrderType.MARKET)
    limit: float = NAN
    stop: float = NAN
    trail: float = NAN
    tif: int = int(TimeInForce.GTC)
    stop_exit: float = NAN
    trail_exit: float = NAN
    target_exit: float = NAN

    @property
    def has_exits(self) -> bool:
        """Whether it is a bracket's entry."""
        return not (
            self.stop_exit != self.stop_exit
            and self.trail_exit != self.trail_exit
            and self.target_exit != self.target_exit
        )


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A fill as the strategy is told of it.

    ``quantity`` is base units before a fee in base, ``price``, ``value`` and ``fee`` quote units
    (a fee in base at the fill's price), ``realised`` the profit of what it closed after the fee,
    ``ts_ns`` when it happened (not when it was told). ``held`` is the position after it.
    """

    order: int
    symbol: str
    side: int
    quantity: float
    price: float
    value: float
    fee: float
    realised: float
    maker: bool
    ts_ns: int
    held: float = NAN


class Reject(msgspec.Struct, frozen=True, gc=False):
    """An order that the venue refused, as the strategy is told of it.

    ``symbol`` is that of the order as it was sent, as text, ``reason`` the name of a
    :class:`~tradelake.execution.layout.Reason` in small letters, ``ts_ns`` when it was refused (not
    when it was told). An entry's exits are told one by one.
    """

    order: int
    symbol: str
    side: int
    reason: str
    ts_ns: int


class WorkingOrder(msgspec.Struct, frozen=True, gc=False):
    """An order that has not ended, as far as the strategy was told.

    ``quantity`` is what it is for in base units, 0 while that is not known (a notional, a target, a
    waiting exit); ``filled`` base units; ``parent`` the entry it is an exit of, or -1.
    """

    order: int
    symbol: str
    side: int
    kind: int
    status: int
    quantity: float
    filled: float
    limit: float
    stop: float
    parent: int


class History(NamedTuple):
    """The newest bars of a symbol, oldest first: read-only views of one length."""

    ts_event_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray


class Context(Protocol):
    """What a strategy sees and does; one object, whose fields change from call to call.

    Attributes
    ----------
    now_ns : int
        Instant of the decision, ns since 1970 UTC: nothing later is visible.
    symbols : tuple of str
        All of the run, in order.
    symbol : str
        Of the bar, quote, trade or book it was called for.
    open, high, low, close, volume : float
        Of the newest bar of ``symbol``; NaN before the first.
    open_ns : int
        Open of that bar.
    held : float
        Position in ``symbol``, base units, signed: ``position(symbol)`` without the call.
    instant_over : bool
        In ``on_bar``: no other symbol's bar of this instant is still to be told.
    bid, ask, bid_size, ask_size : float
        Newest quote or best levels of ``symbol``; NaN before the first.
    price, size : float
        Newest trade of ``symbol``; NaN before the first.
    taker : int
        Its taker: 1 buyer, -1 seller, 0 not told.
    bids, asks : FloatArray
        Newest book of ``symbol``, shape (m, 2): price and size, best first.
    rng : numpy.random.Generator
        Seeded by the run: the only randomness there is.
    """

    now_ns: int
    symbols: tuple[str, ...]
    symbol: str
    open_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    held: float
    instant_over: bool
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    price: float
    size: float
    taker: int
    bids: FloatArray
    asks: FloatArray

    @property
    def rng(self) -> Rng:
        """Seeded by the run."""
        ...

    @property
    def cash(self) -> float:
        """Quote units, as told."""
        ...

    @property
    def equity(self) -> float:
        """Cash and positions at their last prices, quote units."""
        ...

    @property
    def orders(self) -> Sequence[WorkingOrder]:
        """Orders that have not ended, as told, oldest first."""
        ...

    def position(self, symbol: str) -> float:
        """Base units held, signed, as told."""
        ...

    def history(self, symbol: str, n: int) -> History:
        """Return the newest ``n`` bars that are known by now, or as many as there are."""
        ...

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars that are known by now; costs more than :meth:`history`."""
        ...

    def feature(self, name: str, symbol: str | None = None) -> float:
        """Return a feature of the newest bar by its name, NaN in its warm-up."""
        ...

    def buy(
        self,
        symbol: str,
        quantity: float | None = None,
        *,
        notional: float | None = None,
        limit: float | None = None,
        stop: float | None = None,
        trail: float | None = None,
        tif: int = TimeInForce.GTC,
        stop_exit: float | None = None,
        target_exit: float | None = None,
        trail_exit: float | None = None,
    ) -> int:
        """Send a buy and return its id.

        Parameters
        ----------
        quantity, notional : float, optional
            Base or quote units; exactly one.
        limit, stop, trail : float, optional
            None of them: a market order. Limit and stop: a stop-limit. A trail is quote units, or
            where negative a fraction.
        tif : TimeInForce
            How long it works.
        stop_exit, target_exit, trail_exit : float, optional
            Exits that work for what fills (O3); of stop and trail at most one. Their ids follow:
            first the stop or trail, then the target.

        Raises
        ------
        InvalidData
            Rule ``order``: a combination that makes no sense. Numbers that are none are sent, and
            the venue rejects them.
        """
        ...

    def sell(
        self,
        symbol: str,
        quantity: float | None = None,
        *,
        notional: float | None = None,
        limit: float | None = None,
        stop: float | None = None,
        trail: float | None = None,
        tif: int = TimeInForce.GTC,
        stop_exit: float | None = None,
        target_exit: float | None = None,
        trail_exit: float | None = None,
    ) -> int:
        """Send a sell and return its id; see :meth:`buy`."""
        ...

    def target(self, symbol: str, fraction: float) -> int:
        """Ask for a position of a signed fraction of equity; return the order's id.

        An earlier target order of the symbol that still works is cancelled by it.
        """
        ...

    def close_position(self, symbol: str) -> int:
        """Send an order for all that is held, which cancels a working target; return its id."""
        ...

    def cancel(self, order: int) -> bool:
        """Send a cancel; False where the order has ended or has one on its way."""
        ...

    def replace(
        self,
        order: int,
        *,
        quantity: float | None = None,
        limit: float | None = None,
        stop: float | None = None,
        trail: float | None = None,
    ) -> int:
        """Send a replacement and return its id (O4); what is not given stays as it is."""
        ...

    def timer(self, name: str, *, at_ns: int | None = None, every_ns: int | None = None) -> None:
        """Ask for ``on_timer`` at an instant, or again and again from ``at_ns`` or now on.

        A timer of the same name is replaced.
        """
        ...


class EventStrategy:
    """A strategy that is told of events; subclass it and write the methods you need.

    A driver calls only what a subclass has written. Calls come in the order in which things become
    known; an exception ends the run, with strategy and instant in the message.

    Attributes
    ----------
    name : str
        Name in the library and in trial records.
    parameters : mapping
        Every parameter with the value in force.
    state_names : tuple of str
        Attributes that change while it runs: plain data that msgspec encodes.
    state_version : int
        Counted up when the meaning of the state changes.
    """

    name: str
    parameters: Mapping[str, Value]
    state_names: ClassVar[tuple[str, ...]] = ()
    state_version: ClassVar[int] = 1

    def on_start(self, ctx: Context) -> None:
        """Before the first event; no bar is known yet."""

    def on_bar(self, ctx: Context) -> None:
        """A bar closed; the context has it."""

    def on_quote(self, ctx: Context) -> None:
        """A quote was told."""

    def on_trade(self, ctx: Context) -> None:
        """A trade was told."""

    def on_book(self, ctx: Context) -> None:
        """A book changed."""

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """One of its orders filled, in whole or in part."""

    def on_reject(self, ctx: Context, reject: Reject) -> None:
        """One of its orders was refused; each bracket's exit is an order."""

    def on_timer(self, ctx: Context, name: str) -> None:
        """A timer's instant has come."""

    def on_stop(self, ctx: Context) -> None:
        """After the last event; what is sent now does not arrive."""

    def save(self) -> state.State:
        """Return the state as plain data for :meth:`restore`."""
        return state.save(self)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up a state.

        Raises
        ------
        InvalidData
            Rule ``strategy_state``: of another strategy, version or other parameters.
        """
        state.restore(self, saved)


CALLBACKS = (
    "on_start",
    "on_bar",
    "on_quote",
    "on_trade",
    "on_book",
    "on_fill",
    "on_reject",
    "on_timer",
    "on_stop",
)


def written(strategy: EventStrategy) -> frozenset[str]:
    """Return the names of the callbacks that a strategy has written itself.

    >>> class Quiet(EventStrategy):
    ...     def on_bar(self, ctx: Context) -> None: ...
    >>> sorted(written(Quiet()))
    ['on_bar']
    """
    kind = type(strategy)
    return frozenset(
        name
        for name in CALLBACKS
        if getattr(kind, name, None) not in (None, getattr(EventStrategy, name))
    )


BUY, SELL = int(Side.BUY), int(Side.SELL)
