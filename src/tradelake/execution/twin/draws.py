"""Random draws of the twin (T3, C3): splitmix64 on Python integers.

References
----------
Steele, Lea, Flood (2014), "Fast splittable pseudorandom number generators", figure 15.
"""

from __future__ import annotations

import math

from tradelake.execution.terms import Draw, Terms

MASK = 2**64 - 1
FEED, ENTRY, RESPONSE, CANCEL = 0, 1, 2, 3
"""``which`` of the latencies; a cancel takes the entry leg with a draw of its own."""
PARTIAL = 8
"""And upwards by two, one pair for each fill: whether it is cut, and to what fraction."""


def mix(state: int) -> int:
    """Return the 64 bits that splitmix64 makes of ``state``."""
    x = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def uniform(seed: int, order: int, which: int) -> float:
    """Return a uniform draw in [0, 1) that is the same for the same three numbers."""
    hashed = mix(mix(mix(seed & MASK) ^ order) ^ which)
    return (hashed >> 11) * 2.0**-53


def latency_ns(terms: Terms, leg: int, order: int, which: int) -> int:
    """T3: nanoseconds that a message about an order takes on a leg (row of the latencies)."""
    kind, constant, scale = (int(number) for number in terms.latency[leg])
    if kind == Draw.CONSTANT:
        return constant
    drawn = uniform(terms.seed, order, which)
    if kind == Draw.EXPONENTIAL:
        drawn = -math.log(1.0 - drawn)
    return constant + round(drawn * scale)


def kept_share(terms: Terms, order: int, fills: int) -> float:
    """C3: the fraction of an order's next fill that is left of it, 1 where it is not cut."""
    which = PARTIAL + 2 * fills
    if uniform(terms.seed, order, which) >= terms.partial_probability:
        return 1.0
    return uniform(terms.seed, order, which + 1)
