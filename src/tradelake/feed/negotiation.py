"""Asking the venue for channels and symbols: one request at a time, cut where it is refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tradelake.feed.messages import Acknowledgement
from tradelake.feed.subscription import EVERY_SYMBOL, Pair


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send."""

    action: Literal["subscribe", "unsubscribe"]
    pairs: tuple[Pair, ...]


class Negotiation:
    """The requests of one connection, in order; the next is sent when the last was answered.

    An answer does not say which request it is to, so only one is under way. A refused request is
    cut in halves, down to the pair that the venue does not take: what it accepts is kept, at a cost
    of about twice the logarithm of the number of pairs in requests.
    """

    def __init__(self) -> None:
        self.under_way: Request | None = None
        self.acknowledged = Acknowledgement()
        self._waiting: deque[Request] = deque()

    @property
    def settled(self) -> bool:
        """Whether every request was answered."""
        return self.under_way is None and not self._waiting

    def ask(self, action: Literal["subscribe", "unsubscribe"], pairs: Iterable[Pair]) -> None:
        """Ask for something after what was asked before."""
        asked = tuple(pairs)
        if asked:
            self._waiting.append(Request(action, asked))

    def next(self) -> Request | None:
        """Return the request to send now; None while one is under way or none is left."""
        if self.under_way is None and self._waiting:
            self.under_way = self._waiting.popleft()
            return self.under_way
        return None

    def accepted(self, acknowledged: Acknowledgement) -> None:
        """Take note of an acknowledgement: the full state."""
        self.acknowledged = acknowledged
        self.under_way = None

    def refused(self, *, limit: bool) -> None:
        """Take note that the request under way was refused, and changed nothing.

        Parameters
        ----------
        limit : bool
            The venue says there are too many. When not one more fits, the rest is not asked for;
            ``*`` counts as many, so it says nothing of the others.
        """
        request, self.under_way = self.under_way, None
        if request is None or request.action == "unsubscribe":
            return
        pairs = request.pairs
        if len(pairs) > 1:
            half = (len(pairs) + 1) // 2
            self._waiting.appendleft(Request("subscribe", pairs[half:]))
            self._waiting.appendleft(Request("subscribe", pairs[:half]))
        elif limit and pairs[0][1] != EVERY_SYMBOL:
            while self._waiting and self._waiting[0].action == "subscribe":
                self._waiting.popleft()
