"""From a session's ticks to what the venue publishes: late trades held back, bars added. No I/O."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tradelake.exchange.bars import MINUTE_NS, BarBuilder
from tradelake.exchange.source import Session, Tick
from tradelake.exchange.wire import MarketRecord
from tradelake.market.channels import CHANNELS, ORDERBOOKS, QUOTES, TRADES
from tradelake.market.records import Quote, Trade
from tradelake.market.timeframes import SECOND_NS


class Message:
    """One record on its way to clients, with its encodings once they were needed."""

    __slots__ = ("at_ns", "json", "key", "number", "packed", "record")

    def __init__(self, at_ns: int, key: tuple[str, str], record: MarketRecord) -> None:
        self.at_ns = at_ns
        self.key = key
        self.record = record
        self.number = -1
        self.json: bytes | None = None
        self.packed: bytes | None = None


@dataclass(slots=True)
class Lateness:
    """Which trades come late, and by how much.

    Parameters
    ----------
    fraction : float
        Share of trades that come late, in [0, 1].
    seed : int
        Decides which.
    min_s, max_s : float
        Bounds of the delay in event time.
    forced : int
        This many of the next trades come late whatever ``fraction`` says (a fault).
    """

    fraction: float = 0.0
    seed: int = 0
    min_s: float = 5.0
    max_s: float = 20.0
    forced: int = 0

    def delays(self) -> Iterator[int]:
        """Delay in ns of one trade after the other; 0 for punctual ones."""
        random = Random(self.seed)
        while True:
            late = self.fraction > 0 and random.random() < self.fraction
            if self.forced > 0:
                self.forced -= 1
                late = True
            span = random.uniform(self.min_s, self.max_s) if late else 0.0
            yield int(span * SECOND_NS)


def _with_lateness(session: Session, lateness: Lateness) -> Iterator[tuple[int, Tick]]:
    """Ticks with their time of publication, in its order."""
    delays = lateness.delays()
    held: list[tuple[int, int, Trade]] = []
    order = 0
    for tick in session.ticks():
        now = tick.ts_event
        while held and held[0][0] <= now:
            at_ns, _, trade = heapq.heappop(held)
            yield at_ns, trade
        if type(tick) is Trade:
            delay = next(delays)
            if delay:
                order += 1
                heapq.heappush(held, (now + delay, order, tick))
                continue
        yield now, tick
    while held:
        at_ns, _, trade = heapq.heappop(held)
        yield at_ns, trade


class _Keys(dict[str, tuple[str, str]]):
    """(channel, symbol) of one channel by symbol, each made once."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def __missing__(self, symbol: str) -> tuple[str, str]:
        key = self[symbol] = (self._channel, symbol)
        return key


def publish(session: Session, lateness: Lateness) -> Iterator[Message]:
    """Everything the venue publishes in a session, by non-decreasing time of publication.

    After the last tick the clock runs on until the last minute and its updates are published.
    """
    bars = BarBuilder(session.start_ns)
    keys = {channel: _Keys(channel) for channel in CHANNELS}
    trades, quotes, books = keys[TRADES], keys[QUOTES], keys[ORDERBOOKS]
    last_ns = session.start_ns
    for at_ns, tick in _with_lateness(session, lateness):
        if at_ns >= bars.next_ns:
            for bar_ns, bar in bars.due(at_ns):
                yield Message(bar_ns, keys[bar.channel][bar.symbol], bar)
        last_ns = at_ns
        if type(tick) is Quote:
            bars.add_quote(tick)
            yield Message(at_ns, quotes[tick.symbol], tick)
        elif type(tick) is Trade:
            bars.add_trade(tick)
            yield Message(at_ns, trades[tick.symbol], tick)
        else:
            yield Message(at_ns, books[tick.symbol], tick)
    for bar_ns, bar in bars.due(last_ns - last_ns % MINUTE_NS + MINUTE_NS * 3 // 2):
        yield Message(bar_ns, keys[bar.channel][bar.symbol], bar)
