"""How fast a stream is asked: additive increase, multiplicative decrease. Pure: time is passed in.

A stream that throttles wants fewer and larger requests. So a refusal halves the requests that may
be in flight and doubles the time between their starts; meanwhile records gather into larger
batches. Every request that is accepted whole takes a little of that back.
"""

from __future__ import annotations

from typing import Final

_FIRST_SPACING_NS: Final = 10_000_000
_RECOVERY_NS: Final = 2_000_000


class Pace:
    """Says when the next request may start.

    Parameters
    ----------
    lanes : int
        Requests in flight at most.
    max_spacing_ns : int
        Starts of requests are never further apart because of refused records alone.
    """

    def __init__(self, lanes: int, max_spacing_ns: int = 100_000_000) -> None:
        self.window = float(lanes)
        self.spacing_ns = 0
        self.failures = 0
        self._lanes = lanes
        self._max_spacing_ns = max_spacing_ns
        self._next_ns = 0
        self._slowed_ns = 0

    def may_start(self, now_ns: int, in_flight: int) -> bool:
        """Whether a request may start, with so many in flight."""
        return in_flight < int(self.window) and now_ns >= self._next_ns

    @property
    def next_ns(self) -> int:
        """Before which no request starts, ns since 1970 UTC."""
        return self._next_ns

    def started(self, now_ns: int) -> None:
        """Take in that a request started."""
        self._next_ns = now_ns + self.spacing_ns

    def accepted(self) -> None:
        """Take in that a request was accepted whole.

        >>> pace = Pace(lanes=4)
        >>> pace.refused(0, 1); pace.window, pace.spacing_ns
        (2.0, 10000000)
        >>> pace.accepted(); pace.window, pace.spacing_ns
        (2.5, 8000000)
        """
        self.failures = 0
        self.window = min(float(self._lanes), self.window + 1 / self.window)
        self.spacing_ns = max(0, self.spacing_ns - _RECOVERY_NS)

    def refused(self, started_ns: int, now_ns: int) -> None:
        """Take in that some records of a request were refused.

        Requests that started before the pace was slowed say nothing about the slower pace.
        """
        self.failures = 0
        if started_ns >= self._slowed_ns:
            self._slow(now_ns)

    def failed(self, now_ns: int, wait_s: float) -> None:
        """Take in that nothing of a request was accepted: pause for ``wait_s``."""
        self.failures += 1
        self._slow(now_ns)
        self._next_ns = max(self._next_ns, now_ns + int(wait_s * 1e9))

    def _slow(self, now_ns: int) -> None:
        self._slowed_ns = now_ns
        self.window = max(1.0, self.window / 2)
        self.spacing_ns = min(self._max_spacing_ns, max(_FIRST_SPACING_NS, 2 * self.spacing_ns))
        self._next_ns = max(self._next_ns, now_ns + self.spacing_ns)
