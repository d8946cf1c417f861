"""Returns with the stylised facts of crypto: fat tails, clustered volatility, a common factor.

A return is ``s_i * (sqrt(c_i) V_t e_t + sqrt(1 - c_i) U_it n_it)``: ``e`` and ``n`` are Student-t
with unit variance, ``V`` and ``U`` volatilities with AR(1) logarithms, scaled to mean square 1.

References
----------
R. Cont, "Empirical properties of asset returns: stylized facts and statistical issues",
Quantitative Finance 1 (2001).
S. Taylor, "Modelling Financial Time Series" (1986), for log-AR(1) stochastic volatility.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tradelake.exchange.source import FloatArray

DEGREES: Final = 5.0
"""Degrees of freedom of the innovations."""
SPREAD: Final = 0.6
"""Standard deviation of log volatility."""
MEMORY_S: Final = 2_700.0
"""Time in which the memory of volatility falls to 1/e, seconds."""
_BLOCK: Final = 256


def innovations(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Student-t numbers with variance 1."""
    drawn: FloatArray = rng.standard_t(DEGREES, shape) * np.sqrt((DEGREES - 2) / DEGREES)
    return drawn


def ar1(shocks: FloatArray, persistence: float, start: FloatArray) -> FloatArray:
    """``h[t] = persistence * h[t-1] + shocks[t]`` along axis 0, from ``h[-1] = start``.

    Works in blocks by the closed form, so that no Python loop runs over time.

    >>> ar1(np.ones((3, 1)), 0.5, np.zeros(1))[:, 0].tolist()
    [1.0, 1.5, 1.75]
    """
    out = np.empty_like(shocks)
    powers = persistence ** np.arange(1, _BLOCK + 1)
    last = start
    for first in range(0, len(shocks), _BLOCK):
        block = shocks[first : first + _BLOCK]
        scale = powers[: len(block)].reshape((-1,) + (1,) * (shocks.ndim - 1))
        out[first : first + len(block)] = scale * (last + np.cumsum(block / scale, axis=0))
        last = out[first + len(block) - 1]
    return out


class Volatility:
    """Log-AR(1) volatility of ``width`` series with mean square 1; continues from call to call.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the shocks.
    width : int
        Number of series.
    step_s : float
        Length of a step in seconds.
    """

    def __init__(self, rng: np.random.Generator, width: int, step_s: float) -> None:
        self._rng = rng
        self._persistence = float(np.exp(-step_s / MEMORY_S))
        self._shock = SPREAD * np.sqrt(1 - self._persistence**2)
        self._last: FloatArray = rng.normal(0.0, SPREAD, width)

    def steps(self, count: int) -> FloatArray:
        """The next ``count`` values, of shape (count, width)."""
        shocks = self._rng.normal(0.0, self._shock, (count, len(self._last)))
        logs = ar1(shocks, self._persistence, self._last)
        self._last = logs[-1]
        return np.asarray(np.exp(logs - SPREAD**2))


def mix(common: FloatArray, market: FloatArray, own: FloatArray) -> FloatArray:
    """Returns of unit variance with the share ``common`` (width,) of it the market's (steps, 1)."""
    return np.sqrt(common) * market + np.sqrt(1 - common) * own
