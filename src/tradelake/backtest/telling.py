"""What event strategies are told beside bars and ticks: fills, rejects and timers, in order."""

from __future__ import annotations

from collections.abc import Callable

from tradelake.backtest.desk import BarDesk
from tradelake.backtest.due import NEVER
from tradelake.backtest.failure import rule_of, said
from tradelake.errors import InvalidData
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import EventStrategy, written


def lead(
    desk: BarDesk,
    strategy: EventStrategy,
    seed: int,
    start_ns: int,
    tell: Callable[[Teller], None],
) -> None:
    """Call a strategy from its start to its stop.

    Parameters
    ----------
    desk : BarDesk
        What it acts through.
    strategy : EventStrategy
        Its state is what it brings along and what it is left with.
    seed : int
        Of its random generator.
    start_ns : int
        When ``on_start`` is called.
    tell : callable
        Tells it of bars or ticks until the last is matched.

    Raises
    ------
    InvalidData
        Rule ``strategy``: it raised; rule ``limit``: too many orders; rule ``order``: an order that
        makes no sense. Names strategy, callback, symbol and instant.
    """
    context = desk.context = EventContext(tuple(desk.machine.symbols), desk, seed)
    name, teller = strategy.name, Teller(desk, context, strategy)
    try:
        context.now_ns = desk.now_ns = start_ns
        if "on_start" in teller.written:
            strategy.on_start(context)
        tell(teller)
        teller.until(NEVER, timers_too=False)
        if "on_stop" in teller.written:
            teller.calling = "on_stop"
            strategy.on_stop(context)
    except BaseException as error:
        raise InvalidData(
            rule_of(error),
            f"{name} in {teller.calling} of {context.symbol} at {context.now_ns} ns, "
            f"after {desk.machine.last_order()}: {said(error)}",
        ) from error
    finally:
        context.finish()


class Teller:
    """Tells a strategy what its desk has for it.

    Attributes
    ----------
    desk, context, strategy
        Whom it stands between.
    written : frozenset of str
        Callbacks that the strategy has.
    calling : str
        The callback that is called, or was last.
    """

    def __init__(self, desk: BarDesk, context: EventContext, strategy: EventStrategy) -> None:
        self.desk, self.context, self.strategy = desk, context, strategy
        self.written = written(strategy)
        self.calling = "on_start"
        desk.tells_rejects = "on_reject" in self.written

    def until(self, now_ns: int, *, timers_too: bool) -> None:
        """Tell fills and rejects up to an instant and timers before it, in order."""
        desk = self.desk
        while True:
            fill_ns, reject_ns = desk.next_fill_ns, desk.next_reject_ns
            timer_ns = desk.timers.next_ns if timers_too else NEVER
            if fill_ns < NEVER and fill_ns <= min(now_ns, timer_ns, reject_ns):
                self._tell_fill(fill_ns)
            elif reject_ns < NEVER and reject_ns <= min(now_ns, timer_ns):
                self._tell_reject(reject_ns)
            elif timer_ns < now_ns and "on_timer" in self.written:
                self._call_timer()
            else:
                return

    def _tell_fill(self, told_ns: int) -> None:
        context, fill = self.context, self.desk.tell()
        if "on_fill" not in self.written:
            if fill.symbol == context.symbol:
                context.held = fill.held
            return
        before, self.calling = self.calling, "on_fill"
        self._move_to(told_ns)
        context.symbol, context.held = fill.symbol, fill.held
        self.strategy.on_fill(context, fill)
        self.calling = before

    def _tell_reject(self, told_ns: int) -> None:
        context, reject = self.context, self.desk.tell_reject()
        symbol, held = context.symbol, context.held  # nobody may know the reject's symbol
        before, self.calling = self.calling, "on_reject"
        self._move_to(told_ns)
        context.symbol, context.held = reject.symbol, self.desk.position(reject.symbol)
        self.strategy.on_reject(context, reject)
        context.symbol, context.held, self.calling = symbol, held, before

    def _call_timer(self) -> None:
        at_ns, name = self.desk.timers.pop()
        before, self.calling = self.calling, "on_timer"
        self._move_to(at_ns)
        self.strategy.on_timer(self.context, name)
        self.calling = before

    def _move_to(self, at_ns: int) -> None:
        """Let it be an instant, or stay later than that."""
        self.context.now_ns = self.desk.now_ns = max(at_ns, self.desk.now_ns)
