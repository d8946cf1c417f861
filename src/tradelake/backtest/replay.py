"""Replays quotes, trades and books to event strategies: rungs 3 and 4.

The venue sees each tick before the strategy is told of it. While no order works or is under way
ticks are matched in batches, when the next order is sent.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tradelake.backtest.clock import feed_ns
from tradelake.backtest.desk import BarDesk
from tradelake.backtest.due import NEVER
from tradelake.backtest.failure import rule_of, said
from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.arrays import IntArray
from tradelake.market.tape import Tape, TickKind
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import EventStrategy, written

_CHUNK: Final = 1 << 15
_COLUMNS: Final = ("ts_ns", "symbol", "kind", "side", "price", "size", "price2", "size2")
_BID, _ASK = 1, -1


class TickDesk(BarDesk):
    """A desk over ticks: prices are mids, else last trades, as told; there are no bars."""

    def __init__(self, machine: TickMachine, tape: Tape, cash: float, most_orders: int) -> None:
        super().__init__(machine, _TickClock(tape), (), cash, most_orders)
        self.end = 0
        self.prices = [float("nan")] * len(machine.symbols)

    def equity(self) -> float:
        """Quote units, at the prices known by now."""
        return self.cash() + sum(
            held * self.prices[number] for number, held in enumerate(self.held.values()) if held
        )

    @property
    def idle(self) -> bool:
        """Whether no order works or is under way, and no reject is to be looked for."""
        counters = self.machine.state.counters[0]
        return bool(counters["live"] == 0 and counters["sent"] == 0) and not self.unjudged

    def _decide(self, order: int = NONE) -> int:
        self._refuse_threads()
        self.match(self.end)
        count = len(self.machine.orders)
        if order == NONE and count >= self._most_orders:
            raise InvalidData("limit", f"more than {self._most_orders} orders were sent")
        return self.now_ns - self._feed_ns + feed_ns(self.machine, count)


class _TickClock:
    """A tape with the names that a desk reads."""

    def __init__(self, tape: Tape) -> None:
        self.bars = {"close_ns": tape["ts_ns"]}
        self.starts: IntArray = np.arange(len(tape))
        self.ends: IntArray = self.starts + 1

    def __len__(self) -> int:
        return len(self.starts)


def play_ticks(
    machine: TickMachine,
    tape: Tape,
    strategy: EventStrategy,
    *,
    cash: float,
    seed: int,
    most_orders: int,
) -> None:
    """Tell a strategy of all ticks, its fills and its timers, and do what it asks for.

    Raises
    ------
    InvalidData
        As :func:`tradelake.backtest.events.play`.
    """
    desk = TickDesk(machine, tape, cash, most_orders)
    context = desk.context = EventContext(tuple(machine.symbols), desk, seed)
    name, replay = strategy.name, _Replay(desk, context, strategy)
    try:
        replay.run(tape)
    except BaseException as error:
        raise InvalidData(
            rule_of(error),
            f"{name} in {replay.calling} of {context.symbol} at {context.now_ns} ns, "
            f"after {machine.last_order()}: {said(error)}",
        ) from error
    finally:
        context.finish()


class _Replay:
    def __init__(self, desk: TickDesk, context: EventContext, strategy: EventStrategy) -> None:
        self._desk, self._context, self._strategy = desk, context, strategy
        self._written = written(strategy)
        desk.tells_rejects = "on_reject" in self._written
        self._feed_ns = int(desk.machine.terms.latency[0][1])
        self._names = list(desk.machine.symbols)
        self._shown: list[dict[str, Any]] = [{} for _ in self._names]
        self._levels: list[dict[int, dict[float, float]]] = [{1: {}, -1: {}} for _ in self._names]
        self.calling = "on_start"

    def run(self, tape: Tape) -> None:
        """Call everything from the start to the stop."""
        desk, context = self._desk, self._context
        context.now_ns = desk.now_ns = int(tape["ts_ns"][0])
        if "on_start" in self._written:
            self._strategy.on_start(context)
        for first in range(0, len(tape), _CHUNK):
            part = tape[first : first + _CHUNK]
            rows = zip(*(part[name].tolist() for name in _COLUMNS), strict=True)
            for event, row in enumerate(rows, first):
                self._tick(event, row)
        desk.match(len(tape))
        self._tell_until(NEVER - 1, timers_too=False)
        if "on_stop" in self._written:
            self.calling = "on_stop"
            self._strategy.on_stop(context)

    def _tick(self, event: int, row: tuple[Any, ...]) -> None:
        desk, context = self._desk, self._context
        now_ns = row[0] + self._feed_ns
        if not desk.idle:
            desk.match(event + 1)
        if min(desk.next_fill_ns, desk.next_reject_ns, desk.timers.next_ns) <= now_ns:
            self._tell_until(now_ns, timers_too=True)
        desk.end = event + 1
        context.now_ns = desk.now_ns = now_ns
        name = self._show(row)
        if name in self._written:
            self.calling = name
            getattr(self._strategy, name)(context)

    def _show(self, row: tuple[Any, ...]) -> str:
        """Put a tick into the context; return the callback it is for, empty inside an update."""
        _, symbol, kind, side, price, size, price2, size2 = row
        shown = self._shown[symbol]
        if kind == TickKind.QUOTE:
            shown |= {"bid": price, "bid_size": size, "ask": price2, "ask_size": size2}
            self._desk.prices[symbol] = 0.5 * (price + price2)
        elif kind == TickKind.TRADE:
            shown |= {"price": price, "size": size, "taker": side}
            if "bid" not in shown:
                self._desk.prices[symbol] = price
        elif not self._book(symbol, kind, side, price, size):
            return ""
        context = self._context
        context.symbol = self._names[symbol]
        context.held = self._desk.held[context.symbol]
        for field in ("bid", "ask", "bid_size", "ask_size", "price", "size"):
            setattr(context, field, shown.get(field, float("nan")))
        context.taker = shown.get("taker", 0)
        return {TickKind.QUOTE: "on_quote", TickKind.TRADE: "on_trade"}.get(kind, "on_book")

    def _book(self, symbol: int, kind: int, side: int, price: float, size: float) -> bool:
        """Change a book; return whether the update is whole."""
        levels = self._levels[symbol]
        if kind == TickKind.RESET:
            levels[_BID].clear()
            levels[_ASK].clear()
            return False
        if size > 0.0:
            levels[side][price] = size
        else:
            levels[side].pop(price, None)
        if kind == TickKind.PART:
            return False
        bids = np.array(sorted(levels[_BID].items(), reverse=True)).reshape(-1, 2)
        asks = np.array(sorted(levels[_ASK].items())).reshape(-1, 2)
        self._context.bids, self._context.asks = bids, asks
        if len(bids) and len(asks):
            best = {"bid": bids[0, 0], "bid_size": bids[0, 1], "ask": asks[0, 0]}
            self._shown[symbol] |= {**best, "ask_size": asks[0, 1]}
            self._desk.prices[symbol] = 0.5 * float(bids[0, 0] + asks[0, 0])
        return True

    def _tell_until(self, now_ns: int, *, timers_too: bool) -> None:
        desk, context = self._desk, self._context
        while True:
            fill_ns, reject_ns = desk.next_fill_ns, desk.next_reject_ns
            timer_ns = desk.timers.next_ns if timers_too else NEVER
            if fill_ns <= min(now_ns, timer_ns, reject_ns):
                fill = desk.tell()
                desk.now_ns = max(fill_ns, desk.now_ns)
                context.now_ns, context.symbol = desk.now_ns, fill.symbol
                context.held, self.calling = fill.held, "on_fill"
                if "on_fill" in self._written:
                    self._strategy.on_fill(context, fill)
            elif reject_ns <= min(now_ns, timer_ns):
                reject, before = desk.tell_reject(), (context.symbol, context.held)
                desk.now_ns = max(reject_ns, desk.now_ns)
                context.now_ns, context.symbol = desk.now_ns, reject.symbol
                context.held, self.calling = desk.position(reject.symbol), "on_reject"
                self._strategy.on_reject(context, reject)
                context.symbol, context.held = before
            elif timer_ns < now_ns and "on_timer" in self._written:
                at_ns, name = desk.timers.pop()
                desk.now_ns = max(at_ns, desk.now_ns)
                context.now_ns, self.calling = desk.now_ns, "on_timer"
                self._strategy.on_timer(context, name)
            else:
                return
