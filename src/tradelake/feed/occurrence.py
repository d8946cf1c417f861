"""Tells equal quotes, or equal book updates, of one instant apart, in bounded memory."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from tradelake.market.records import BookUpdate, Quote

MAX_SYMBOLS: Final = 10_000
MAX_CONTENTS: Final = 65_536

Numbered = TypeVar("Numbered", Quote, BookUpdate)


class Occurrences(Generic[Numbered]):
    """Counts equal contents of a symbol while its ``ts_event`` does not change.

    One for quotes and one for books. Start a new one with every connection: what the venue says
    again after a reconnect must get the same number as before, so that it is recognised as the same
    datum.

    Parameters
    ----------
    max_symbols : int
        Symbols remembered; the one known for longest is forgotten first.
    max_contents : int
        Different contents remembered of one symbol and instant; the oldest is forgotten first.

    Attributes
    ----------
    latest : dict of str to record
        The first record of each symbol's latest instant. A caller in a hurry may itself put the
        record of a known symbol and another instant there, which is all ``numbered`` does then.
    """

    def __init__(self, max_symbols: int = MAX_SYMBOLS, max_contents: int = MAX_CONTENTS) -> None:
        self._max_symbols = max_symbols
        self._max_contents = max_contents
        self.latest: dict[str, Numbered] = {}
        self._counts: dict[str, _Counts] = {}

    def numbered(self, record: Numbered) -> Numbered:
        """Return the record with the number of equal ones before it, at its symbol's time.

        Parameters
        ----------
        record : Quote or BookUpdate
            The next one, with ``occurrence`` 0. It is kept: its levels must not change afterwards.

        >>> seen = Occurrences()
        >>> quotes = [Quote("BTC/USD", ts, 0, 1.0, 1.0, 2.0, 1.0) for ts in (1, 1, 2)]
        >>> [seen.numbered(quote).occurrence for quote in quotes]
        [0, 1, 0]
        """
        symbol = record.symbol
        first = self.latest.get(symbol)
        if first is not None and first.ts_event == record.ts_event:
            return self._again(first, record)
        if first is None and len(self.latest) >= self._max_symbols:
            oldest = next(iter(self.latest))
            del self.latest[oldest]
            self._counts.pop(oldest, None)
        self.latest[symbol] = record
        return record

    def _again(self, first: Numbered, record: Numbered) -> Numbered:
        counts = self._counts.get(first.symbol)
        if counts is None or counts.ts_event != first.ts_event:
            counts = self._counts[first.symbol] = _Counts(first.ts_event, {_content(first): 1})
        content = _content(record)
        count = counts.of.get(content, 0)
        if count == 0 and len(counts.of) >= self._max_contents:
            del counts.of[next(iter(counts.of))]
        counts.of[content] = count + 1
        return msgspec.structs.replace(record, occurrence=count) if count else record


class _Counts(NamedTuple):
    """How often each content was seen at an instant; made when a second message of it comes."""

    ts_event: int
    of: dict[Hashable, int]


def _content(record: Quote | BookUpdate) -> Hashable:
    if isinstance(record, Quote):
        return (record.bid, record.bid_size, record.ask, record.ask_size)
    return (tuple(record.bids), tuple(record.asks), record.reset)
