"""What stands behind the context of an event strategy in a backtest: a machine, and what was told.

The venue may be ahead of the strategy: a bar is matched whole, and its fills are told one by one at
their instants (T1, T2). Position, cash and orders are those of what was told so far.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from operator import itemgetter
from threading import get_ident
from typing import Any, Protocol

import numpy as np

from tradelake.backtest.clock import feed_ns
from tradelake.backtest.due import NEVER, Rejects, Timers
from tradelake.errors import InvalidData
from tradelake.execution.layout import CASH_UNIT, FILL, NONE, Reason, Side, Status
from tradelake.execution.machine import Machine
from tradelake.execution.terms import Draw
from tradelake.market.arrays import BarArrays, IntArray
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import Fill, History, OrderRequest, Reject, WorkingOrder
from tradelake.strategies.tape import Tape

RESPONSE = 2
"""Row of the latencies, and which draw of an order."""
_FIRST_LOOK = 256
_BUY = int(Side.BUY)
_FILLED, _WORKING, _CONSTANT = int(Status.FILLED), int(Status.WORKING), int(Draw.CONSTANT)
"""As plain numbers: numpy's compare slowly with an enum's."""
_TOLD = ("order", "symbol", "side", "quantity", "price", "value", "fee", "fee_in_base",
         "fee_value", "realised", "maker", "ts_ns")  # fmt: skip
_told = itemgetter(*(list(FILL.fields or ()).index(name) for name in _TOLD))
"""What is told of a fill, out of its row as a tuple: numpy takes long to read single fields."""


class Timeline(Protocol):
    """What a desk reads of a clock."""

    @property
    def bars(self) -> Any:  # noqa: ANN401 - rows with a column close_ns
        """Inputs in the order in which they are known."""
        ...

    @property
    def starts(self) -> IntArray:
        """First input that is known at the same instant."""
        ...

    @property
    def ends(self) -> IntArray:
        """One past the last."""
        ...

    def __len__(self) -> int: ...


class BarDesk:
    """A :class:`~tradelake.strategies.context.Desk` over bars.

    Parameters
    ----------
    machine : Machine
        With the clock's bars loaded and nothing matched.
    clock : Timeline
        Of all symbols.
    columns : sequence of BarArrays
        The same bars, by symbol.
    cash : float
        At the start, quote units.
    most_orders : int
        More end the run.

    Attributes
    ----------
    busy : int
        First bar before which the venue must be looked at again; all before it only move prices.
    matched : int
        Bars the venue has seen.
    now_ns : int
        What time it is for the strategy; the driver sets it, and tells the context the same.
    tells_rejects : bool
        Whether rejects are looked for; set by the driver of a strategy that wants to know.
    context : EventContext
        What the strategy is given.
    """

    context: EventContext

    def __init__(
        self,
        machine: Machine,
        clock: Timeline,
        columns: Sequence[BarArrays],
        cash: float,
        most_orders: int,
    ) -> None:
        self.machine, self.clock, self.columns = machine, clock, columns
        self.timers = Timers()
        self.now_ns = 0
        self.busy = 0
        self.matched = 0
        self.tells_rejects = False
        self.held = dict.fromkeys(machine.symbols, 0.0)
        self._units = dict.fromkeys(machine.symbols, 0)
        self._unit = machine.state.positions["unit"].tolist()
        self._names = list(machine.symbols)
        self._cash = round(cash / CASH_UNIT)
        self._closes = np.ascontiguousarray(clock.bars["close_ns"])
        self._most_orders = most_orders
        self._read = 0
        self._untold: list[tuple[int, int, tuple[Any, ...]]] = []
        self._open: list[int] = []
        self._listed = 0
        self._feed_ns = int(machine.terms.latency[0][1])
        self._response = machine.terms.latency[RESPONSE].tolist()
        self._renames = bool((machine.state.instruments["renamed_to"] != NONE).any())
        self._tape = Tape(columns)
        self._thread = get_ident()
        self._strange: dict[int, str] = {}
        self._rejects = Rejects()
        self._look = _FIRST_LOOK

    # What the driver asks for.

    def match(self, end: int) -> None:
        """Let the venue see all bars before ``end``, and take up their fills."""
        if self.matched < end:
            self.machine.advance(self.matched, end, stops=False)
            self.matched = end
            self._take_up()

    def look_ahead(self) -> int:
        """Return the start of the first group of bars that may change something; sets ``busy``."""
        size = len(self.clock)
        last = min(self.matched + self._look, size)
        found = self.machine.next_change(self.matched, last)
        self._look = self._look * 2 if found == last else _FIRST_LOOK
        self.busy = size if found == size else int(self.clock.starts[found])
        return self.busy

    @property
    def next_fill_ns(self) -> int:
        """When the next fill is told."""
        return self._untold[0][0] if self._untold else NEVER

    def tell(self) -> Fill:
        """Return the next fill; from now on the strategy knows of it."""
        _, _, row = heapq.heappop(self._untold)
        order, symbol, side, quantity, price, value, fee, in_base, paid, realised, maker, ns = row
        name, unit = self._names[symbol], self._unit[symbol]
        moved = quantity - (fee if in_base and side == _BUY else 0)
        self._units[name] += side * moved
        self.held[name] = self._units[name] * unit
        self._cash -= side * value + (0 if in_base else fee)
        return Fill(
            order,
            name,
            side,
            quantity * unit,
            price,
            value * CASH_UNIT,
            paid * CASH_UNIT,
            realised * CASH_UNIT,
            bool(maker),
            ns,
            self.held[name],
        )

    @property
    def next_reject_ns(self) -> int:
        """When the next reject is told."""
        return self._rejects.next_ns

    @property
    def unjudged(self) -> bool:
        """Whether there are orders at which nobody looked for rejects yet."""
        return self.tells_rejects and self._rejects.judged < len(self.machine.orders)

    def tell_reject(self) -> Reject:
        """Return the next reject."""
        order = self._rejects.pop()
        row = self.machine.state.orders[order]
        symbol = int(row["symbol"])
        return Reject(
            order,
            self._names[symbol] if symbol != NONE else self._strange_of(order, int(row["parent"])),
            int(row["side"]),
            Reason(int(row["reason"])).name.lower(),
            int(row["ended_ns"]),
        )

    def _strange_of(self, order: int, parent: int) -> str:
        """Return the name nobody knows that an order, or the entry it is an exit of, was for."""
        return self._strange.get(order) or self._strange.get(parent, "")

    def settle(self) -> None:
        """Take positions over to new names, where symbols were renamed and all fills are told."""
        if self._renames and not self._untold:
            for number, name in enumerate(self._names):
                self._units[name] = int(self.machine.state.positions["quantity"][number])
                self.held[name] = self._units[name] * self._unit[number]

    def _take_up(self) -> None:
        new = self.machine.fills[self._read :].tolist()
        for number, fill in enumerate(new, self._read):
            row = _told(fill)
            heapq.heappush(self._untold, (row[-1] + self._response_ns(row[0]), number, row))
        self._read += len(new)
        if self.tells_rejects:
            self._rejects.judge(self.machine.orders, self._response_ns)

    def _response_ns(self, order: int) -> int:
        terms, (kind, constant_ns, _) = self.machine.terms, self._response
        if kind == _CONSTANT:
            return int(constant_ns)
        from tradelake.execution import draws  # compiled: loaded by those who draw

        return int(draws.latency(terms.latency, RESPONSE, terms.seed, order, RESPONSE))

    # What the context asks for.

    def send(self, request: OrderRequest) -> int:
        """Send an order; the venue first sees all that is known by now."""
        now_ns = self._decide()
        if self.tells_rejects and request.symbol not in self.machine.symbols:
            self._strange[len(self.machine.orders)] = str(request.symbol)
        if request.has_exits:
            return self.machine.bracket(
                request.symbol,
                request.side,
                request.amount,
                now_ns=now_ns,
                stop_loss=request.stop_exit,
                trailing=request.trail_exit,
                take_profit=request.target_exit,
                kind=request.kind,
                sizing=request.sizing,
                limit=request.limit,
                stop=request.stop,
                trail=request.trail,
                tif=request.tif,
            )
        return self.machine.place(
            request.symbol,
            request.side,
            request.amount,
            now_ns=now_ns,
            kind=request.kind,
            sizing=request.sizing,
            limit=request.limit,
            stop=request.stop,
            trail=request.trail,
            tif=request.tif,
        )

    def cancel(self, order: int) -> bool:
        """Send a cancel."""
        self._refuse_threads()
        if not self.works(order) or self.machine.state.orders[order]["cancel_ns"] != NONE:
            return False
        self.machine.cancel(order, now_ns=self._decide(order))
        return True

    def replace(self, order: int, quantity: float, limit: float, stop: float, trail: float) -> int:
        """Send a replacement."""
        self._check(order)
        return self.machine.replace(
            order, now_ns=self._decide(), amount=quantity, limit=limit, stop=stop, trail=trail
        )

    def works(self, order: int) -> bool:
        """Whether an order has not ended, as far as was told."""
        self._check(order)
        return self._works(order)

    def _works(self, order: int) -> bool:
        orders = self.machine.state.orders
        if orders["status"].item(order) < _FILLED:
            return True
        ended_ns: int = orders["ended_ns"].item(order)
        return ended_ns + self._response_ns(order) > self.now_ns

    def working(self) -> Sequence[WorkingOrder]:
        """Return the orders that have not ended, as far as was told."""
        count = len(self.machine.orders)
        maybe = (*self._open, *range(self._listed, count))
        self._open, self._listed = [order for order in maybe if self._works(order)], count
        untold: dict[int, int] = {}
        for _, _, (order, _, _, quantity, *_) in self._untold:
            untold[order] = untold.get(order, 0) + quantity
        return [self._working(order, untold.get(order, 0)) for order in self._open]

    def _working(self, order: int, untold: int) -> WorkingOrder:
        row = self.machine.state.orders[order]
        symbol = int(row["symbol"])
        unit = self._unit[symbol] if symbol != NONE else 1.0
        status = min(int(row["status"]), _WORKING)
        return WorkingOrder(
            order,
            self._names[symbol] if symbol != NONE else "",
            int(row["side"]),
            int(row["type"]),
            status,
            int(row["quantity"]) * unit,
            (int(row["filled"]) - untold) * unit,
            float(row["limit"]),
            float(row["stop"]),
            int(row["parent"]),
        )

    def cash(self) -> float:
        """Quote units."""
        return self._cash * CASH_UNIT

    def equity(self) -> float:
        """Quote units, at the closes known by now."""
        equity = self._cash * CASH_UNIT
        for number, held in enumerate(self.held.values()):
            if held:
                known = self._known(number)
                equity += held * float(self.columns[number].close[known - 1]) if known else 0.0
        return equity

    def position(self, symbol: str) -> float:
        """Base units, signed."""
        return self.held.get(symbol, 0.0)

    def history(self, symbol: str, n: int) -> History:
        """Return the newest ``n`` bars known by now."""
        return self._told(symbol).history(symbol, n)

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars known by now."""
        return self._told(symbol).bars(symbol)

    def feature(self, symbol: str, name: str) -> float:
        """Return a feature of the newest bar known by now."""
        return self._told(symbol).feature(symbol, name)

    def timer(self, name: str, at_ns: int, every_ns: int) -> None:
        """Take a timer."""
        self._refuse_threads()
        self.timers.put(name, at_ns, every_ns)
        self.busy = min(self.busy, self.matched)

    def _told(self, symbol: str) -> Tape:
        """Return the tape, wound to what is known of a symbol by now."""
        number = self.machine.symbols.get(symbol, NONE)
        if number == NONE:
            raise InvalidData("symbol", f"expected a symbol of the run; found {symbol!r}")
        self._tape.known[number] = self._known(number)
        return self._tape

    def _known(self, number: int) -> int:
        """Number of bars of a symbol that were told by now."""
        closes = self.columns[number].close_ns
        return int(np.searchsorted(closes, self.now_ns - self._feed_ns, side="right"))

    def _decide(self, order: int = NONE) -> int:
        """Bring the venue up to what is known; return the instant of the decision."""
        self._refuse_threads()
        told_ns = self.now_ns - self._feed_ns
        self.match(int(np.searchsorted(self._closes, told_ns, side="right")))
        self.busy = min(self.busy, self.matched)
        count = len(self.machine.orders)
        if order == NONE and count >= self._most_orders:
            raise InvalidData("limit", f"more than {self._most_orders} orders were sent")
        return told_ns + feed_ns(self.machine, count)

    def _refuse_threads(self) -> None:
        if get_ident() != self._thread:
            raise InvalidData("context", "expected orders from the thread of the run alone")

    def _check(self, order: object) -> None:
        known = isinstance(order, int | np.integer) and not isinstance(order, bool)
        if not known or not 0 <= order < len(self.machine.orders):  # type: ignore[operator]
            raise InvalidData("order", f"expected the id of an order; found {order!r}")
