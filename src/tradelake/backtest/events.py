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
from tradelake.backtest.failure import rule_of, said
from tradelake.errors import InvalidData
from tradelake.execution.machine import Machine
from tradelake.market.arrays import BarArrays
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import EventStrategy, written

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
        Rule ``strategy``: it raised; rule ``limit``: too many orders; rule ``order``: an order that
        makes no sense. Names strategy, callback, symbol and instant.
    """
    desk = BarDesk(machine, clock, columns, cash, most_orders)
    context = desk.context = EventContext(tuple(machine.symbols), desk, seed)
    name, player = strategy.name, _Player(desk, context, strategy)
    try:
        player.run()
    except BaseException as error:
        raise InvalidData(
            rule_of(error),
            f"{name} in {player.calling} of {context.symbol} at {context.now_ns} ns, "
            f"after {machine.last_order()}: {said(error)}",
        ) from error
    finally:
        context.finish()


class _Player:
    """One run: who is called when."""

    def __init__(self, desk: BarDesk, context: EventContext, strategy: EventStrategy) -> None:
        self._desk, self._context, self._strategy = desk, context, strategy
        self._written = written(strategy)
        desk.tells_rejects = "on_reject" in self._written
        self._names = list(desk.machine.symbols)
        self._feed_ns = int(desk.machine.terms.latency[0][1])
        self.calling = "on_start"

    def run(self) -> None:
        """Call everything from the start to the stop."""
        desk, context = self._desk, self._context
        size = len(desk.clock)
        context.now_ns = desk.now_ns = int(desk.clock.bars["open_ns"].min())
        if "on_start" in self._written:
            self._strategy.on_start(context)
        if "on_bar" in self._written:
            self._tell_bars()
        else:
            self._skip_bars()
        desk.match(size)
        self._tell_until(NEVER, timers_too=False)
        if "on_stop" in self._written:
            self.calling = "on_stop"
            self._strategy.on_stop(context)

    def _tell_bars(self) -> None:
        """Call ``on_bar`` for every bar; look at the venue where something may have changed."""
        desk, names = self._desk, self._names
        bars, feed_ns, size = desk.clock.bars, self._feed_ns, len(desk.clock)
        tell = self._tell_quiet if len(names) == 1 else self._tell_quiet_of_many
        self._context.symbol, self._context.instant_over = names[0], True
        self.calling = "on_bar"
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
            self._tell_until(now_ns, timers_too=True)
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

    def _tell_until(self, now_ns: int, *, timers_too: bool) -> None:
        """Tell fills and rejects up to an instant and timers before it, in order."""
        desk = self._desk
        while True:
            fill_ns, reject_ns = desk.next_fill_ns, desk.next_reject_ns
            timer_ns = desk.timers.next_ns if timers_too else NEVER
            if fill_ns < NEVER and fill_ns <= min(now_ns, timer_ns, reject_ns):
                self._tell_fill(fill_ns)
            elif reject_ns < NEVER and reject_ns <= min(now_ns, timer_ns):
                self._tell_reject(reject_ns)
            elif timer_ns < now_ns and "on_timer" in self._written:
                self._call_timer()
            else:
                return

    def _tell_fill(self, told_ns: int) -> None:
        context, fill = self._context, self._desk.tell()
        if "on_fill" not in self._written:
            return
        before, self.calling = self.calling, "on_fill"
        self._desk.now_ns = max(told_ns, self._desk.now_ns)
        context.now_ns, context.symbol = self._desk.now_ns, fill.symbol
        context.held = fill.held
        self._strategy.on_fill(context, fill)
        self.calling = before

    def _tell_reject(self, told_ns: int) -> None:
        context, reject = self._context, self._desk.tell_reject()
        symbol, held = context.symbol, context.held  # nobody may know the reject's symbol
        before, self.calling = self.calling, "on_reject"
        self._desk.now_ns = max(told_ns, self._desk.now_ns)
        context.now_ns, context.symbol = self._desk.now_ns, reject.symbol
        context.held = self._desk.position(reject.symbol)
        self._strategy.on_reject(context, reject)
        context.symbol, context.held, self.calling = symbol, held, before

    def _call_timer(self) -> None:
        context = self._context
        at_ns, name = self._desk.timers.pop()
        before, self.calling = self.calling, "on_timer"
        self._desk.now_ns = max(at_ns, self._desk.now_ns)
        context.now_ns = self._desk.now_ns
        self._strategy.on_timer(context, name)
        self.calling = before
