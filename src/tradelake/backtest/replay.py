"""Replays quotes, trades and books to event strategies: rungs 3 and 4.

The venue sees each tick before the strategy is told of it. While no order works or is under way
ticks are matched in batches, when the next order is sent.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tradelake.backtest.clock import feed_ns
from tradelake.backtest.desk import BarDesk
from tradelake.backtest.telling import Teller, lead
from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.arrays import IntArray
from tradelake.market.tape import Tape, TickKind
from tradelake.strategies.event import EventStrategy

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
        As :func:`tradelake.backtest.telling.lead`.
    """
    desk = TickDesk(machine, tape, cash, most_orders)
    start_ns = int(tape["ts_ns"][0])
    lead(desk, strategy, seed, start_ns, lambda teller: _Ticks(desk, teller).tell(tape))


class _Ticks:
    """One run: what ticks show, and whom they are for."""

    def __init__(self, desk: TickDesk, teller: Teller) -> None:
        self._desk, self._teller = desk, teller
        self._context, self._strategy = teller.context, teller.strategy
        self._written = teller.written
        self._feed_ns = int(desk.machine.terms.latency[0][1])
        self._names = list(desk.machine.symbols)
        self._shown: list[dict[str, Any]] = [{} for _ in self._names]
        self._levels: list[dict[int, dict[float, float]]] = [{1: {}, -1: {}} for _ in self._names]

    def tell(self, tape: Tape) -> None:
        """Tell of all ticks."""
        for first in range(0, len(tape), _CHUNK):
            part = tape[first : first + _CHUNK]
            rows = zip(*(part[name].tolist() for name in _COLUMNS), strict=True)
            for event, row in enumerate(rows, first):
                self._tick(event, row)
        self._desk.match(len(tape))

    def _tick(self, event: int, row: tuple[Any, ...]) -> None:
        desk, context = self._desk, self._context
        now_ns = row[0] + self._feed_ns
        if not desk.idle:
            desk.match(event + 1)
        if min(desk.next_fill_ns, desk.next_reject_ns, desk.timers.next_ns) <= now_ns:
            self._teller.until(now_ns, timers_too=True)
        desk.end = event + 1
        context.now_ns = desk.now_ns = now_ns
        name = self._show(row)
        if name in self._written:
            self._teller.calling = name
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
