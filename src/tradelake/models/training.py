"""Fits and judges a gradient-boosted classifier: pure, seeded, the same on every run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
import numpy as np

from tradelake.decoding import convert
from tradelake.errors import ConfigError, InsufficientData
from tradelake.features.registry import feature_set
from tradelake.market.arrays import BarArrays, FloatArray, IntArray
from tradelake.models.booster import Booster
from tradelake.models.labels import forward_sign
from tradelake.models.splits import PurgedKFold

LABEL = "forward_sign"


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training run can be told; refuses unknown names and values out of range on conversion.

    Attributes
    ----------
    feature_set : str
        Name of the feature set.
    horizon : int
        Bars from decision to settlement of a label.
    threshold_bps : float
        A rise must exceed it to count as 1.
    folds : int
        Purged cross-validation folds.
    embargo_bars : int
        Bars after a test block that do not train.
    holdout : float
        Share of the rows at the end that no training sees; measures on them are ``test_``.
    rounds, max_depth, learning_rate, subsample, colsample, min_child_weight, reg_lambda
        Of xgboost.
    seed : int
        Of every random choice.
    """

    feature_set: str = "basic-v1"
    horizon: int = msgspec.field(default=12)
    threshold_bps: float = 0.0
    folds: int = 4
    embargo_bars: int = 12
    holdout: float = 0.2
    rounds: int = 120
    max_depth: int = 4
    learning_rate: float = 0.05
    subsample: float = 0.8
    colsample: float = 0.8
    min_child_weight: float = 20.0
    reg_lambda: float = 1.0
    seed: int = 7

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "horizon": (1, 100_000),
            "threshold_bps": (0, 10_000),
            "folds": (2, 50),
            "embargo_bars": (0, 100_000),
            "holdout": (0.01, 0.9),
            "rounds": (1, 10_000),
            "max_depth": (1, 16),
            "learning_rate": (1e-4, 1.0),
            "subsample": (0.05, 1.0),
            "colsample": (0.05, 1.0),
            "min_child_weight": (0.0, 1e9),
            "reg_lambda": (0.0, 1e9),
            "seed": (0, 2**31 - 1),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"hyper-parameter {name}: expected [{low}, {high}]; found {getattr(self, name)}"
                )

    def booster(self) -> dict[str, int | float | str]:
        """Parameters of xgboost."""
        return {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample,
            "min_child_weight": self.min_child_weight,
            "reg_lambda": self.reg_lambda,
            "seed": self.seed,
            "nthread": 1,
        }


