"""Alpaca's REST rate limit: so many requests in each minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_WINDOW_S: Final = 60


class RateLimit:
    """Counts requests per account in fixed windows of a minute.

    Parameters
    ----------
    limit : int
        Requests per minute.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._window = 0
        self._used: dict[str, int] = {}

    def admit(self, account: str) -> tuple[bool, dict[str, str]]:
        """Count a request; whether it is served, and the headers that say so."""
        window = int(self._clock()) // _WINDOW_S
        if window != self._window:
            self._window = window
            self._used.clear()
        used = self._used.get(account, 0)
        admitted = used < self._limit
        if admitted:
            used += 1
            self._used[account] = used
        headers = {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(self._limit - used),
            "X-RateLimit-Reset": str((window + 1) * _WINDOW_S),
        }
        return admitted, headers
