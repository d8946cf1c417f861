"""The matching core as Python sees it: orders go in, bars go by, fills come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE, OrderType, Sizing, Status, TimeInForce
from tradelake.execution.state import BAR, Rows, State, busy_orders, grown, new_state, plain
from tradelake.execution.terms import Terms
from tradelake.market.arrays import FloatArray

NAN = float("nan")
_NO_EQUITY = np.empty(0)
_FIRST_LOOK = 64


class Machine:
    """One account at one simulated venue.

    Parameters
    ----------
    symbols : sequence of str
        Names, in the order of the symbols' numbers.
    instruments : Rows
        :data:`~tradelake.execution.terms.INSTRUMENT` rows sorted by symbol, then instant.
    terms : Terms
        Broker, costs and latencies.
    cash : int
        At the start, cash units.

    Notes
    -----
    Nothing here decides or waits: time is what :meth:`advance` is given, orders are sent at the
    instant they say. Reading rows costs no compiled call. ``state_at``, ``terms_at`` and
    ``loaded_at`` are what compiled functions are given of it (:mod:`tradelake.execution.handles`).
    """

    def __init__(self, symbols: Sequence[str], instruments: Rows, terms: Terms, cash: int) -> None:
        from tradelake.execution import calls, views  # compiled: loaded by those who run
        from tradelake.execution.handles import Header

        self._calls = calls
        self.symbols: Mapping[str, int] = {name: number for number, name in enumerate(symbols)}
        self.terms = plain(terms)
        self._state = new_state(instruments, int(cash))
        self.bars: Rows = np.empty(0, BAR)
        self.equity: FloatArray = _NO_EQUITY
        self._headers = (
            Header(views.STATE, self._state),
            Header(views.TERMS, self.terms),
            Header(views.LOADED, self),
        )
        self.state_at, self.terms_at, self.loaded_at = (each.address for each in self._headers)

    @property
    def state(self) -> State:
        """Account, orders and fills, and where the venue is."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self._headers[0].hold(state)

    def load(self, bars: Rows, *, marked: bool = True) -> None:
        """Take the bars that :meth:`advance` and :meth:`next_change` count.

        Parameters
        ----------
        bars : Rows
            As :func:`tradelake.execution.clock.merged` makes them.
        marked : bool
            Whether ``equity`` gets the equity at the close of each bar, quote units.
        """
        self.bars = bars
        self.equity = np.full(len(bars), np.nan) if marked else _NO_EQUITY
        self._headers[2].hold(self)

    @property
    def orders(self) -> Rows:
        """Orders so far; a row's index is its id."""
        return self.state.orders[: self.state.counters["orders"][0]]

    @property
    def fills(self) -> Rows:
        """Fills so far, in order of happening."""
        return self.state.fills[: self.state.counters["fills"][0]]

    def prepare(self) -> None:
        """Compile what this calls, or load it from disk; once a process."""
        self._calls.prepare()

    def place(
        self,
        symbol: str,
        side: int,
        amount: float,
        *,
        now_ns: int,
        kind: int = OrderType.MARKET,
        sizing: int = Sizing.QUANTITY,
        limit: float = NAN,
        stop: float = NAN,
        trail: float = NAN,
        tif: int = TimeInForce.GTC,
    ) -> int:
        """Send an order and return its id; what the venue thinks of it shows in its row.

        Parameters
        ----------
        symbol : str
            An unknown one is rejected on arrival.
        side : int
            :class:`~tradelake.execution.layout.Side`; a target and a close find their own.
        amount : float
            What ``sizing`` says: base units, quote units, fraction of equity.
        now_ns : int
            Instant of the decision.
        limit, stop : float
            Quote units; NaN where the type has none.
        trail : float
            Quote units behind the water mark; a fraction where negative.
        """
        self._make_room()
        return self._calls.send(
            self.state_at,
            self.terms_at,
            now_ns,
            self.symbols.get(symbol, NONE),
            int(side),
            int(kind),
            int(tif),
            int(sizing),
            float(amount),
            float(limit),
            float(stop),
            float(trail),
        )

    def bracket(
        self,
        symbol: str,
        side: int,
        amount: float,
        *,
        now_ns: int,
        stop_loss: float = NAN,
        trailing: float = NAN,
        take_profit: float = NAN,
        kind: int = OrderType.MARKET,
        sizing: int = Sizing.QUANTITY,
        limit: float = NAN,
        stop: float = NAN,
        trail: float = NAN,
        tif: int = TimeInForce.GTC,
    ) -> int:
        """Send an entry with its exits and return the entry's id (O3).

        The exits' ids follow the entry's: first the stop (or trailing stop), then the target; NaN
        leaves one out.
        """
        self._make_room()
        return self._calls.send_bracket(
            self.state_at,
            self.terms_at,
            now_ns,
            self.symbols.get(symbol, NONE),
            int(side),
            int(kind),
            int(tif),
            int(sizing),
            float(amount),
            float(limit),
            float(stop),
            float(trail),
            float(stop_loss),
            float(trailing),
            float(take_profit),
        )

    def cancel(self, order: int, *, now_ns: int) -> bool:
        """Send a cancel; False where there is no such order, it has ended, or one is on its way."""
        if not 0 <= order < len(self.orders):
            return False
        return self._calls.send_cancel(self.state_at, self.terms_at, now_ns, order)

    def replace(
        self,
        order: int,
        *,
        now_ns: int,
        amount: float = NAN,
        limit: float = NAN,
        stop: float = NAN,
        trail: float = NAN,
    ) -> int:
        """Send a replacement and return its id (O4); what is NaN stays as it is.

        ``amount`` is the quantity that shall be left to fill, base units.

        Raises
        ------
        InvalidData
            Rule ``order``: there is no order with that id.
        """
        if not 0 <= order < len(self.orders):
            raise InvalidData("order", f"expected the id of an order; found {order!r}")
        self._make_room()
        return self._calls.send_replace(
            self.state_at,
            self.terms_at,
            now_ns,
            int(order),
            float(amount),
            float(limit),
            float(stop),
            float(trail),
        )

    def next_change(self, first: int, last: int) -> int:
        """Return the first bar in [first, last) that may change something, or ``last``.

        Until then nothing fills, arrives or changes by date: only prices move. Nothing is touched.

        Raises
        ------
        InvalidData
            Rule ``range``: there are no such bars.
        """
        check_range(first, last, len(self.bars))
        return self._calls.next_change(self.state_at, self.loaded_at, first, last)

    def advance(self, first: int, last: int, *, stops: bool = True) -> int:
        """Match bars from ``first`` on and return the next one that was not.

        Stops after the first bar in which anything changed that a strategy can see (a fill, a
        reject, an end), or at ``last``. ``stops`` False goes on to ``last``.

        Raises
        ------
        InvalidData
            Rule ``range``: there are no such bars.
        """
        check_range(first, last, len(self.bars))
        while True:
            reached = self._calls.advance(
                self.state_at, self.terms_at, self.loaded_at, first, last, stops
            )
            if reached >= 0:
                return reached
            first = -1 - reached
            self._grow()

    def finish(self, until_ns: int) -> None:
        """Handle what arrives, and what changes by date, up to an instant after the last input."""
        while not self._calls.has_room(self.state_at):
            self._grow()
        self._calls.catch_up(self.state_at, self.terms_at, until_ns)

    def last_order(self) -> str:
        """Return ``order 7``, the newest one, or ``no order``: for messages."""
        count = len(self.orders)
        return f"order {count - 1}" if count else "no order"

    def working(self) -> Rows:
        """Return the orders that have not ended."""
        return self.orders[self.orders["status"] < Status.FILLED]

    def _make_room(self) -> None:
        if int(self.state.counters["orders"][0]) + 3 > len(self.state.orders):
            self._grow()

    def _grow(self) -> None:
        busy = busy_orders(self.state)
        self.state = grown(self.state, 2 * busy + 8, 4 * busy + 8)


def check_range(first: int, last: int, size: int) -> None:
    """Refuse inputs that were not loaded: compiled code would read beyond them.

    Raises
    ------
    InvalidData
        Rule ``range``.
    """
    if first < 0 or last > size:
        raise InvalidData("range", f"expected inputs in 0 to {size}; found {first} to {last}")
