"""What choosing the best of many trials does to its Sharpe ratio.

References
----------
.. [1] Bailey, D. H. and Lopez de Prado, M. (2014), "The Deflated Sharpe Ratio: Correcting for
   Selection Bias, Backtest Overfitting and Non-Normality", Journal of Portfolio Management 40(5),
   equation 1.
.. [2] Lo, A. W. (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4),
   equation 9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, variance
from typing import Final

from tradelake.errors import InsufficientData

_EULER_MASCHERONI: Final = 0.5772156649015329


def expected_maximum_normal(trials: int) -> float:
    """Expected maximum of ``trials`` independent standard normal draws, approximated as in [1]_.

    Exact (0) for one draw; 8 % low at two, within 3 % from three on.

    Raises
    ------
    InsufficientData
        Fewer than one trial.

    >>> round(expected_maximum_normal(100), 7)
    2.5306029
    """
    if trials < 1:
        raise InsufficientData(f"expected at least one trial; found {trials}")
    if trials == 1:
        return 0.0
    quantile = NormalDist().inv_cdf
    return (1 - _EULER_MASCHERONI) * quantile(1 - 1 / trials) + _EULER_MASCHERONI * quantile(
        1 - 1 / (trials * math.e)
    )


def expected_maximum_sharpe(sharpes: Sequence[float], trials: int | None = None) -> float:
    """Sharpe ratio to expect of the best trial when no strategy has any edge.

    Parameters
    ----------
    sharpes : sequence of float
        Sharpe ratios of the trials, all finite and of one unit; their variance is the sample
        variance.
    trials : int, optional
        Number of trials made, where it is more than those given. Trials are taken as independent:
        trials that resemble each other count for fewer, so the value is then on the cautious side.

    Raises
    ------
    InsufficientData
        Fewer than two Sharpe ratios, or ``trials`` is less than one.

    >>> round(expected_maximum_sharpe([-1.0, 0.0, 1.0], trials=100), 7)
    2.5306029
    """
    if len(sharpes) < 2:
        raise InsufficientData(f"expected at least two Sharpe ratios; found {len(sharpes)}")
    count = len(sharpes) if trials is None else trials
    return math.sqrt(variance(sharpes)) * expected_maximum_normal(count)


def sharpe_standard_error(annual_sharpe: float, years: float, periods_per_year: float) -> float:
    """Standard error of an annualised Sharpe ratio for independent, equal-law returns [2]_.

    With q periods a year and T years: ``sqrt((q + SR**2 / 2) / (q T))``, that is ``1 / sqrt(T)``
    for a small SR.

    Raises
    ------
    InsufficientData
        ``years`` or ``periods_per_year`` is not positive.

    >>> round(sharpe_standard_error(0.0, 4.0, 365.0), 12)
    0.5
    """
    if not (years > 0 and periods_per_year > 0):
        raise InsufficientData(
            f"expected a positive span and periods; found {years} years, {periods_per_year} a year"
        )
    return math.sqrt((periods_per_year + annual_sharpe**2 / 2) / (periods_per_year * years))
