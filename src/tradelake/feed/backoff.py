"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Iterator


def full_jitter(
    rng: random.Random, *, first_s: float = 0.5, cap_s: float = 30.0, factor: float = 2.0
) -> Iterator[float]:
    """Yield waiting times without end: uniform between 0 and a bound that grows up to ``cap_s``.

    Parameters
    ----------
    rng : random.Random
        Where the jitter comes from; seeded in tests.
    first_s, cap_s : float
        Bound of the first wait and of the longest, seconds.
    factor : float
        How the bound grows.

    References
    ----------
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    >>> waits = full_jitter(random.Random(1), first_s=1.0, cap_s=4.0)
    >>> [next(waits) <= bound for bound in (1.0, 2.0, 4.0, 4.0)]
    [True, True, True, True]
    """
    bound = min(first_s, cap_s)
    while True:
        yield rng.uniform(0.0, bound)
        bound = min(bound * factor, cap_s)
