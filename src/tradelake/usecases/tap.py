"""The live tap: clean records to subscribers beside the durable path, never in its way.

The tap is a stage of the ingester. It looks at the records of a frame before they are batched, so a
subscriber has them before they are durable, and sees in rare cases (a crash) what is fetched again
later under the same identity. What breaks a quality rule is left out, as validation will leave it
out. A subscriber that reads too slowly loses its oldest records and is told how many; nothing it
does or leaves undone holds up the ingester.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

from tradelake.market.records import Record, Unreadable, channel_of
from tradelake.stream.tapped import Tapped

EVERY = frozenset({"*"})


class Subscriber:
    """One reader's bounded buffer; made by :meth:`Tap.subscribe`.

    Parameters
    ----------
    venue : str
        Of every record.
    symbols, channels : collection of str
        What it wants; ``*`` means all.
    capacity : int
        Records that wait at most.
    """

    def __init__(
        self, venue: str, symbols: Collection[str], channels: Collection[str], capacity: int
    ) -> None:
        self.missed = 0
        self.taken = 0
        self._venue, self._capacity = venue, capacity
        self._symbols, self._channels = frozenset(symbols), frozenset(channels)
        self._every_symbol = self._symbols >= EVERY
        self._every_channel = self._channels >= EVERY
        self._waiting: deque[Record] = deque()
        self._missed_since = 0
        self._wake = asyncio.Event()

    def offer(self, records: Sequence[Record]) -> None:
        """Keep what it wants of the records; the oldest make room for the newest."""
        if self._every_symbol and self._every_channel:
            wanted: Sequence[Record] = records
        else:
            wanted = [
                record
                for record in records
                if (self._every_symbol or record.symbol in self._symbols)
                and (self._every_channel or channel_of(record) in self._channels)
            ]
        if not wanted:
            return
        self._waiting.extend(wanted)
        surplus = len(self._waiting) - self._capacity
        if surplus > 0:
            for _ in range(surplus):
                self._waiting.popleft()
            self._missed_since += surplus
            self.missed += surplus
        self._wake.set()

    async def next(self, timeout_s: float) -> Tapped:
        """Return all that waits, as soon as there is any; empty after ``timeout_s``."""
        if not self._waiting:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return Tapped(self._venue, 0, [])
        tapped = Tapped(self._venue, self._missed_since, list(self._waiting))
        self._waiting.clear()
        self._missed_since = 0
        self.taken += len(tapped.records)
        return tapped


class Tap:
    """A stage that shows clean records to subscribers.

    Parameters
    ----------
    venue : str
        Venue of the ingester.
    is_clean : callable
        Whether a record passes the rules that send others to quarantine. Asked only while there is
        a subscriber.
    """

    def __init__(self, venue: str, is_clean: Callable[[Record], bool]) -> None:
        self._venue, self._is_clean = venue, is_clean
        self._subscribers: set[Subscriber] = set()
        self._missed_by_gone = 0

    @property
    def subscribers(self) -> int:
        """Subscribers there are."""
        return len(self._subscribers)

    @property
    def missed(self) -> int:
        """Records that slow subscribers lost so far, those that left included."""
        return self._missed_by_gone + sum(one.missed for one in self._subscribers)

    def subscribe(
        self, symbols: Collection[str], channels: Collection[str], capacity: int
    ) -> Subscriber:
        """Add a subscriber; what is received from now on is offered to it."""
        subscriber = Subscriber(self._venue, symbols, channels, capacity)
        self._subscribers.add(subscriber)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        self._subscribers.discard(subscriber)
        self._missed_by_gone += subscriber.missed

    def process(self, records: Sequence[Record], now_ns: int) -> Sequence[Record]:  # noqa: ARG002
        """Show the records to the subscribers; return them as they are."""
        if self._subscribers:
            clean = [
                record
                for record in records
                if not isinstance(record, Unreadable) and self._is_clean(record)
            ]
            for subscriber in self._subscribers:
                subscriber.offer(clean)
        return records
