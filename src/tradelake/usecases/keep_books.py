"""Keeps an order book of every symbol beside the raw updates: snapshots, and renewals when broken.

A :class:`~tradelake.ports.Stage`: every record passes unchanged; snapshots are added. A book that
was crossed or locked has lost an update, so it is suspect until the venue's next reset even when
later deltas uncross it: its snapshots go on, flagged ``crossed_book``, and a reset is asked for.
An update that cannot be read is a lost one: its book ends there, and a reset is asked for; after a
frame that cannot be read every book does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tradelake.feed.books import Applied, Book
from tradelake.market.channels import ORDERBOOKS, UNKNOWN
from tradelake.market.records import BookSnapshot, BookUpdate, Instrument, Record, Unreadable
from tradelake.market.timeframes import SECOND_NS

CROSSED_FLAG: Final = "crossed_book"
MAX_BOOKS: Final = 10_000
"""Books kept; the one known for longest is forgotten first."""

Renew = Callable[[tuple[str, ...]], None]


class RenewalPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a reset is asked for; everything in seconds.

    Parameters
    ----------
    first_s, longest_s : float
        A symbol is asked for again after ``first_s``, then after twice as long each time, up to
        ``longest_s``. A book that stayed whole for twice its last wait starts anew.
    together_s : float
        All symbols share at most one request in so many seconds.
    reset_s : float
        The venue sends a reset with every subscription; deltas without one are waited out so long.
    """

    first_s: float = 30.0
    longest_s: float = 1_800.0
    together_s: float = 1.0
    reset_s: float = 5.0


class BookCounts(msgspec.Struct, kw_only=True):
    """What happened to books since the start; ``books`` and ``whole`` are of now."""

    books: int = 0
    whole: int = 0
    updates: int = 0
    resets: int = 0
    discarded: int = 0
    crossings: int = 0
    invalid: int = 0
    renewals: int = 0
    snapshots: int = 0
    interruptions: int = 0
    dropped_levels: int = 0


class _Kept:
    """A book and what was done about it."""

    __slots__ = ("asked_ns", "book", "lacking_ns", "shown", "wait_ns")

    def __init__(self) -> None:
        self.book = Book()
        self.shown = True
        self.lacking_ns: int | None = None
        self.asked_ns: int | None = None
        self.wait_ns = 0


