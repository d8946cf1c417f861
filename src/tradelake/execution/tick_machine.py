"""The matching core on ticks as Python sees it: orders go in, quotes and books go by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradelake.execution.book import LEVELS
from tradelake.execution.machine import Machine, check_range
from tradelake.execution.markets import Market, new_market, roomier
from tradelake.execution.state import Rows, busy_orders, grown
from tradelake.execution.terms import Terms
from tradelake.market.tape import TICK

_NO_EQUITY = np.empty(0)


class TickMachine(Machine):
    """One account at one simulated venue that shows quotes, trades and books: rungs 3 and 4.

    Orders are placed, cancelled and replaced as at a :class:`Machine`; :meth:`load`,
    :meth:`advance` and :meth:`finish` are about ticks.

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
        self._market = new_market(len(symbols), np.empty(0, TICK), 1)
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

    def load(self, ticks: Rows, *, marked: bool = False) -> None:
        """Take the tape whose rows :meth:`advance` counts; nothing is displayed any more.

        Parameters
        ----------
        ticks : Rows
            As :func:`tradelake.market.tape.merged_ticks` makes them.
        marked : bool
            Whether ``equity`` gets the equity after each of them, quote units.
        """
        market = new_market(len(self.symbols), ticks, self._levels)
        self.market = roomier(market, len(self.state.orders))
        self.equity = np.full(len(ticks), np.nan) if marked else _NO_EQUITY
        self._headers[2].hold(self)
        self.state.counters["stale"] = 1

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
        check_range(first, last, len(self.market.tape))
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
                return int(reached)
            first = -1 - reached
            self._grow()

    def finish(self, until_ns: int) -> None:
        """Handle what arrives, and what changes by date, up to an instant after the last tick."""
        while not self._tick_calls.has_tick_room(self.state_at, self.terms_at, self.market_at):
            self._grow()
        self._tick_calls.arrivals(self.state_at, self.terms_at, self.market_at, until_ns)

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