def hyperparameters(given: Mapping[str, object]) -> Hyperparameters:
    """Convert a mapping, whose values may be strings, into hyper-parameters.

    Raises
    ------
    ConfigError
        Unknown name, wrong type or value out of range.
    """
    try:
        return convert(dict(given), Hyperparameters, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"hyper-parameters: {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows with features and a settled label, in order of time.

    Attributes
    ----------
    features : FloatArray, shape (n, k)
        No NaN.
    labels : FloatArray, shape (n,)
        0.0 or 1.0.
    start_ns, end_ns : IntArray, shape (n,)
        Label intervals.
    """

    features: FloatArray
    labels: FloatArray
    start_ns: IntArray
    end_ns: IntArray

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model and how it did.

    Attributes
    ----------
    model : bytes
        UBJSON.
    metrics : dict
        ``cv_*`` from purged folds of the training rows, ``test_*`` from rows after them that
        nothing trained on.
    rows : int
        Rows behind the model.
    train_start_ns, train_end_ns : int
        First decision and end of the last label behind the model.
    """

    model: bytes
    metrics: dict[str, float]
    rows: int
    train_start_ns: int
    train_end_ns: int


def make_rows(series: list[BarArrays], told: Hyperparameters) -> Rows:
    """Return the rows of one or more symbols, merged in order of time."""
    parts: list[Rows] = []
    for bars in series:
        features = feature_set(told.feature_set).batch(bars)
        labels = forward_sign(bars, told.horizon, told.threshold_bps)
        usable = ~np.isnan(features).any(axis=1) & ~np.isnan(labels.values)
        parts.append(
            Rows(
                features[usable],
                labels.values[usable],
                labels.start_ns[usable],
                labels.end_ns[usable],
            )
        )
    if not parts or sum(map(len, parts)) == 0:
        raise InsufficientData(
            f"training: expected more bars than warm-up and horizon of {told.feature_set} take; "
            f"found {[len(bars) for bars in series]}"
        )
    order = np.argsort(np.concatenate([part.start_ns for part in parts]), kind="stable")
    return Rows(
        np.concatenate([part.features for part in parts])[order],
        np.concatenate([part.labels for part in parts])[order],
        np.concatenate([part.start_ns for part in parts])[order],
        np.concatenate([part.end_ns for part in parts])[order],
    )


def train(rows: Rows, told: Hyperparameters, bar_ns: int, n_jobs: int = 1) -> Trained:
    """Return a model of the earlier rows, judged by purged folds of them and by the later rows.

    The model shipped is the one judged: the later rows never train, so a backtest from
    ``train_end_ns`` on is honest.

    Parameters
    ----------
    rows : Rows
        In order of time.
    told : Hyperparameters
        What to do.
    bar_ns : int
        Length of a bar, to turn the embargo into time.
    n_jobs : int
        Fits that run side by side, each on one thread: xgboost's own threads wait by spinning,
        which on a busy machine takes several times as long. The model does not depend on it.

    Raises
    ------
    InsufficientData
        Too few rows for the folds, or only one class of label.
    """
    cut = int(len(rows) * (1.0 - told.holdout))
    if cut < 1 or cut >= len(rows):
        raise InsufficientData(f"training: {len(rows)} rows leave none to train or to judge")
    early = np.flatnonzero(rows.end_ns[:cut] < rows.start_ns[cut])
    if early.size == 0:
        raise InsufficientData(f"training: no row of {len(rows)} is settled before the holdout")
    late = np.arange(cut, len(rows))
    folds = PurgedKFold(told.folds, told.embargo_bars * bar_ns)
    splits = list(folds.split(rows.start_ns[early], rows.end_ns[early]))
    batches = [early, *(early[split.train] for split in splits)]
    with ThreadPoolExecutor(n_jobs) as pool:
        final, *models = pool.map(lambda batch: fit(rows, batch, told), batches)
    scores = [
        judge(model, rows, early[split.test]) for model, split in zip(models, splits, strict=True)
    ]
    metrics = {f"cv_{name}": float(np.mean([s[name] for s in scores])) for name in scores[0]}
    metrics["cv_auc_std"] = float(np.std([score["auc"] for score in scores]))
    metrics |= {f"test_{name}": value for name, value in judge(final, rows, late).items()}
    metrics["test_rows"] = float(late.size)
    return Trained(
        bytes(final.save_raw("ubj")),
        metrics,
        int(early.size),
        int(rows.start_ns[early].min()),
        int(rows.end_ns[early].max()),
    )


def fit(rows: Rows, train_rows: IntArray, told: Hyperparameters) -> Booster:
    """Return an xgboost booster of some rows, made on one thread.

    Seeded: the same input gives the same trees.

    Raises
    ------
    InsufficientData
        Only one class of label.
    """
    import xgboost

    labels = rows.labels[train_rows]
    if labels.min() == labels.max():
        raise InsufficientData(
            f"training: expected labels 0 and 1; found only {labels[0]:g} in {labels.size} rows"
        )
    matrix = xgboost.QuantileDMatrix(
        rows.features[train_rows],
        label=labels,
        feature_names=list(feature_set(told.feature_set).names),
        nthread=1,
    )
    booster: Booster = xgboost.train(told.booster(), matrix, told.rounds)
    return booster


def judge(booster: Booster, rows: Rows, test_rows: IntArray) -> dict[str, float]:
    """Return auc, logloss, accuracy and the share of ones of some rows."""
    labels = rows.labels[test_rows]
    probability = np.asarray(booster.inplace_predict(rows.features[test_rows]), dtype=np.float64)
    clipped = np.clip(probability, 1e-7, 1.0 - 1e-7)
    losses = labels * np.log(clipped) + (1.0 - labels) * np.log1p(-clipped)
    return {
        "auc": auc(labels, probability),
        "logloss": float(-losses.mean()),
        "accuracy": float(((probability >= 0.5) == (labels == 1.0)).mean()),
        "base_rate": float(labels.mean()),
    }


def auc(labels: FloatArray, scores: FloatArray) -> float:
    """Area under the ROC curve, ties counted half; 0.5 where there is only one class.

    References
    ----------
    Mann, H. B., and Whitney, D. R. (1947), Annals of Mathematical Statistics 18(1), 50-60.

    >>> auc(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    ones = float(labels.sum())
    zeros = labels.size - ones
    if ones == 0.0 or zeros == 0.0:
        return 0.5
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks = last - (count - 1) / 2.0
    area = (float(ranks[place] @ labels) - ones * (ones + 1.0) / 2.0) / (ones * zeros)
    return area if math.isfinite(area) else 0.5
