"""How many connections an account may have, and how long a dropped one still counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable


class Slots:
    """Connection slots per account and location.

    Parameters
    ----------
    limit : int
        Connections at a time.
    hold_s : float
        A slot whose connection dropped without a closing handshake stays taken for so long.
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, limit: int, hold_s: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._hold_s = hold_s
        self._clock = clock
        self._open: Counter[tuple[str, str]] = Counter()
        self._held: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def take(self, account: tuple[str, str]) -> bool:
        """Take a slot; False when none is free."""
        now = self._clock()
        held = self._held[account] = [until for until in self._held[account] if until > now]
        if self._open[account] + len(held) >= self._limit:
            return False
        self._open[account] += 1
        return True

    def release(self, account: tuple[str, str], *, clean: bool) -> None:
        """Give a slot back: at once after a closing handshake, otherwise after the hold."""
        self._open[account] -= 1
        if not clean and self._hold_s > 0:
            self._held[account].append(self._clock() + self._hold_s)
