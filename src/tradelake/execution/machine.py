"""The matching core as Python sees it: orders go in, bars go by, fills come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.announcing import announced
from tradelake.execution.input_checks import BARS, Kind
from tradelake.execution.inputs import Inputs, check_instruments
from tradelake.execution.layout import NONE, OrderType, Sizing, Status, TimeInForce
from tradelake.execution.state import BAR, Rows, State, busy_orders, grown, new_state, plain
from tradelake.execution.terms import Impact, Terms
from tradelake.market.arrays import FloatArray

NAN = float("nan")


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

    Raises
    ------
    InvalidData
        As :func:`tradelake.execution.inputs.check_instruments`.

    Notes
    -----
    Nothing here decides or waits: time is what :meth:`advance` is given, orders are sent at the
    instant they say. Inputs are counted from 0: from the first of :meth:`load`, or from the first
    ever where they come by :meth:`append`. Reading rows costs no compiled call. ``state_at``,
    ``terms_at`` and ``loaded_at`` are what compiled functions are given of it
    (:mod:`tradelake.execution.handles`).
    """

    def __init__(self, symbols: Sequence[str], instruments: Rows, terms: Terms, cash: int) -> None:
        from tradelake.execution import calls, views  # compiled: loaded by those who run
        from tradelake.execution.handles import Header

        self._calls = calls
        self.symbols: Mapping[str, int] = {name: number for number, name in enumerate(symbols)}
        self.terms = plain(terms)
        self._state = new_state(check_instruments(symbols, instruments), int(cash))
        self._inputs = self._inputs_of(BARS, np.empty(0, BAR), marked=True)
        self.bars: Rows = self._inputs.rows
        self.equity: FloatArray = self._inputs.equity
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

    def load(self, bars: Rows, *, marked: bool = True, checked: bool = False) -> None:
        """Take the bars that :meth:`advance` and :meth:`next_change` count.

        Bars that were there before are replaced, and counting begins at 0 again; account and
        orders stay as they are.

        Parameters
        ----------
        bars : Rows
            As :func:`tradelake.execution.clock.merged` makes them.
        marked : bool
            Whether ``equity`` gets the equity at the close of each bar, quote units.
        checked : bool
            They are what the function named above made of as many symbols, and need no second
            look: it costs what matching a calm market costs.

        Raises
        ------
        InvalidData
            Names the row. Rule ``symbol`` or ``link``: it names a symbol, or an earlier row, that
            is not there. Rule ``order``: the first is earlier than what was matched.
            Rules ``price`` and ``size``: a price is not finite and positive, a volume not finite
            or below 0. Rule ``layout``: they are no bars.
        """
        told = {"not_before": self._inputs.matched_ns, "checked": checked}
        self._inputs = self._inputs_of(BARS, bars, marked=marked, **told)
        self._hold_inputs()

    def append(self, bars: Rows) -> None:
        """Take bars that follow those there are, as they become known.

        Parameters
        ----------
        bars : Rows
            Of any symbols, by close; which bar of its symbol each one is (``row``, ``previous``)
            is found here.

        Raises
        ------
        InvalidData
            Names the row; none is taken. Rule ``symbol``: there is no such symbol. Rule ``order``:
            it is earlier than one before it, or than what :meth:`finish` was told.
            Rules ``price``, ``size`` and ``layout`` as :meth:`load`.
        """
        self._inputs.append(bars)
        self._hold_inputs()

    def forget(self, until: int) -> None:
        """Let go of inputs before ``until``; the others keep their numbers.

        Memory is given back once half of what is held can go, so that this may be called after
        every input. Of each symbol the newest one is kept. Orders and fills stay.

        Raises
        ------
        InvalidData
            Rule ``range``: some of them were not matched by :meth:`advance`.
        """
        if self._inputs.forget(until) is not None:
            self._hold_inputs()

    def announce(self, rows: Rows, symbols: Sequence[str] = ()) -> None:
        """Take terms of instruments that became known, and symbols that are new.

        What changes does so when an input, or :meth:`finish`, gets to its instant.

        Parameters
        ----------
        rows : Rows
            As of :func:`tradelake.execution.announcing.announced`.
        symbols : sequence of str
            Names of those that are new; they get the numbers that follow.

        Raises
        ------
        InvalidData
            As the function named above; nothing is taken then.
        """
        names = [*self.symbols, *symbols]
        self.state = announced(self.state, names, rows, self._inputs.matched_ns)
        self.symbols = {name: number for number, name in enumerate(names)}
        self._inputs.widen(len(names))

    @property
    def forgotten(self) -> int:
        """How many inputs were let go: input ``i`` is row ``i - forgotten`` of what is held."""
        return self._inputs.forgotten

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
        gone = self._held(first, last)
        found = self._calls.next_change(self.state_at, self.loaded_at, first - gone, last - gone)
        return found + gone

    def advance(self, first: int, last: int, *, stops: bool = True) -> int:
        """Match bars from ``first`` on and return the next one that was not.

        Stops after the first bar in which anything changed that a strategy can see (a fill, a
        reject, an end), or at ``last``. ``stops`` False goes on to ``last``.

        Raises
        ------
        InvalidData
            Rule ``range``: there are no such bars.
        """
        gone = self._held(first, last)
        first, last = first - gone, last - gone
        while True:
            reached = self._calls.advance(
                self.state_at, self.terms_at, self.loaded_at, first, last, stops
            )
            if reached >= 0:
                return self._matched(reached + gone)
            first = -1 - reached
            self._grow()

    def finish(self, until_ns: int) -> None:
        """Handle what arrives, and what changes by date, up to an instant after the last input."""
        while not self._calls.has_room(self.state_at):
            self._grow()
        self._calls.catch_up(self.state_at, self.terms_at, until_ns)
        self._inputs.pass_time(until_ns)

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

    def _hold_inputs(self) -> None:
        """Let compiled code see the inputs, which are others or elsewhere now."""
        self.bars, self.equity = self._inputs.rows, self._inputs.equity
        self._headers[2].hold(self)
        self._look_back()

    def _inputs_of(self, kind: Kind, rows: Rows, **told: Any) -> Inputs:  # noqa: ANN401
        """Return inputs, with their windows where impact looks back at these."""
        window = self.terms.impact_window * (self.terms.impact_kind != Impact.NONE)
        return Inputs(kind, rows, len(self.symbols), window=window, **told)

    def _look_back(self) -> None:
        if self._inputs.windows is not self.state.windows:
            self.state = self.state._replace(windows=self._inputs.windows)

    def _held(self, first: int, last: int) -> int:
        """Return how many inputs were let go; refuse those that are not there.

        Compiled code would read beyond them.
        """
        inputs = self._inputs
        end = inputs.forgotten + len(inputs.rows)
        if first < inputs.forgotten or last > end:
            raise InvalidData(
                "range",
                f"expected inputs in {inputs.forgotten} to {end}; found {first} to {last}",
            )
        return inputs.forgotten

    def _matched(self, reached: int) -> int:
        inputs = self._inputs
        inputs.reached = max(inputs.reached, reached)
        return reached
