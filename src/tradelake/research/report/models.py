"""The model section: importances, folds and what happened outside of the training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

from tradelake.research.report.overview import Bar
from tradelake.research.report.records import Fold, Model
from tradelake.research.report.text import DASH, is_known, moment, number, percent

_FEATURES: Final = 20


@dataclass(frozen=True, slots=True)
class Strip:
    """Where each fold and the out-of-sample figure lie, in per cent of the metric's own range."""

    metric: str
    folds: tuple[tuple[float, str], ...]
    out_of_sample: float | None
    mean: str
    deviation: str
    out_of_sample_text: str


@dataclass(frozen=True, slots=True)
class FoldRow:
    """A fold as the table shows it."""

    fold: Fold
    period: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as the template draws it."""

    model: Model
    period: str
    importances: tuple[Bar, ...]
    more: tuple[Bar, ...]
    strips: tuple[Strip, ...]
    folds: tuple[FoldRow, ...]


def model_card(model: Model) -> ModelCard:
    """A model, its features by importance, the first twenty apart from the rest."""
    ranked = sorted(model.features, key=lambda feature: -feature.importance)
    total = sum(feature.importance for feature in ranked) or 1.0
    highest = max((feature.importance for feature in ranked), default=0.0) or 1.0
    bars = tuple(
        Bar(f.name, round(100 * f.importance / highest, 2), percent(f.importance / total, 1))
        for f in ranked
    )
    names = [name for fold in model.folds for name in fold.metrics]
    metrics = list(dict.fromkeys([*names, *model.out_of_sample]))
    return ModelCard(
        model=model,
        period=f"{moment(model.train_start_ns, '%Y-%m-%d %H:%M')} to "
        f"{moment(model.train_end_ns, '%Y-%m-%d %H:%M')} UTC",
        importances=bars[:_FEATURES],
        more=bars[_FEATURES:],
        strips=tuple(_strip(name, model) for name in metrics),
        folds=tuple(_fold_row(fold, metrics) for fold in model.folds),
    )


def _strip(metric: str, model: Model) -> Strip:
    values = [(fold.name, fold.metrics.get(metric)) for fold in model.folds]
    known = [(name, value) for name, value in values if value is not None and is_known(value)]
    outside = model.out_of_sample.get(metric)
    everything = [value for _, value in known]
    if outside is not None and is_known(outside):
        everything.append(outside)
    low, high = min(everything, default=0.0), max(everything, default=0.0)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(6 + 88 * (value - low) / span, 2) if high > low else 50.0

    figures = [value for _, value in known]
    return Strip(
        metric=metric,
        folds=tuple((place(value), f"{name}: {number(value, 4)}") for name, value in known),
        out_of_sample=place(outside) if outside is not None and is_known(outside) else None,
        mean=number(fmean(figures), 4) if figures else DASH,
        deviation=number(stdev(figures), 4) if len(figures) > 1 else DASH,
        out_of_sample_text=number(outside, 4),
    )


def _fold_row(fold: Fold, metrics: Sequence[str]) -> FoldRow:
    period = DASH
    if fold.test_start_ns is not None and fold.test_end_ns is not None:
        pattern = "%Y-%m-%d"
        period = f"{moment(fold.test_start_ns, pattern)} to {moment(fold.test_end_ns, pattern)}"
    return FoldRow(fold, period, tuple(number(fold.metrics.get(name), 4) for name in metrics))
