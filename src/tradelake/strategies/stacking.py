"""Stacked ensembles: members' signals weighed by what they were worth on data they had not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from tradelake.errors import ConfigError, InsufficientData
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import Strategy, Trained, Value
from tradelake.strategies.compose import Composite, member_signals

_STEPS: Final = 100
_CLOSE: Final = 1e-10


@dataclass(frozen=True, slots=True)
class Stacker:
    """Long where the members' weighed signals expect enough.

    Parameters
    ----------
    kind : {"linear", "logistic"}
        What the score is: an expected return (fraction over the horizon it was fitted on), or the
        probability of a rise less one half.
    intercept : float
        Score of no signal; of ``logistic`` in log odds.
    weights : tuple of float
        Of each member's target.
    train_end_ns : int
        End of the last label it was fitted on, ns since 1970 UTC.
    threshold : float
        Score above which it is long.
    short : bool
        Whether it is short below the threshold's negative.
    """

    kind: Literal["linear", "logistic"]
    intercept: float
    weights: tuple[float, ...]
    train_end_ns: int
    threshold: float = 0.0
    short: bool = False

    @property
    def name(self) -> str:
        """In the composite's name."""
        return "stacked"

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Everything it was fitted to."""
        named: dict[str, Value] = {
            "kind": self.kind,
            "threshold": self.threshold,
            "short": self.short,
            "intercept": self.intercept,
        }
        return named | {f"weight_{place}": one for place, one in enumerate(self.weights, 1)}

    @property
    def members(self) -> int | None:
        """One for each weight."""
        return len(self.weights)

    def score(self, targets: FloatArray) -> FloatArray:
        """Return what is expected, shape (n,), of members' targets of shape (n, m)."""
        score = np.full(len(targets), self.intercept)
        for place, weight in enumerate(self.weights):  # in one order, however many rows there are
            score += weight * targets[:, place]
        return score if self.kind == "linear" else _sigmoid(score) - 0.5

    def combine(self, targets: FloatArray) -> FloatArray:
        """Return the side that the score takes."""
        score = self.score(targets)
        side = (score > self.threshold).astype(np.float64)
        return side - (score < -self.threshold) if self.short else side


def fit_stacker(
    signals: FloatArray,
    returns: FloatArray,
    train_end_ns: int,
    *,
    kind: Literal["linear", "logistic"] = "linear",
    ridge: float = 1e-3,
    threshold: float = 0.0,
    short: bool = False,
) -> Stacker:
    """Return the stacker that fits returns best.

    Parameters
    ----------
    signals : FloatArray, shape (n, m)
        Members' targets, made without having seen the returns.
    returns : FloatArray, shape (n,)
        Over the horizon after each row, fractions; rows with NaN are left out.
    train_end_ns : int
        End of the last return's horizon, ns since 1970 UTC.
    kind : {"linear", "logistic"}
        Least squares of the returns, or the likelihood of their signs (Wolpert 1992; Breiman 1996).
    ridge : float
        Penalty on the squares of the weights, not of the intercept, relative to one row's loss.
    threshold, short
        As in :class:`Stacker`.

    Raises
    ------
    InsufficientData
        Fewer rows than weights.
    ConfigError
        Shapes do not fit, ridge is not positive, or the kind is unknown.
    """
    if signals.ndim != 2 or returns.shape != signals.shape[:1]:
        raise ConfigError(
            f"stacker: expected signals (n, m) and returns (n,); "
            f"found {signals.shape} and {returns.shape}"
        )
    if kind not in ("linear", "logistic") or not ridge > 0.0:
        raise ConfigError(
            f"stacker: expected linear or logistic and a ridge above 0; found {kind!r}, {ridge}"
        )
    known = np.isfinite(returns) & np.isfinite(signals).all(axis=1)
    rows = np.column_stack((np.ones(np.count_nonzero(known)), signals[known]))
    if len(rows) <= rows.shape[1]:
        raise InsufficientData(
            f"stacker: expected more than {rows.shape[1]} rows; found {len(rows)}"
        )
    penalty = np.diag([0.0] + [ridge] * signals.shape[1])
    fit = _least_squares if kind == "linear" else _likelihood
    found = fit(rows, returns[known], penalty).tolist()
    return Stacker(kind, found[0], tuple(found[1:]), train_end_ns, threshold, short)


