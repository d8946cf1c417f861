"""What is usual here and now: a local level with its scale, and a local tail; O(1) and robust.

References
----------
.. [1] S. Gelper, R. Fried, C. Croux (2010), "Robust forecasting with exponential and Holt-Winters
       smoothing", Journal of Forecasting 29(3), 285-300, eqs. 8-11.
.. [2] Q. Ma, S. Muthukrishnan, M. Sandler (2013), "Frugal streaming for estimating quantiles",
       in Space-Efficient Data Structures, Streams, and Algorithms, LNCS 8066, 77-96, section 3.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

_CLIP: Final = 3.0
_LEVEL_WEIGHT: Final = 0.25
_TAIL_UP: Final = 1.6
_TAIL_DOWN: Final = _TAIL_UP ** (-1 / 99)


class LocalLevel:
    """The local level of a positive price and the scale of deviations from it.

    Exponential smoothing with bounded influence [1]_. The deviation of a price p from the level l
    is d = (p - l) / min(p, l): equal for a price that doubles and one that halves, the log return
    to second order, and unchanged by a change of units. The scale is the exponentially weighted
    mean of abs(d), clipped at 3 scales, so one wrong price moves it no more than a lively one.

    A price is a spike when abs(d) exceeds ``mads`` scales and the floor; after a silence longer
    than usual, times the square root of how much longer, as a diffusion spreads. A spike does not
    move the level, but ``run`` of them in a row do: the last one is the level then. So a change of
    regime is a spike for at most ``run`` prices; and where spikes alternate with prices of the old
    level, the scale grows with each until they are usual.

    Parameters
    ----------
    mads : float
        Scales beyond which a price is a spike.
    floor : float
        Deviation, a fraction, up to which it never is one.
    window : int
        Prices over which the scale is averaged: the weight of a new one is 2 / (window + 1).
    run : int
        Spikes in a row that make a level.
    warm_up : int
        Prices taken in before any is a spike.
    """

    __slots__ = (
        "_interval",
        "_least",
        "_left",
        "_level",
        "_mads",
        "_row",
        "_run",
        "_scale",
        "_ts_event",
        "_weight",
    )

    def __init__(self, mads: float, floor: float, window: int, run: int, warm_up: int) -> None:
        self._mads = mads
        self._least = floor / mads
        self._weight = 2.0 / (window + 1)
        self._run = run
        self._left = warm_up
        self._level = 0.0
        self._scale = self._least
        self._row = 0
        self._interval = 0.0
        self._ts_event = 0

    def is_spike(self, price: float, ts_event: int) -> bool:
        """Take in a price, finite and above 0; return whether it is far from the level before.

        >>> level = LocalLevel(mads=20.0, floor=0.005, window=100, run=3, warm_up=2)
        >>> prices = (100.0, 100.1, 100.0, 90.0, 100.1)
        >>> [level.is_spike(price, second * 10**9) for second, price in enumerate(prices)]
        [False, False, False, True, False]
        """
        level = self._level
        if not level:
            self._level, self._ts_event = price, ts_event
            return False
        silence = ts_event - self._ts_event
        if silence > 0:
            self._ts_event = ts_event
        interval = self._interval
        self._interval = interval + self._weight * (silence - interval)
        size = (price - level) / level if price >= level else (level - price) / price
        scale = self._scale
        bound = _CLIP * scale
        clipped = size
        if size > bound:
            clipped = bound
        spike = size > self._mads * scale
        if spike and silence > interval > 0.0:
            spike = size > self._mads * scale * sqrt(silence / interval)
        if spike:
            self._row += 1
            if self._row >= self._run:
                self._level, self._row = price, 0
        else:
            self._row = 0
            step = _LEVEL_WEIGHT * clipped
            self._level = level * (1.0 + step) if price >= level else level / (1.0 + step)
        scale += self._weight * (clipped - scale)
        if scale < self._least:
            scale = self._least
        self._scale = scale
        if self._left:
            self._left -= 1
            return False
        return spike


class LocalTail:
    """The local 99th percentile of a positive amount.

    Followed by multiplication alone, as frugal streaming does [2]_, so it needs no scale: up by a
    large step where an amount exceeds it, down by a small one where not, in the ratio 99 to 1.
    Large amounts raise it quickly, so what has become usual is soon within it.

    Parameters
    ----------
    multiple : float
        An amount is an outlier above so many times the percentile,
    floor : float
        and above this.
    warm_up : int
        Amounts taken in before any is an outlier.
    """

    __slots__ = ("_floor", "_left", "_multiple", "_tail")

    def __init__(self, multiple: float, floor: float, warm_up: int) -> None:
        self._multiple = multiple
        self._floor = floor
        self._left = warm_up
        self._tail = 0.0

    def is_outlier(self, amount: float) -> bool:
        """Take in an amount, finite and above 0; return whether it is far above the tail before.

        >>> tail = LocalTail(multiple=10.0, floor=0.0, warm_up=2)
        >>> [tail.is_outlier(amount) for amount in (1.0, 2.0, 1.5, 500.0, 2.0)]
        [False, False, False, True, False]
        """
        tail = self._tail
        if amount <= tail:
            self._tail = tail * _TAIL_DOWN
        else:
            self._tail = tail * _TAIL_UP if tail else amount
            if self._left:
                self._left -= 1
                self._tail = amount
                return False
            return amount > tail * self._multiple and amount > self._floor
        if self._left:
            self._left -= 1
        return False
