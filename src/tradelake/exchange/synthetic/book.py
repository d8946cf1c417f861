"""A ladder of price levels that follows the best quotes, and says what changed. Never crossed."""

from __future__ import annotations

from typing import Final

Ticks = list[tuple[int, float]]
"""(price in ticks, size)."""

_THINNEST: Final = 0.25
_LEAST: Final = 1e-9


class Side:
    """One side of a book, in ticks times ``sign`` (asks +1, bids -1): the best is the smallest."""

    __slots__ = ("_depth", "_levels", "_sign")

    def __init__(self, sign: int, depth: int) -> None:
        self._sign = sign
        self._depth = depth
        self._levels: list[tuple[int, float]] = []

    def move(self, best: int, size: float, gap: int) -> Ticks:
        """Move the best level; returns the changed levels, size 0 for those that went.

        Parameters
        ----------
        best : int
            The new best price in ticks.
        size : float
            Its size; deeper levels that appear have sizes derived from it.
        gap : int
            Ticks between levels that appear.
        """
        sign, levels, depth = self._sign, self._levels, self._depth
        top = best * sign
        gone = 0
        while gone < len(levels) and levels[gone][0] <= top:
            gone += 1
        changed = [(best, size)]
        changed += [(tick * sign, 0.0) for tick, _ in levels[:gone] if tick != top]
        levels[:gone] = [(top, size)]
        changed += [(tick * sign, 0.0) for tick, _ in levels[depth:]]
        del levels[depth:]
        deepest = levels[-1][0]
        while len(levels) < depth:
            deepest += gap
            resting = round(size * (_THINNEST + (deepest * 7919 % 64) / 16), 9) or _LEAST
            levels.append((deepest, resting))
            changed.append((deepest * sign, resting))
        return changed

    def levels(self) -> Ticks:
        """Every level, best first."""
        return [(tick * self._sign, size) for tick, size in self._levels]