def _least_squares(rows: FloatArray, returns: FloatArray, penalty: FloatArray) -> FloatArray:
    size = len(rows)
    return _solved(rows.T @ rows / size + penalty, rows.T @ returns / size)


def _likelihood(rows: FloatArray, returns: FloatArray, penalty: FloatArray) -> FloatArray:
    """Newton's method; the penalty keeps the optimum finite where a signal is always right."""
    rises, size = (returns > 0.0).astype(np.float64), len(rows)
    share = np.clip(rises.mean(), 0.5 / size, 1.0 - 0.5 / size)
    weights = np.zeros(rows.shape[1])
    weights[0] = np.log(share / (1.0 - share))
    guard = penalty + np.diag([1e-9] + [0.0] * (len(weights) - 1))  # all rises: no finite intercept
    for _ in range(_STEPS):
        chance = _sigmoid(rows @ weights)
        slope = rows.T @ (chance - rises) / size + guard @ weights
        curve = (rows * (chance * (1.0 - chance))[:, None]).T @ rows / size + guard
        step = _solved(curve, slope)
        step *= min(1.0, 5.0 / max(float(np.abs(step).max()), _CLOSE))
        weights -= step
        if float(np.abs(step).max()) < _CLOSE:
            break
    return weights


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)


def _sigmoid(values: FloatArray) -> FloatArray:
    result: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * values))
    return result


def next_returns(bars: BarArrays, horizon: int = 1) -> FloatArray:
    """Return close to close over the next ``horizon`` bars, shape (n,), NaN at the end."""
    returns = np.full(len(bars), np.nan)
    returns[: max(0, len(bars) - horizon)] = bars.close[horizon:] / bars.close[:-horizon] - 1.0
    return returns


def stacked(
    members: Sequence[Strategy],
    bars: BarArrays,
    *,
    horizon: int = 1,
    kind: Literal["linear", "logistic"] = "linear",
    ridge: float = 1e-3,
    threshold: float = 0.0,
    short: bool = False,
) -> Composite:
    """Return the members stacked by their signals on bars that none of them was trained on.

    The result is trained up to the end of the bars, and is refused on them by a backtest. Members
    that are fitted anew as time goes by: :func:`out_of_sample_signals` and :func:`fit_stacker`.

    Raises
    ------
    ConfigError
        A member was trained on these bars.
    InsufficientData
        Too few bars.
    """
    for member in members:
        if isinstance(member, Trained) and len(bars) and bars.ts_event_ns[0] < member.train_end_ns:
            raise ConfigError(
                f"stacker: {member.name} was trained up to {member.train_end_ns} ns; expected bars "
                f"from there on, found the first at {bars.ts_event_ns[0]} ns"
            )
    signals = member_signals(members, bars)
    stacker = fit_stacker(
        signals,
        next_returns(bars, horizon),
        bars.end_ns if len(bars) else 0,
        kind=kind,
        ridge=ridge,
        threshold=threshold,
        short=short,
    )
    return Composite(stacker, members)


def out_of_sample_signals(
    fit: Callable[[BarArrays], Sequence[Strategy]], bars: BarArrays, folds: int
) -> tuple[int, FloatArray]:
    """Return signals of members that are fitted on the bars before each fold, never on it.

    Parameters
    ----------
    fit : callable
        Makes the members from bars; they then decide on all bars up to the end of the next fold.
    bars : BarArrays
        Cut into ``folds + 1`` equal parts: the first is for fitting alone.
    folds : int
        How often they are fitted, on all bars before (an expanding window).

    Returns
    -------
    first : int
        Row of the first bar that has signals.
    signals : FloatArray, shape (n - first, m)
        Their targets.

    Raises
    ------
    InsufficientData
        Fewer bars than parts.
    """
    if folds < 1 or len(bars) <= folds:
        raise InsufficientData(f"stacker: expected more bars than {folds} folds; found {len(bars)}")
    edges = [len(bars) * part // (folds + 1) for part in range(1, folds + 2)]
    parts = []
    for start, end in pairwise(edges):
        members = fit(bars.take(0, start))
        parts.append(member_signals(members, bars.take(0, end))[start:])
    return edges[0], np.concatenate(parts)
