"""Runs event strategies over bars of many symbols on one clock.

Calls come in the order in which things become known: fills, rejects and timers before a bar's
close, then all bars of that instant in the order of symbols. Between two bars that may change
something at the venue a bar costs its callback alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import length_hint
from typing import Any, Final

import numpy as np

from tradelake.backtest.clock import Clock
from tradelake.backtest.desk import BarDesk
from tradelake.backtest.due import NEVER
from tradelake.backtest.telling import Teller, lead
from tradelake.execution.machine import Machine
from tradelake.market.arrays import BarArrays
from tradelake.strategies.event import EventStrategy

_CHUNK: Final = 1 << 10
"""Bars that are Python numbers at the same time: few enough to stay in a core's cache."""
_COLUMNS: Final = ("open_ns", "open", "high", "low", "close", "volume")


def play(
    machine: Machine,
    clock: Clock,
    columns: Sequence[BarArrays],
    strategy: EventStrategy,
    *,
    cash: float,
    seed: int,
    most_orders: int,
) -> None:
    """Tell a strategy of all bars, its fills and its timers, and do what it asks for.

    Parameters
    ----------
    machine, clock, columns : Machine, Clock, sequence of BarArrays
        As :func:`tradelake.backtest.session.prepare` makes them.
    strategy : EventStrategy
        Its state is what it brings along and what it is left with.
    cash : float
        At the start, quote units.
    seed : int
        Of its random generator.
    most_orders : int
        More end the run.

    Raises
    ------
    InvalidData
        As :func:`tradelake.backtest.telling.lead`.
    """
    desk = BarDesk(machine, clock, columns, cash, most_orders)
    start_ns = int(clock.bars["open_ns"].min())
    lead(desk, strategy, seed, start_ns, lambda teller: _Bars(desk, teller).tell())


class _Bars:
    """One run: which bars are told when."""

    def __init__(self, desk: BarDesk, teller: Teller) -> None:
        self._desk, self._teller = desk, teller
        self._context, self._strategy = teller.context, teller.strategy
        self._names = list(desk.machine.symbols)
        self._feed_ns = int(desk.machine.terms.latency[0][1])

    def tell(self) -> None:
        """Tell of all bars, or of what comes in between where nobody asks for them."""
        if "on_bar" in self._teller.written:
            self._tell_bars()
        else:
            self._skip_bars()
        self._desk.match(len(self._desk.clock))

    def _tell_bars(self) -> None:
        """Call ``on_bar`` for every bar; look at the venue where something may have changed."""
        desk, names = self._desk, self._names
        bars, feed_ns, size = desk.clock.bars, self._feed_ns, len(desk.clock)
        tell = self._tell_quiet if len(names) == 1 else self._tell_quiet_of_many
        self._context.symbol, self._context.instant_over = names[0], True
        self._teller.calling = "on_bar"
        for first in range(0, size, _CHUNK):
            event, last = first, min(first + _CHUNK, size)
            left, rows = self._rows(first, last, names)
            while event < last:
                if event >= desk.busy:
                    self._before_bar(event, int(bars["close_ns"][event]) + feed_ns)
                tell(islice(rows, max(desk.busy - event, 1)))
                event = last - length_hint(left)

    def _tell_quiet(self, rows: Iterator[tuple[Any, ...]]) -> None:
        """Call ``on_bar`` for bars of the only symbol, until something has been asked for."""
        desk, context, on_bar = self._desk, self._context, self._strategy.on_bar
        busy, context.held = desk.busy, desk.held[self._names[0]]
        for (
            desk.now_ns, context.open_ns,
            context.open, context.high, context.low, context.close, context.volume,
        ) in rows:  # fmt: skip
            context.now_ns = desk.now_ns
            on_bar(context)
            if desk.busy != busy:
                return

    def _tell_quiet_of_many(self, rows: Iterator[tuple[Any, ...]]) -> None:
        """Do the same with bars of several symbols."""
        desk, context, on_bar = self._desk, self._context, self._strategy.on_bar
        busy, held = desk.busy, desk.held
        for (
            desk.now_ns, context.open_ns,
            context.open, context.high, context.low, context.close, context.volume,
            context.symbol, context.instant_over,
        ) in rows:  # fmt: skip
            context.now_ns = desk.now_ns
            context.held = held[context.symbol]
            on_bar(context)
            if desk.busy != busy:
                return

    def _rows(
        self, first: int, last: int, names: Sequence[str]
    ) -> tuple[Iterator[int], Iterator[tuple[Any, ...]]]:
        """Return bars as Python numbers, and the iterator that knows how many are left."""
        part = self._desk.clock.bars[first:last]
        left = iter((part["close_ns"] + self._feed_ns).tolist())
        columns: list[list[Any]] = [part[name].tolist() for name in _COLUMNS]
        if len(names) > 1:
            over = self._desk.clock.ends[first:last] == np.arange(first + 1, last + 1)
            columns += [[names[symbol] for symbol in part["symbol"].tolist()], over.tolist()]
        return left, zip(left, *columns, strict=True)

    def _skip_bars(self) -> None:
        """Call fills and timers only."""
        desk, event, size = self._desk, 0, len(self._desk.clock)
        closes = desk.clock.bars["close_ns"]
        while event < size:
            if event < desk.busy:
                event = min(desk.busy, size)
                continue
            self._before_bar(event, int(closes[event]) + self._feed_ns)
            event = int(desk.clock.ends[event])

    def _before_bar(self, event: int, now_ns: int) -> None:
        """Match all bars of an instant, tell what became known before it, and look ahead."""
        desk = self._desk
        if event >= desk.matched or event == desk.clock.starts[event]:
            desk.match(int(desk.clock.ends[event]))
            self._teller.until(now_ns, timers_too=True)
            desk.settle()
            desk.look_ahead()
            self._wake()

    def _wake(self) -> None:
        """Look at the venue again in time for what is still to be told."""
        desk = self._desk
        next_ns = min(desk.next_fill_ns, desk.next_reject_ns, desk.timers.next_ns)
        if next_ns < NEVER and desk.busy > desk.matched:
            closes = desk.clock.bars["close_ns"]
            due = int(closes.searchsorted(next_ns - self._feed_ns, side="left"))
            desk.busy = max(min(desk.busy, due), desk.matched)
