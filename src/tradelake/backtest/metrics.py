"""Performance measures, each with its convention.

Rules for all of them: returns are simple, one a period, fractions; a NaN or infinite return is
refused; where a measure is undefined (no return, one return for a deviation, a deviation of 0) the
answer is NaN, never 0 or infinity. The risk-free rate is 0. Crypto trades every day, so a year has
365 days.

References
----------
.. [1] Sharpe, W. F. (1994), The Sharpe ratio, Journal of Portfolio Management 21(1), 49-58.
.. [2] Sortino, F. A., and Price, L. N. (1994), Performance measurement in a downside risk
   framework, Journal of Investing 3(3), 59-64.
.. [3] Keating, C., and Shadwick, W. F. (2002), A universal performance measure, Journal of
   Performance Measurement 6(3).
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from tradelake.backtest.result import BacktestResult
from tradelake.errors import InvalidData
from tradelake.market.arrays import FloatArray
from tradelake.market.timeframes import timeframe_ns

DAYS_PER_YEAR: Final = 365
YEAR_NS: Final = DAYS_PER_YEAR * 86_400 * 1_000_000_000


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of one backtest. NaN where a measure is undefined; :meth:`row` gives None instead.

    Attributes
    ----------
    total_return : float
        Fraction of the starting cash.
    cagr : float
        Fraction a year by elapsed time.
    volatility, sharpe, sortino : float
        Annualised from bar returns, 365 days a year.
    max_drawdown : float
        Fraction, 0 or negative; the starting cash counts as a peak.
    turnover : float
        Traded notional over mean equity.
    fees : float
        Quote units.
    trades : int
        Closed round trips.
    win_rate : float
        Share of closed round trips with a profit after fees.
    exposure : float
        Share of bars with a position.
    """

    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    max_drawdown: float
    turnover: float
    fees: float
    trades: int
    win_rate: float
    exposure: float

    def row(self) -> dict[str, float | int | None]:
        """Values by name, None where undefined: for JSON and nullable columns."""
        return {
            name: value if math.isfinite(value) else None
            for name, value in msgspec.structs.asdict(self).items()
        }


def periods_per_year(timeframe: str) -> float:
    """Bars of a timeframe in 365 days.

    >>> periods_per_year("1d"), periods_per_year("1h")
    (365.0, 8760.0)
    """
    return YEAR_NS / timeframe_ns(timeframe)


def summarise(result: BacktestResult, *, periods: float | None = None) -> Metrics:
    """Return the metrics of a backtest.

    Parameters
    ----------
    result : BacktestResult
        At least two bars.
    periods : float, optional
        Returns a year; by default the bars of its timeframe in 365 days.

    Raises
    ------
    InvalidData
        Rule ``return``: a return is not finite, for instance after a short lost more than
        everything.
    """
    yearly = periods_per_year(result.timeframe) if periods is None else periods
    returns = _checked(result.returns())
    total = float(result.equity[-1] / result.cash - 1.0)
    closed = ~result.trades.is_open
    wins = (result.trades.pnl - result.trades.fees)[closed] > 0.0
    root, mean, deviation = math.sqrt(yearly), float(returns.mean()), _deviation(returns)
    return Metrics(
        total_return=total,
        cagr=cagr(total, result.end_ns - result.start_ns),
        volatility=deviation * root,
        sharpe=_ratio(mean, deviation) * root,
        sortino=_ratio(mean, _downside(returns)) * root,
        max_drawdown=drawdown(result.equity, result.cash),
        turnover=_ratio(result.notional, float(result.equity.mean())),
        fees=result.fees,
        trades=int(closed.sum()),
        win_rate=float(wins.mean()) if wins.size else math.nan,
        exposure=float(np.count_nonzero(result.positions)) / len(result.positions),
    )


