"""One account that follows targets over bars, block by block, in a single compiled pass.

A pass reads a block of targets that is still in the cache, lets the matching core fill where they
change (:mod:`tradelake.execution.targets`), and keeps the sums of the equity curve as it makes it
(:mod:`tradelake.backtest.measures`). A walk that is kept has the curve itself, the round trips and
what was held besides; one that is not leaves its sums alone, so that memory does not grow with the
number of walks. Both go the same way, so a sweep has the very numbers of a single run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradelake.backtest import curve as curves
from tradelake.backtest import measures
from tradelake.backtest.kernels import BLOCK
from tradelake.execution.compiled import compiled
from tradelake.execution.handles import Header
from tradelake.execution.layout import CASH_UNITS
from tradelake.execution.rules import Rules
from tradelake.execution.state import Record, Rows, State, new_state
from tradelake.execution.targets import (
    ONE_BAR,
    TRIP,
    TRIP_COLUMNS,
    cash_units,
    instrument_of,
    take_up,
    terms_of,
    turn,
    write_trip,
)
from tradelake.execution.views import STATE, TERMS, state_at, terms_at
from tradelake.market.arrays import FloatArray, IntArray

# Cells of what a walk carries from block to block.
TARGET, CHANGES, TRADES, WINS = range(4)
_NO_CURVE: Final = np.empty(0)


@compiled
def _turns(targets: FloatArray, before: float, opens: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the rows at which a target is not the one before, and the opens there.

    One row more where targets end before the opens do: from there on the target is 0. Reading all
    these opens at once is what makes it worth while: each of them is somewhere else in memory.
    """
    rows, count = np.empty(targets.shape[0] + 1, np.int64), 0
    for row in range(targets.shape[0]):
        rows[count] = row
        count += targets[row] != before
        before = targets[row]
    if targets.shape[0] < opens.shape[0]:
        rows[count] = targets.shape[0]
        count += 1
    prices = np.empty(count)
    for place in range(count):
        prices[place] = opens[rows[place]]
    return rows[:count], prices


@compiled
def _walk(
    at: tuple[int, int],
    open_: FloatArray,
    close: FloatArray,
    targets: FloatArray,
    first: int,
    last: int,
    flat_from: int,
    carried: FloatArray,
    trip: Rows,
    curve: FloatArray,
    equity: FloatArray,
    changes: FloatArray,
    trips: FloatArray,
) -> None:
    """Follow the targets decided at bars ``first - 1`` to ``last - 2`` on the bars after them.

    ``at`` is where the headers of state and terms are. A walk that is not kept has an empty
    ``equity``; one that is has a row of ``changes`` and of ``trips`` for each bar of the block.
    """
    state, terms = state_at(at[0]), terms_at(at[1])
    counters, account, position = state.counters[0], state.account[0], state.positions[0]
    unit, kept, bar, coming = position.unit, equity.shape[0] > 0, first, 0
    decided = targets[: max(min(last, flat_from) - first, 0)]
    turns, opens = _turns(decided, carried[TARGET], open_[first:last])
    while bar < last:
        target = targets[bar - first] if bar < flat_from else 0.0
        price = open_[bar]
        if coming < turns.shape[0] and turns[coming] == bar - first:
            price = opens[coming]
            coming += 1
        if target != carried[TARGET] or position.quantity < 0:
            turn(state, terms, bar, 0, price, target, carried[TARGET])
            carried[TARGET] = target
            for place in range(counters.fills):
                if not take_up(trip[0], state.fills[place], unit):
                    continue
                if kept:
                    write_trip(trip[0], trips[int(carried[TRADES])], bar)
                carried[WINS] += -(trip[0].in_value + trip[0].out_value) > trip[0].fees
                carried[TRADES] += 1.0
            counters.fills = 0
            if kept:
                row = changes[int(carried[CHANGES])]
                row[0], row[1] = bar, position.quantity * unit
                carried[CHANGES] += 1.0
        after = bar + 1
        if position.quantity >= 0:
            after = first + turns[coming] if coming < turns.shape[0] else last
        cash, held = account.cash / CASH_UNITS, position.quantity * unit
        measures.hold(curve, close, bar, after, cash, held, equity)
        bar = after


@dataclass(frozen=True, slots=True)
class Start:
    """What every walk over the same bars begins with."""

    open: FloatArray
    close: FloatArray
    cash: float
    state: State
    terms: Header

    @classmethod
    def of(cls, open_: FloatArray, close: FloatArray, cash: float, rules: Rules) -> Start:
        """Return the start of walks over bars with these prices.

        Raises
        ------
        ConfigError
            More cash than is counted.
        """
        state = new_state(instrument_of(rules, float(open_[0])), cash_units(cash), ONE_BAR)
        return cls(open_, close, float(cash), state, Header(TERMS, terms_of(rules)))


