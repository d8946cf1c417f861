"""How much: quantities and fractions of equity from rules of money management.

Equity, prices and notionals are quote units, quantities base units, fractions of 1. Nothing is
rounded to an increment: the venue does that, downwards. Where a rule has no answer (no edge, no
variance known, a stop at the entry) it is 0: no position.
"""

from __future__ import annotations

import math

import numpy as np

from tradelake.errors import InvalidData
from tradelake.market.arrays import FloatArray


def fixed_fraction(equity: float, price: float, fraction: float) -> float:
    """Return the quantity that ``fraction`` of the equity buys: ``fraction * equity / price``.

    Parameters
    ----------
    equity, price : float
        Quote units; an equity of 0 or less gives 0.
    fraction : float
        Of equity, signed.

    Raises
    ------
    InvalidData
        Rule ``sizing``: a number is not finite, or the price not positive.

    >>> fixed_fraction(10_000.0, 50.0, 0.25)
    50.0
    """
    _check(equity=equity, fraction=fraction)
    _check_positive(price=price)
    return fraction * max(equity, 0.0) / price


def volatility_target(volatility: float, target: float, *, cap: float = 1.0) -> float:
    """Return ``min(cap, target / volatility)``: the fraction of equity that is so volatile.

    Parameters
    ----------
    volatility : float
        Of the instrument's returns over some period, a fraction; 0 or NaN (not known yet) gives 0.
    target : float
        Of the account's returns over the same period.
    cap : float
        Largest fraction.

    Raises
    ------
    InvalidData
        Rule ``sizing``: a negative volatility, target or cap.

    References
    ----------
    Moskowitz, Ooi, Pedersen 2012, Time series momentum, eq. 5; Moreira, Muir 2017, eq. 1 (without
    its square).

    >>> volatility_target(0.04, 0.01)
    0.25
    """
    _check_not_negative(target=target, cap=cap)
    if math.isnan(volatility) or volatility == 0.0:
        return 0.0
    _check_not_negative(volatility=volatility)
    return min(cap, target / volatility)


def annual_volatility(returns: FloatArray, periods_per_year: float) -> float:
    """Return the deviation (divisor n - 1) of returns, over a year: ``std * sqrt(periods)``.

    NaN for fewer than two returns. ``returns`` has shape (n,) and holds fractions.
    """
    _check_positive(periods_per_year=periods_per_year)
    if len(returns) < 2:
        return math.nan
    return float(np.std(returns, ddof=1)) * math.sqrt(periods_per_year)


def kelly_from_odds(
    probability: float, payoff: float, *, fraction: float = 0.5, cap: float = 1.0
) -> float:
    """Return the fraction of equity to risk on a bet: ``fraction * (p - (1 - p) / b)``, 0 to cap.

    Parameters
    ----------
    probability : float
        p, of winning.
    payoff : float
        b: gained for each unit lost when it is lost.
    fraction : float
        Of the whole Kelly bet; half of it has three quarters of the growth at half the deviation.
    cap : float
        Largest answer.

    Raises
    ------
    InvalidData
        Rule ``sizing``: a probability or fraction outside [0, 1], a payoff that is not positive.

    References
    ----------
    Kelly 1956, A new interpretation of information rate; Thorp 2006, The Kelly criterion, eq. 2.

    >>> round(kelly_from_odds(0.6, 1.0, fraction=1.0), 12)
    0.2
    """
    _check_share(probability=probability, fraction=fraction)
    _check_positive(payoff=payoff)
    _check_not_negative(cap=cap)
    return min(cap, max(0.0, fraction * (probability - (1.0 - probability) / payoff)))


def kelly_from_returns(
    returns: FloatArray, *, fraction: float = 0.5, cap: float = 1.0, shorts: bool = False
) -> float:
    """Return the fraction of equity to hold: ``fraction * mean / mean square``, within the cap.

    The second-order answer of maximal expected log growth, for returns that are small.

    Parameters
    ----------
    returns : FloatArray, shape (n,)
        Of the instrument or rule over equal periods, fractions; fewer than two, or all 0: 0.
    fraction : float
        Of the whole Kelly position.
    cap : float
        Largest size.
    shorts : bool
        Whether a negative mean gives a negative answer; else 0.

    Raises
    ------
    InvalidData
        Rule ``sizing``: a return that is not finite, a fraction outside [0, 1].

    References
    ----------
    Thorp 2006, The Kelly criterion in blackjack, sports betting and the stock market, section 7.1
    (whose ``m / s**2`` this is up to the square of the mean).
    """
    _check_share(fraction=fraction)
    _check_not_negative(cap=cap)
    values = np.asarray(returns, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidData("sizing", "returns: expected finite numbers")
    square = float(np.mean(values**2)) if values.size > 1 else 0.0
    if square == 0.0:
        return 0.0
    size = fraction * float(np.mean(values)) / square
    return max(-cap if shorts else 0.0, min(cap, size))


def risk_per_trade(
    equity: float,
    entry: float,
    stop: float,
    risk: float,
    *,
    cost: float = 0.0,
    cap: float = 1.0,
) -> float:
    """Return the quantity that loses ``risk`` of the equity from entry to stop, costs included.

    ``risk * equity / (|entry - stop| + cost * (entry + stop))``, at most ``cap * equity / entry``;
    a gap through the stop loses more.

    Parameters
    ----------
    equity, entry, stop : float
        Quote units. A stop at the entry without costs gives 0: the loss would not be bounded.
    risk : float
        Fraction of equity to lose at the stop.
    cost : float
        Of one fill, a fraction of its value.
    cap : float
        Largest notional, a fraction of equity.

    Returns
    -------
    float
        Base units, not negative; the sign of ``entry - stop`` says which way.

    Raises
    ------
    InvalidData
        Rule ``sizing``: prices that are not positive, negative risk, cost or cap.

    References
    ----------
    Tharp 1998, Trade your way to financial freedom, chapter 12 (percent risk).

    >>> risk_per_trade(10_000.0, 100.0, 95.0, 0.01)
    20.0
    """
    _check(equity=equity)
    _check_positive(entry=entry, stop=stop)
    _check_not_negative(risk=risk, cost=cost, cap=cap)
    lost = abs(entry - stop) + cost * (entry + stop)
    if lost == 0.0 or equity <= 0.0:
        return 0.0
    return min(risk * equity / lost, cap * equity / entry)


def _check(**numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise InvalidData("sizing", f"{name}: expected a finite number; found {number}")


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not (math.isfinite(number) and number > 0.0):
            raise InvalidData("sizing", f"{name}: expected a number above 0; found {number}")


def _check_not_negative(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number >= 0.0:
            raise InvalidData("sizing", f"{name}: expected 0 or more; found {number}")


def _check_share(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0.0 <= number <= 1.0:
            raise InvalidData("sizing", f"{name}: expected a number in [0, 1]; found {number}")