def cagr(total_return: float, elapsed_ns: int) -> float:
    """Growth a year by elapsed time, never by the number of returns.

    NaN where no time passed, -1 where nothing is left.

    >>> round(cagr(1.006**26 - 1.0, 26 * 7 * 86_400 * 10**9), 4)
    0.366
    """
    if elapsed_ns <= 0 or math.isnan(total_return):
        return math.nan
    if total_return <= -1.0:
        return -1.0
    exponent = math.log1p(total_return) * (YEAR_NS / elapsed_ns)
    return math.expm1(exponent) if exponent < 700.0 else math.nan


def volatility(returns: FloatArray, periods: float) -> float:
    """Sample standard deviation (divisor n - 1) times the root of ``periods`` a year."""
    return _deviation(_checked(returns)) * math.sqrt(periods)


def sharpe(returns: FloatArray, periods: float) -> float:
    """Mean over sample standard deviation, annualised by the root of time; see [1]_.

    NaN for flat returns.
    """
    checked = _checked(returns)
    if checked.size < 2:
        return math.nan
    return _ratio(float(checked.mean()), _deviation(checked)) * math.sqrt(periods)


def downside_risk(returns: FloatArray, periods: float) -> float:
    """Root mean square of the returns below 0 over all n returns, annualised; see [2]_."""
    return _downside(_checked(returns)) * math.sqrt(periods)


def sortino(returns: FloatArray, periods: float) -> float:
    """Annualised mean over annualised downside risk; see [2]_. NaN where no return is below 0."""
    checked = _checked(returns)
    if checked.size == 0:
        return math.nan
    return _ratio(float(checked.mean()), _downside(checked)) * math.sqrt(periods)


def max_drawdown(returns: FloatArray) -> float:
    """Largest fall of the compounded returns from a peak, the start included.

    A fraction, 0 or negative.

    >>> round(max_drawdown(np.array([0.01, 0.10, -0.04, 0.02, 0.03, 0.02, 0.01, -0.10])), 12)
    -0.1
    """
    checked = _checked(returns)
    return drawdown(np.cumprod(1.0 + checked, dtype=np.float64), 1.0) if checked.size else math.nan


def drawdown(equity: FloatArray, start: float) -> float:
    """Largest fall of an equity curve from its running peak, ``start`` included.

    A fraction, 0 or negative.
    """
    if equity.size == 0:
        return math.nan
    peak = np.maximum.accumulate(equity)
    np.maximum(peak, start, out=peak)
    return float(np.divide(equity, peak, out=peak).min()) - 1.0


def omega(returns: FloatArray, threshold: float = 0.0) -> float:
    """Gains above the threshold over losses below it; see [3]_. NaN without losses."""
    excess = _checked(returns) - threshold
    return _ratio(float(excess[excess > 0.0].sum()), float(-excess[excess < 0.0].sum()))


def value_at_risk(returns: FloatArray, share: float = 0.05) -> float:
    """Quantile of the returns at ``share``, linear between neighbours.

    A return, usually negative.
    """
    checked = _checked(returns)
    return float(np.quantile(checked, share)) if checked.size else math.nan


def expected_shortfall(returns: FloatArray, share: float = 0.05) -> float:
    """Mean of the returns that are not above :func:`value_at_risk`."""
    checked = _checked(returns)
    return (
        float(checked[checked <= value_at_risk(checked, share)].mean())
        if checked.size
        else math.nan
    )


def _checked(returns: FloatArray) -> FloatArray:
    bad = ~np.isfinite(returns)
    if bad.any():
        where = int(np.argmax(bad))
        raise InvalidData(
            "return", f"expected finite returns; found {returns[where]} in period {where}"
        )
    return returns


def _deviation(returns: FloatArray) -> float:
    """Sample standard deviation; exactly 0 for equal returns, NaN for fewer than two."""
    if returns.size < 2:
        return math.nan
    if returns.min() == returns.max():
        return 0.0
    apart = returns - returns.mean()
    return math.sqrt(float(apart @ apart) / (returns.size - 1))


def _downside(returns: FloatArray) -> float:
    """Root mean square of the returns below 0 over all of them; NaN for none."""
    below = np.minimum(returns, 0.0)
    return math.sqrt(float(below @ below) / returns.size) if returns.size else math.nan


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0.0 else math.nan
