"""An order book made of resets and deltas, and what makes it untrustworthy. Pure.

Alpaca's updates carry neither a sequence number nor a checksum, so three signs tell that one was
lost or cannot be used: deltas without a reset before them, a best bid at or above the best ask, and
a level that is impossible. Only a reset makes such a book whole again.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from tradelake.market.records import BookUpdate, Level

MAX_LEVELS: Final = 20_000
"""Levels kept of a side; what is further from the market is dropped and counted."""
LARGEST: Final = 1e18
"""A price or size above it is impossible, as the quality rules have it."""


class Applied(enum.Enum):
    """What became of an update."""

    DONE = "done"
    DISCARDED = "discarded"
    """A delta without its book."""
    CROSSED = "crossed"
    """Taken in; since its last reset the book was crossed or locked at least once."""
    INVALID = "invalid"
    """A level is impossible: the book is gone until the next reset."""


class _Side:
    """Levels of one side. ``keys`` ascend and the best is last: changes are mostly at that end.

    A key is the price times ``sign``: 1 for bids, -1 for asks.
    """

    __slots__ = ("dropped", "keys", "sign", "sizes")

    def __init__(self, sign: float) -> None:
        self.sign = sign
        self.sizes: dict[float, float] = {}
        self.keys: list[float] = []
        self.dropped = 0

    def replace(self, levels: Iterable[Level]) -> bool:
        """Whether every level was possible."""
        self.sizes, self.keys = {}, []
        for price, size in levels:
            if not (0.0 < price <= LARGEST and 0.0 <= size <= LARGEST):
                return False
            if size:
                self.sizes[price] = size
            else:
                self.sizes.pop(price, None)
        self.keys = sorted([price * self.sign for price in self.sizes])
        self._bound()
        return True

    def change(self, levels: Iterable[Level]) -> bool:
        """Whether every level was possible; those before the first that is not were taken in."""
        sizes, keys, sign = self.sizes, self.keys, self.sign
        for price, size in levels:
            if price in sizes:
                if 0.0 < size <= LARGEST:
                    sizes[price] = size
                elif size == 0.0:
                    del sizes[price]
                    del keys[bisect_left(keys, price * sign)]
                else:
                    return False
            elif not (0.0 < price <= LARGEST and 0.0 <= size <= LARGEST):
                return False
            elif size:
                key = price * sign
                keys.insert(bisect_left(keys, key), key)
                sizes[price] = size
        if len(keys) > MAX_LEVELS:
            self._bound()
        return True

    def top(self, n: int) -> list[Level]:
        sizes, sign = self.sizes, self.sign
        prices = [key * sign for key in self.keys[: -n - 1 : -1]]
        return [(price, sizes[price]) for price in prices]

    def _bound(self) -> None:
        excess = len(self.keys) - MAX_LEVELS
        if excess > 0:
            for key in self.keys[:excess]:
                del self.sizes[key * self.sign]
            del self.keys[:excess]
            self.dropped += excess


class Book:
    """The order book of one symbol.

    Deltas before the first reset are discarded; a reset replaces all; a size of 0 deletes a level.
    A size change costs a dictionary write, a new or deleted level a binary search as well.

    >>> book = Book()
    >>> book.apply(BookUpdate("BTC/USD", 1, 1, [(9.0, 1.0)], []))
    <Applied.DISCARDED: 'discarded'>
    >>> book.apply(BookUpdate("BTC/USD", 2, 2, [(9.0, 1.0), (8.0, 2.0)], [(10.0, 3.0)], True))
    <Applied.DONE: 'done'>
    >>> book.top(1)
    ([(9.0, 1.0)], [(10.0, 3.0)])
    >>> book.apply(BookUpdate("BTC/USD", 3, 3, [(10.0, 1.0)], []))
    <Applied.CROSSED: 'crossed'>
    """

    __slots__ = ("_asks", "_bids", "ts_event", "updates", "was_crossed", "whole")

    def __init__(self) -> None:
        self._bids = _Side(1.0)
        self._asks = _Side(-1.0)
        self.whole = False
        """Whether it begins with a reset."""
        self.was_crossed = False
        """Whether it was crossed or locked since its last reset."""
        self.updates = 0
        """Updates since its last reset, which is 0."""
        self.ts_event = 0
        """The venue's time of its last update, ns since 1970 UTC; 0 before the first reset."""

    def apply(self, update: BookUpdate) -> Applied:
        """Take in an update of this symbol, in the order of arrival."""
        if update.reset:
            possible = self._bids.replace(update.bids) and self._asks.replace(update.asks)
            self.whole, self.was_crossed, self.updates = True, False, 0
        elif self.whole:
            possible = self._bids.change(update.bids) and self._asks.change(update.asks)
            self.updates += 1
        else:
            return Applied.DISCARDED
        if not possible:
            self.forget()
            return Applied.INVALID
        self.ts_event = update.ts_event
        bid_keys, ask_keys = self._bids.keys, self._asks.keys
        if bid_keys and ask_keys and bid_keys[-1] >= -ask_keys[-1]:
            self.was_crossed = True
        return Applied.CROSSED if self.was_crossed else Applied.DONE

    def forget(self) -> None:
        """Discard everything until the next reset."""
        self.whole = self.was_crossed = False
        self._bids.replace(())
        self._asks.replace(())
        self.updates = self.ts_event = 0

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask now."""
        bids, asks = self._bids.keys, self._asks.keys
        return bool(bids and asks) and bids[-1] >= -asks[-1]

    @property
    def dropped_levels(self) -> int:
        """Levels that were too far from the market to be kept, ever."""
        return self._bids.dropped + self._asks.dropped

    def top(self, n: int) -> tuple[list[Level], list[Level]]:
        """Return at most ``n`` bids and ``n`` asks, best first; (price, size)."""
        return self._bids.top(n), self._asks.top(n)
