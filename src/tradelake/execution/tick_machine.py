"""The matching core on ticks as Python sees it: orders go in, quotes and books go by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradelake.execution.book import LEVELS
from tradelake.execution.input_checks import TICKS
from tradelake.execution.inputs import moved
from tradelake.execution.layout import NONE
from tradelake.execution.machine import Machine
from tradelake.execution.markets import Market, new_market, roomier, wider
from tradelake.execution.state import Rows, busy_orders, grown
from tradelake.execution.terms import Terms
from tradelake.market.tape import TICK


class TickMachine(Machine):
    """One account at one simulated venue that shows quotes, trades and books: rungs 3 and 4.

    Orders are placed, cancelled and replaced as at a :class:`Machine`; :meth:`load`,
    :meth:`append`, :meth:`advance`, :meth:`forget` and :meth:`finish` are about ticks.

    Parameters
    ----------
    symbols, instruments, terms, cash
        As of :class:`Machine`. ``terms.half_spread`` is not used (Q1).
    levels : int
        Largest number of levels of a side of a book.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        instruments: Rows,
        terms: Terms,
        cash: int,
        levels: int = LEVELS,
    ) -> None:
        from tradelake.execution import tick_calls, views  # compiled: loaded by those who run
        from tradelake.execution.handles import Header

        super().__init__(symbols, instruments, terms._replace(half_spread=0.0), cash)
        self._tick_calls, self._levels = tick_calls, levels
        self._inputs = self._inputs_of(TICKS, np.empty(0, TICK), marked=False)
        market = new_market(len(symbols), self._inputs.rows, levels)
        self._market = roomier(market, len(self.state.orders))
        self._market_header = Header(views.MARKETS, self._market)
        self.market_at = self._market_header.address

    @property
    def market(self) -> Market:
        """What the venue shows, and the tape."""
        return self._market

    @market.setter
    def market(self, market: Market) -> None:
        self._market = market
        self._market_header.hold(market)

    def load(self, ticks: Rows, *, marked: bool = False, checked: bool = False) -> None:
        """Take the tape whose rows :meth:`advance` counts; nothing is displayed any more.

        One that was there before is replaced, and counting begins at 0 again; account and orders
        stay, and limits that rested find a place anew.

        Parameters
        ----------
        ticks : Rows
            As :func:`tradelake.market.tape.merged_ticks` makes them.
        marked : bool
            Whether ``equity`` gets the equity after each of them, quote units.
        checked : bool
            They are what the function named above made of as many symbols, and need no second
            look: it costs what matching a calm market costs.

        Raises
        ------
        InvalidData
            As :meth:`Machine.load`, and rules ``kind`` and ``side``.
        """
        told = {"not_before": self._inputs.matched_ns, "checked": checked}
        self._inputs = self._inputs_of(TICKS, ticks, marked=marked, **told)
        rows = self._inputs.rows
        market = new_market(len(self.symbols), rows, self._levels)
        self.market = roomier(market, len(self.state.orders))
        self._hold_inputs()
        self.state.counters["event"] = NONE
        self.state.counters["stale"] = 1

    def append(self, ticks: Rows) -> None:
        """Take ticks that follow those there are, as they happen.

        Parameters
        ----------
        ticks : Rows
            Of any symbols, by time; the trade before each one (``before``) is found here.

        Raises
        ------
        InvalidData
            As :meth:`Machine.append`, and rules ``kind`` and ``side``; none is taken.
        """
        self._inputs.append(ticks)
        self._hold_inputs()

    def forget(self, until: int) -> None:
        """Let go of ticks before ``until``, as :meth:`Machine.forget`."""
        gone = self._inputs.forgotten
        kept = self._inputs.forget(until)
        if kept is None:
            return
        trades = self.market.rows["last_trade"]
        trades[:] = moved(trades, kept)
        event = self.state.counters["event"]
        event[:] = np.maximum(event - (self._inputs.forgotten - gone), NONE)
        self._hold_inputs()

    def announce(self, rows: Rows, symbols: Sequence[str] = ()) -> None:
        """Take terms and symbols that became known, as :meth:`Machine.announce`."""
        super().announce(rows, symbols)
        self.market = wider(self.market, len(self.symbols))

    def prepare(self) -> None:
        """Compile what this calls, or load it from disk; once a process."""
        super().prepare()
        self._tick_calls.prepare()

    def advance(self, first: int, last: int, *, stops: bool = True) -> int:
        """Match ticks from ``first`` on and return the next one that was not.

        Stops after the first tick in which anything changed that a strategy can see, or at
        ``last``. ``stops`` False goes on to ``last``.

        Raises
        ------
        InvalidData
            Rule ``range``: there are no such ticks.
        """
        gone = self._held(first, last)
        first, last, fills = first - gone, last - gone, self._fills_so_far
        while True:
            reached = self._tick_calls.advance_ticks(
                self.state_at,
                self.terms_at,
                self.market_at,
                self.loaded_at,
                first,
                last,
                stops,
            )
            if reached >= 0:
                self._number(fills)
                return self._matched(int(reached) + gone)
            first = -1 - reached
            self._grow()

    def finish(self, until_ns: int) -> None:
        """Handle what arrives, and what changes by date, up to an instant after the last tick."""
        while not self._tick_calls.has_tick_room(self.state_at, self.terms_at, self.market_at):
            self._grow()
        fills = self._fills_so_far
        self._tick_calls.arrivals(self.state_at, self.terms_at, self.market_at, until_ns)
        self._number(fills)
        self._inputs.pass_time(until_ns)

    def crossed(self, symbol: str) -> int:
        """Return how many updates left a symbol's book crossed."""
        return int(self.market.rows["crossed"][self.symbols[symbol]])

    def make_room(self, orders: int = 8) -> None:
        """Make room for so many orders more than any input can need, and for their fills."""
        busy = busy_orders(self.state)
        levels = int(self.market.books.counts.sum())
        self.state = grown(self.state, 2 * busy + orders, 4 * busy + 2 * levels + orders)
        self.market = roomier(self.market, len(self.state.orders))

    def _grow(self) -> None:
        self.make_room()

    def _hold_inputs(self) -> None:
        self.equity = self._inputs.equity
        self.market = self.market._replace(tape=self._inputs.rows)
        self._headers[2].hold(self)
        self._look_back()

    @property
    def _fills_so_far(self) -> int:
        return int(self.state.counters["fills"][0])

    def _number(self, first: int) -> None:
        """Count the input of each fill from ``first`` on among all, not among those held."""
        if not self._inputs.forgotten:
            return
        events = self.fills["event"][first:]
        events[events != NONE] += self._inputs.forgotten
