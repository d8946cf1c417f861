"""The context that strategies are given, over the desk that a driver puts behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol, cast

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE, OrderType, Side, Sizing, TimeInForce
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.event import History, OrderRequest, Rng, WorkingOrder

NAN: Final = math.nan
REFUSED: Final = 0.0
"""Stands for a price that is no number, so that the venue rejects the order (O2) instead of taking
it for one without that price."""
_BUY: Final = int(Side.BUY)
_SELL: Final = int(Side.SELL)
_NO_LEVELS: Final = np.empty((0, 2))


class Desk(Protocol):
    """What drivers put behind a context: a backtest's machine, a paper venue, a live account.

    It answers with what the strategy was told by now (T1, T2). Symbols it does not know are for the
    venue to reject; what is read of them is 0, NaN or empty.
    """

    def send(self, request: OrderRequest) -> int:
        """Send an order and return its id; exits' ids follow it."""
        ...

    def cancel(self, order: int) -> bool:
        """Send a cancel; False where the order has ended or has one on its way."""
        ...

    def replace(self, order: int, quantity: float, limit: float, stop: float, trail: float) -> int:
        """Send a replacement and return its id; what is NaN stays as it is."""
        ...

    def works(self, order: int) -> bool:
        """Whether an order has not ended."""
        ...

    def working(self) -> Sequence[WorkingOrder]:
        """Return the orders that have not ended."""
        ...

    def cash(self) -> float:
        """Quote units."""
        ...

    def equity(self) -> float:
        """Quote units."""
        ...

    def position(self, symbol: str) -> float:
        """Base units, signed."""
        ...

    def history(self, symbol: str, n: int) -> History:
        """Return the newest ``n`` bars known, or as many as there are."""
        ...

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars known."""
        ...

    def feature(self, symbol: str, name: str) -> float:
        """Return a feature of the newest bar known."""
        ...

    def timer(self, name: str, at_ns: int, every_ns: int) -> None:
        """Take a timer; ``every_ns`` 0: once."""
        ...


class EventContext:
    """The :class:`~tradelake.strategies.event.Context` of a run.

    Parameters
    ----------
    symbols : sequence of str
        Of the run, in order.
    desk : Desk
        Who answers.
    seed : int
        Of ``rng``.

    Notes
    -----
    A driver sets the public fields before each call; setting a slot is all it costs. It reads none:
    a strategy that writes one deceives itself alone.
    """

    __slots__ = (
        "_desk", "_rng", "_seed", "_targets",
        "ask", "ask_size", "asks", "bid", "bid_size", "bids",
        "close", "held", "high", "instant_over", "low", "now_ns", "open", "open_ns",
        "price", "size", "symbol", "symbols", "taker", "volume",
    )  # fmt: skip

    def __init__(self, symbols: Sequence[str], desk: Desk, seed: int = 0) -> None:
        self.symbols = tuple(symbols)
        self.symbol = self.symbols[0]
        self.now_ns = 0
        self.open_ns = 0
        self.open = self.high = self.low = self.close = self.volume = NAN
        self.held = 0.0
        self.instant_over = True
        self.bid = self.ask = self.bid_size = self.ask_size = NAN
        self.price = self.size = NAN
        self.taker = 0
        self.bids: FloatArray = _NO_LEVELS
        self.asks: FloatArray = _NO_LEVELS
        self._desk = desk
        self._seed = seed
        self._rng: Rng | None = None
        self._targets: dict[str, int] = {}

    @property
    def rng(self) -> Rng:
        """Seeded by the run."""
        if self._rng is None:
            self._rng = np.random.Generator(np.random.PCG64(self._seed))
        return self._rng

    @property
    def cash(self) -> float:
        """Quote units, as told."""
        return self._desk.cash()

    @property
    def equity(self) -> float:
        """Cash and positions at their last prices, quote units."""
        return self._desk.equity()

    @property
    def orders(self) -> Sequence[WorkingOrder]:
        """Orders that have not ended, as told, oldest first."""
        return self._desk.working()

    def position(self, symbol: str) -> float:
        """Base units held, signed, as told."""
        return self._desk.position(symbol)

    def history(self, symbol: str, n: int) -> History:
        """Return the newest ``n`` bars that are known by now, or as many as there are."""
        if n.__class__ is not int or n < 0:
            n = self._whole("history", "n", n)
        return self._desk.history(symbol, n)

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars that are known by now."""
        return self._desk.bars(symbol)

    def feature(self, name: str, symbol: str | None = None) -> float:
        """Return a feature of the newest bar by its name, NaN in its warm-up."""
        return self._desk.feature(self.symbol if symbol is None else symbol, name)

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
        """Send a buy and return its id; see :class:`~tradelake.strategies.event.Context`."""
        return self._order(
            symbol, _BUY, quantity, notional, limit, stop, trail, tif,
            stop_exit, target_exit, trail_exit,
        )  # fmt: skip

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
        """Send a sell and return its id."""
        return self._order(
            symbol, _SELL, quantity, notional, limit, stop, trail, tif,
            stop_exit, target_exit, trail_exit,
        )  # fmt: skip

    def target(self, symbol: str, fraction: float) -> int:
        """Ask for a position of a signed fraction of equity; return the order's id.

        An earlier target order of the symbol that still works is cancelled by it.
        """
        return self._aim(
            OrderRequest(symbol, _BUY, _number("fraction", fraction), int(Sizing.TARGET))
        )

    def close_position(self, symbol: str) -> int:
        """Send an order for all that is held, which cancels a working target; return its id."""
        return self._aim(OrderRequest(symbol, _SELL, 0.0, int(Sizing.CLOSE)))

    def cancel(self, order: int) -> bool:
        """Send a cancel; False where the order has ended or has one on its way."""
        return self._desk.cancel(order)

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
        return self._desk.replace(
            order,
            _price("quantity", quantity),
            _price("limit", limit),
            _price("stop", stop),
            _price("trail", trail),
        )

    def timer(self, name: str, *, at_ns: int | None = None, every_ns: int | None = None) -> None:
        """Ask for ``on_timer`` at an instant, or again and again from ``at_ns`` or now on."""
        what = f"timer {name!s:.60}"
        if not isinstance(name, str):
            raise self._invalid(what, "a name", name)
        if every_ns is not None:
            every_ns = self._whole(what, "every_ns", every_ns, 1)
        if at_ns is None:
            if every_ns is None:
                raise self._invalid(what, "at_ns or every_ns", None)
            at_ns = self.now_ns + every_ns
        self._desk.timer(name, self._whole(what, "at_ns", at_ns, self.now_ns), every_ns or 0)

    def finish(self) -> None:
        """Answer nothing any more: a driver calls it when its run is over."""
        self._desk = cast("Desk", _Closed(self))

    def save(self) -> dict[str, Any]:
        """Return what a later context needs to go on: working targets and the generator."""
        generator = None if self._rng is None else self._rng.bit_generator.state
        return {"version": 1, "targets": dict(self._targets), "rng": _as_text(generator)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what :meth:`save` returned.

        Raises
        ------
        InvalidData
            Rule ``context_state``: of another version.
        """
        if saved.get("version") != 1:
            raise InvalidData(
                "context_state", f"expected version 1; found {saved.get('version')!r}"
            )
        self._targets = dict(saved["targets"])
        if saved["rng"] is not None:
            self.rng.bit_generator.state = _as_numbers(saved["rng"])

    def _aim(self, request: OrderRequest) -> int:
        before = self._targets.get(request.symbol, NONE)
        if before != NONE and self._desk.works(before):
            self._desk.cancel(before)
        order = self._targets[request.symbol] = self._desk.send(request)
        return order

    def _order(
        self,
        symbol: str,
        side: int,
        quantity: float | None,
        notional: float | None,
        limit: float | None,
        stop: float | None,
        trail: float | None,
        tif: int,
        stop_exit: float | None,
        target_exit: float | None,
        trail_exit: float | None,
    ) -> int:
        if quantity is not None:
            if notional is not None:
                raise self._invalid(symbol, "quantity or notional", (quantity, notional))
            amount, sizing = quantity, _QUANTITY
        elif notional is not None:
            amount, sizing = notional, _NOTIONAL
        else:
            raise self._invalid(symbol, "quantity or notional", None)
        if amount.__class__ is not float:
            amount = _number("quantity" if sizing == _QUANTITY else "notional", amount)
        if tif.__class__ is not TimeInForce:
            tif = self._whole(symbol, "tif", tif)
        if limit is None and stop is None and trail is None:
            kind = _MARKET
        else:
            kind = self._kind(symbol, limit, stop, trail)
        if stop_exit is not None and trail_exit is not None:
            raise self._invalid(symbol, "stop_exit or trail_exit", (stop_exit, trail_exit))
        return self._desk.send(
            OrderRequest(
                symbol, side, amount, sizing, kind,
                _price("limit", limit), _price("stop", stop), _price("trail", trail),
                int(tif),
                _price("stop_exit", stop_exit), _price("trail_exit", trail_exit),
                _price("target_exit", target_exit),
            )
        )  # fmt: skip

    def _kind(
        self, symbol: str, limit: float | None, stop: float | None, trail: float | None
    ) -> int:
        if trail is not None:
            if limit is not None or stop is not None:
                raise self._invalid(symbol, "a trail without limit and stop", (limit, stop, trail))
            return int(OrderType.TRAILING_STOP)
        if stop is not None:
            return int(OrderType.STOP if limit is None else OrderType.STOP_LIMIT)
        return int(OrderType.LIMIT)

    def _whole(self, what: str, field: str, value: object, low: int = 0) -> int:
        """Return a whole number; refuse what is none, NaN and truth values among them."""
        known = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not known or value < low:  # type: ignore[operator]
            raise self._invalid(what, f"{field} of {low} or more, whole", value)
        return int(value)  # type: ignore[call-overload,no-any-return]

    def _invalid(self, what: str, expected: str, found: object) -> InvalidData:
        return InvalidData(
            "order", f"{what} at {self.now_ns} ns: expected {expected}; found {found!r}"
        )


_QUANTITY: Final = int(Sizing.QUANTITY)
_NOTIONAL: Final = int(Sizing.NOTIONAL)
_MARKET: Final = int(OrderType.MARKET)


def _price(what: str, value: float | None) -> float:
    if value is None:
        return NAN
    if value.__class__ is not float:
        value = _number(what, value)
    return value if value == value else REFUSED


def _number(what: str, value: object) -> float:
    """Return a number as the venue gets it; NaN and infinities are for the venue to reject."""
    if value.__class__ is float:
        return value
    if not isinstance(value, str | bytes | bool | np.bool_):
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidData("order", f"{what}: expected a number; found {value!r:.60}")


class _Closed:
    """Stands behind a context whose run is over."""

    def __init__(self, context: EventContext) -> None:
        self._context = context

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # copying and pickling ask what there is
            raise AttributeError(name)
        raise InvalidData(
            "context", f"expected {name} before the run is over, at {self._context.now_ns} ns"
        )


def _as_text(generator: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The generator's 128-bit numbers as text: encoders of plain data have 64 bits."""
    if generator is None:
        return None
    numbers = {name: str(number) for name, number in generator["state"].items()}
    return {**generator, "state": numbers}


def _as_numbers(saved: Mapping[str, Any]) -> dict[str, Any]:
    return {**saved, "state": {name: int(text) for name, text in saved["state"].items()}}