class BookKeeper:
    """Keeps a book per symbol; adds snapshots to the records of frames.

    Snapshots are taken at whole multiples of the interval, for all symbols at once: a snapshot
    holds what was received before that instant, and only books that changed since their last one
    have any. Time passes only with frames, so call :meth:`process` with no records when none come.

    Parameters
    ----------
    renew : callable
        Asks the venue for resets of symbols; called from :meth:`process`, must not wait.
    depth : int
        Levels of a snapshot, per side.
    interval_ns : int
        Between two snapshots of a book, in time of receipt.
    policy : RenewalPolicy
        How often ``renew`` is called.
    max_books : int
        Symbols kept.
    """

    def __init__(
        self,
        renew: Renew,
        *,
        depth: int = 10,
        interval_ns: int = SECOND_NS,
        policy: RenewalPolicy | None = None,
        max_books: int = MAX_BOOKS,
    ) -> None:
        if depth < 1 or interval_ns < 1 or max_books < 1:
            raise ValueError(
                "expected a depth, an interval and a number of books above 0;"
                f" found {depth}, {interval_ns} ns and {max_books}"
            )
        self._renew = renew
        self._depth, self._interval_ns, self._max_books = depth, interval_ns, max_books
        self._policy = policy or RenewalPolicy()
        self._kept: dict[str, _Kept] = {}
        self._changed: dict[str, _Kept] = {}
        self._broken: dict[str, _Kept] = {}
        self._snapshot_ns = 0
        self._renewed_ns: int | None = None
        self._counts = BookCounts()
        self._dropped_before = 0

    def process(self, records: Sequence[Record], now_ns: int) -> Sequence[Record]:
        """Return the records, after the snapshots that became due before they came.

        Parameters
        ----------
        records : sequence of Record
            Of one frame, in its order.
        now_ns : int
            When it was received, ns since 1970 UTC.
        """
        snapshots: list[Record] = []
        if not self._snapshot_ns - self._interval_ns <= now_ns < self._snapshot_ns:
            snapshots = self._take_snapshots(now_ns)
        for record in records:
            if type(record) is BookUpdate:
                self._apply(record, now_ns)
            elif type(record) is Unreadable:
                self._lose(record, now_ns)
            elif type(record) is Instrument and record.event in ("delisted", "renamed"):
                self._drop(record.symbol)
        if self._broken:
            self._ask(now_ns)
        return [*snapshots, *records] if snapshots else records

    def interrupted(self) -> None:
        """Discard every book until its next reset: updates may have been missed."""
        self._counts.interruptions += 1
        for kept in self._kept.values():
            kept.book.forget()
            kept.lacking_ns = None
        self._changed.clear()
        self._broken.clear()

    def top(self, symbol: str, n: int) -> tuple[list[tuple[float, float]], ...] | None:
        """Return bids and asks of a symbol's book, best first; None while it is not whole."""
        kept = self._kept.get(symbol)
        return kept.book.top(n) if kept is not None and kept.book.whole else None

    def counts(self) -> BookCounts:
        """What happened so far."""
        books = [kept.book for kept in self._kept.values()]
        return msgspec.structs.replace(
            self._counts,
            books=len(books),
            whole=sum(book.whole for book in books),
            dropped_levels=self._dropped_before + sum(book.dropped_levels for book in books),
        )

    def _apply(self, update: BookUpdate, now_ns: int) -> None:
        symbol = update.symbol
        kept = self._kept.get(symbol)
        if kept is None:
            if len(self._kept) >= self._max_books:
                self._drop(next(iter(self._kept)))
            kept = self._kept[symbol] = _Kept()
        counts = self._counts
        counts.updates += 1
        suspect = kept.book.was_crossed
        outcome = kept.book.apply(update)
        if outcome is Applied.DONE or outcome is Applied.CROSSED:
            if kept.shown:
                kept.shown = False
                self._changed[symbol] = kept
            if update.reset:
                counts.resets += 1
                suspect = False
                kept.lacking_ns = None
                self._broken.pop(symbol, None)
            if outcome is Applied.CROSSED:
                counts.crossings += not suspect
                self._broken[symbol] = kept
        else:
            self._lacks_reset(symbol, kept, outcome, now_ns)

    def _lose(self, message: Unreadable, now_ns: int) -> None:
        """End the books that may lack what an unreadable message, or frame, said of them."""
        kept = self._kept.get(message.symbol)
        if message.channel == UNKNOWN and not message.symbol:
            self.interrupted()
        elif message.channel == ORDERBOOKS and kept is not None:
            kept.book.forget()
            self._lacks_reset(message.symbol, kept, Applied.INVALID, now_ns)

    def _lacks_reset(self, symbol: str, kept: _Kept, outcome: Applied, now_ns: int) -> None:
        if outcome is Applied.INVALID:
            self._counts.invalid += 1
            kept.shown = True
            self._changed.pop(symbol, None)
            kept.lacking_ns = now_ns - _ns(self._policy.reset_s)
        else:
            self._counts.discarded += 1
            if kept.lacking_ns is None:
                kept.lacking_ns = now_ns
        if now_ns - kept.lacking_ns >= _ns(self._policy.reset_s):
            self._broken[symbol] = kept

    def _ask(self, now_ns: int) -> None:
        """Ask for resets of the broken books whose turn it is, in one request."""
        policy = self._policy
        together_ns = _ns(policy.together_s)
        if self._renewed_ns is not None and now_ns - self._renewed_ns < together_ns:
            return
        due = []
        for symbol, kept in self._broken.items():
            if kept.asked_ns is None or now_ns - kept.asked_ns >= 2 * kept.wait_ns:
                kept.wait_ns = _ns(policy.first_s)
            elif now_ns - kept.asked_ns >= kept.wait_ns:
                kept.wait_ns = min(2 * kept.wait_ns, _ns(policy.longest_s))
            else:
                continue
            kept.asked_ns = now_ns
            due.append(symbol)
        if due:
            self._renewed_ns = now_ns
            self._counts.renewals += len(due)
            self._renew(tuple(due))

    def _take_snapshots(self, now_ns: int) -> list[Record]:
        self._snapshot_ns = now_ns - now_ns % self._interval_ns + self._interval_ns
        snapshots: list[Record] = []
        for symbol, kept in self._changed.items():
            book = kept.book
            kept.shown = True
            bids, asks = book.top(self._depth)
            flags = CROSSED_FLAG if book.was_crossed else ""
            snapshots.append(
                BookSnapshot(symbol, book.ts_event, now_ns, bids, asks, book.updates, flags)
            )
        self._changed.clear()
        self._counts.snapshots += len(snapshots)
        return snapshots

    def _drop(self, symbol: str) -> None:
        kept = self._kept.pop(symbol, None)
        if kept is not None:
            self._dropped_before += kept.book.dropped_levels
            self._changed.pop(symbol, None)
            self._broken.pop(symbol, None)


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
