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
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from tradelake.backtest import curve as cells
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
    closed = ~result.trades.is_open
    return from_curve(
        result.curve,
        result.returns,
        cash=result.cash,
        fees=result.fees,
        notional=result.notional,
        trades=int(np.count_nonzero(closed)),
        wins=int(np.count_nonzero((result.trades.pnl > result.trades.fees) & closed)),
        elapsed_ns=result.end_ns - result.start_ns,
        periods=periods_per_year(result.timeframe) if periods is None else periods,
    )


def from_curve(
    curve: FloatArray,
    returns: Callable[[], FloatArray],
    *,
    cash: float,
    fees: float,
    notional: float,
    trades: int,
    wins: int,
    elapsed_ns: int,
    periods: float,
) -> Metrics:
    """Return the metrics of an equity curve of which there are only sums.

    Parameters
    ----------
    curve : FloatArray
        Cells of :mod:`tradelake.backtest.curve`, at least one bar.
    returns : callable
        Gives the curve's returns; asked only where the sums do not say enough (a return is not
        finite; or their mean is so large against their deviation that it cancels).
    cash, fees, notional : float
        Start and sums, quote units.
    trades, wins : int
        Closed round trips, and those with a profit after fees.
    elapsed_ns : int
        From the first bar's open to the last bar's close.
    periods : float
        Returns a year.

    Raises
    ------
    InvalidData
        Rule ``return``, as :func:`summarise`.
    """
    total, size = float(curve[cells.TOTAL]), int(curve[cells.BARS])
    if not math.isfinite(total):
        _checked(returns())
    root, mean = math.sqrt(periods), total / size
    deviation = _deviation(total, float(curve[cells.SQUARES]), size, returns)
    whole = float(curve[cells.BEFORE]) / cash - 1.0
    worst = min(float(curve[cells.WORST]), float(curve[cells.LOWEST] / curve[cells.PEAK]))
    return Metrics(
        total_return=whole,
        cagr=cagr(whole, elapsed_ns),
        volatility=deviation * root,
        sharpe=_ratio(mean, deviation) * root,
        sortino=_ratio(mean, math.sqrt(float(curve[cells.BELOW]) / size)) * root,
        max_drawdown=worst - 1.0,
        turnover=_ratio(notional, cells.mean(curve)),
        fees=fees,
        trades=trades,
        win_rate=wins / trades if trades else math.nan,
        exposure=float(curve[cells.HELD]) / size,
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
    return _moments(returns)[1] * math.sqrt(periods)


def sharpe(returns: FloatArray, periods: float) -> float:
    """Mean over sample standard deviation, annualised by the root of time; see [1]_.

    NaN for flat returns.
    """
    mean, deviation, _ = _moments(returns)
    return _ratio(mean, deviation) * math.sqrt(periods)


def downside_risk(returns: FloatArray, periods: float) -> float:
    """Root mean square of the returns below 0 over all n returns, annualised; see [2]_."""
    return _moments(returns)[2] * math.sqrt(periods)


def sortino(returns: FloatArray, periods: float) -> float:
    """Annualised mean over annualised downside risk; see [2]_. NaN where no return is below 0."""
    mean, _, downside = _moments(returns)
    return _ratio(mean, downside) * math.sqrt(periods)


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


def _moments(returns: FloatArray) -> tuple[float, float, float]:
    """Mean, sample deviation and root mean square of what is below 0; NaN where undefined."""
    if returns.size == 0:
        return math.nan, math.nan, math.nan

    from tradelake.backtest import measures  # compiled: loaded by those who ask only

    total, squares, below = measures.moments(np.ascontiguousarray(returns, dtype=np.float64))
    if not math.isfinite(total):
        _checked(returns)
    size = returns.size
    deviation = _deviation(total, squares, size, lambda: returns)
    return total / size, deviation, math.sqrt(below / size)


def _deviation(total: float, squares: float, size: int, returns: Callable[[], FloatArray]) -> float:
    """Sample standard deviation; exactly 0 for equal returns, NaN for fewer than two.

    From the sums, unless more than half of the squares is the mean's: then in two passes.
    """
    if size < 2:
        return math.nan
    apart = squares - total * total / size
    if apart >= 0.5 * squares:
        return math.sqrt(apart / (size - 1))
    given = returns()
    if given.min() == given.max():
        return 0.0
    distances = given - given.mean()
    return math.sqrt(float(distances @ distances) / (size - 1))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0.0 else math.nan