class Walk:
    """An account on its way: what it has left so far.

    Parameters
    ----------
    start : Start
        Bars, cash and rules; the first bar is behind it, and nothing was decided before.
    kept : bool
        Whether equity, round trips and positions are kept.
    flat_from : int, optional
        From this bar on the target is 0, whatever is decided.

    Attributes
    ----------
    curve : FloatArray
        Cells of :mod:`tradelake.backtest.curve`.
    equity : FloatArray, shape (n,)
        At the closes, quote units; empty where it is not kept.
    """

    def __init__(self, start: Start, *, kept: bool, flat_from: int | None = None) -> None:
        size = start.close.shape[0]
        self._start, self._size = start, size
        self._flat_from = size if flat_from is None else flat_from
        self._state = State._make(rows.copy() for rows in start.state)
        self._header = Header(STATE, self._state)
        self._carried, self._trip = np.zeros(4), np.zeros(1, TRIP)
        self._changes, self._trips = np.empty((0, 2)), np.empty((0, TRIP_COLUMNS))
        self.curve = curves.start(start.cash)
        self.equity = np.empty(size) if kept else _NO_CURVE
        measures.hold(self.curve, start.close, 0, 1, start.cash, 0.0, self.equity)

    def follow(self, targets: FloatArray, first: int, last: int) -> None:
        """Follow the targets decided at the closes of bars ``first`` to ``last - 1``.

        ``targets[0]`` is that of bar ``first``; ``last`` is at most the number of bars less one.
        """
        if self.equity.shape[0]:
            self._make_room(last - first + 1)
        _walk(
            (self._header.address, self._start.terms.address),
            self._start.open,
            self._start.close,
            targets,
            first + 1,
            last + 1,
            self._flat_from,
            self._carried,
            self._trip,
            self.curve,
            self.equity,
            self._changes,
            self._trips,
        )

    def follow_all(self, targets: FloatArray) -> None:
        """Follow the targets decided at all bars but the last."""
        for first in range(0, self._size - 1, BLOCK):
            last = min(first + BLOCK, self._size - 1)
            self.follow(targets[first:last], first, last)

    def _make_room(self, rows: int) -> None:
        done, traded = int(self._carried[CHANGES]), int(self._carried[TRADES])
        self._changes = _roomier(self._changes, done, rows)
        self._trips = _roomier(self._trips, traded, rows + 1)

    @property
    def account(self) -> Record:
        """The account, a row of :data:`tradelake.execution.layout.ACCOUNT`."""
        return self._state.account[0]

    @property
    def trades(self) -> int:
        """Closed round trips."""
        return int(self._carried[TRADES])

    @property
    def wins(self) -> int:
        """Those with a profit after fees."""
        return int(self._carried[WINS])

    def trips(self) -> FloatArray:
        """Return the round trips, shape (k, 8), one that is open valued at the last close.

        Columns: entry bar, exit bar, base units, entry price, exit price, profit before fees,
        fees, and 1 where the trip is open.
        """
        trips, trip = self._trips[: self.trades], self._trip[0]
        held = int(trip["held"])
        if held == 0:
            return trips.copy()
        amount, last_price = held * self._state.positions["unit"][0], self._start.close[-1]
        outward = float(trip["outward"]) - amount
        out_value = float(trip["out_value"]) - amount * last_price
        row = (
            float(trip["entry"]),
            float(self._size - 1),
            float(trip["inward"]),
            float(trip["in_value"] / trip["inward"]),
            out_value / outward,
            -(float(trip["in_value"]) + out_value),
            float(trip["fees"]),
            1.0,
        )
        return np.vstack((trips, row))

    def held(self) -> tuple[IntArray, FloatArray]:
        """Return the bars from whose open on something else was held, and how many base units."""
        rows = self._changes[: int(self._carried[CHANGES])]
        return rows[:, 0].astype(np.int64), rows[:, 1].copy()


def _roomier(rows: FloatArray, used: int, more: int) -> FloatArray:
    """Return the rows with room for more beyond those in use."""
    if used + more <= len(rows):
        return rows
    longer = np.empty((2 * used + more, rows.shape[1]))
    longer[:used] = rows[:used]
    return longer


def walk(
    open_: FloatArray,
    close: FloatArray,
    targets: FloatArray,
    cash: float,
    rules: Rules,
    *,
    flat_at_end: bool = False,
) -> Walk:
    """Return the account that has followed ``targets``, kept.

    Parameters
    ----------
    open_, close : FloatArray, shape (n,), n >= 1
        Prices, quote units, positive.
    targets : FloatArray, shape (n,)
        Position wanted as a fraction of equity in [-1, 1], decided at each close and filled at the
        next open. The last one is never filled. No NaN.
    cash : float
        Quote units at the start, at most 9e10.
    rules : Rules
        Costs and limits.
    flat_at_end : bool
        Leave any position at the last bar's open.

    Raises
    ------
    ConfigError
        More cash than is counted in 62 bits.

    Notes
    -----
    A target equal to the last one keeps the position as it is: nothing is rebalanced as prices
    drift. A buy spends ``target x equity`` (never more than the cash), so fee and slippage come out
    of the position rather than out of borrowed money. A short whose equity is used up is closed.
    """
    start = Start.of(open_, close, cash, rules)
    walked = Walk(start, kept=True, flat_from=len(close) - 1 if flat_at_end else None)
    walked.follow_all(targets)
    return walked
