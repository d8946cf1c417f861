"""Tells equal quotes, or equal book updates, of one instant apart, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

MAX_SYMBOLS: Final = 10_000
MAX_CONTENTS: Final = 65_536


class Occurrences:
    """Counts equal contents of a symbol while its ``ts_event`` does not change.

    Start a new one with every connection: what the venue says again after a reconnect must get the
    same number as before, so that it is recognised as the same datum.

    Parameters
    ----------
    max_symbols : int
        Symbols remembered; the one known for longest is forgotten first.
    max_contents : int
        Different contents remembered of one symbol and instant; the oldest is forgotten first.
    key : callable or None
        Makes a content hashable; called only where a second message of an instant comes.
    """

    def __init__(
        self,
        max_symbols: int = MAX_SYMBOLS,
        max_contents: int = MAX_CONTENTS,
        key: Callable[[Any], Hashable] | None = None,
    ) -> None:
        self._max_symbols = max_symbols
        self._max_contents = max_contents
        self._key = key
        self._latest: dict[str, _Instant] = {}

    def next(self, symbol: str, ts_event: int, content: Any) -> int:  # noqa: ANN401 - as the key says
        """Return how often the content was seen before, while the symbol's time did not change.

        The content is kept: it must not change afterwards.

        >>> seen = Occurrences()
        >>> [seen.next("BTC/USD", ts, "same") for ts in (1, 1, 2)]
        [0, 1, 0]
        """
        instant = self._latest.get(symbol)
        if instant is None:
            if len(self._latest) >= self._max_symbols:
                del self._latest[next(iter(self._latest))]
            self._latest[symbol] = _Instant(ts_event, content)
            return 0
        if instant.ts_event != ts_event:
            instant.ts_event, instant.first, instant.counts = ts_event, content, None
            return 0
        key = self._key
        if instant.counts is None:
            instant.counts = {instant.first if key is None else key(instant.first): 1}
        return _count(instant.counts, content if key is None else key(content), self._max_contents)


class _Instant:
    """A symbol's latest time; the counts are made only when a second message of that time comes."""

    __slots__ = ("counts", "first", "ts_event")

    def __init__(self, ts_event: int, first: Any) -> None:  # noqa: ANN401 - as the key says
        self.ts_event = ts_event
        self.first = first
        self.counts: dict[Hashable, int] | None = None


def _count(counts: dict[Hashable, int], content: Hashable, limit: int) -> int:
    count = counts.get(content, 0)
    if count == 0 and len(counts) >= limit:
        del counts[next(iter(counts))]
    counts[content] = count + 1
    return count
