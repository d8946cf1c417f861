"""Splits of time-ordered rows that keep what a test label saw out of training.

A row's label looks at an interval. A training row is purged when its interval overlaps that of a
test block (ends included), and embargoed when it starts within the embargo after it. All splitters
take the intervals and yield index arrays.

References
----------
.. [1] Lopez de Prado, M. (2018), Advances in Financial Machine Learning, Wiley, ch. 7 (purging,
   embargo) and ch. 12 (combinatorial purged cross-validation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tradelake.errors import ConfigError, InsufficientData
from tradelake.market.arrays import IntArray


class Split(NamedTuple):
    """Row numbers to learn from and to be judged on, each increasing."""

    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


def purged(
    start: IntArray, end: IntArray, blocks: list[npt.NDArray[np.intp]], embargo: int = 0
) -> npt.NDArray[np.intp]:
    """Return the rows that may train when ``blocks`` are tested.

    Parameters
    ----------
    start, end : IntArray, shape (n,)
        Label intervals, in any unit of time; ``start`` does not decrease.
    blocks : list of index arrays
        Runs of neighbouring test rows.
    embargo : int
        Time after a test block's last label in which no training row may start, in the same unit.

    >>> day = np.arange(12)
    >>> purged(day, day + 2, [np.arange(4, 8)]).tolist()
    [0, 1, 10, 11]
    """
    allowed = np.ones(start.shape[0], dtype=np.bool_)
    for block in blocks:
        first, last = start[block].min(), end[block].max()
        allowed[block] = False
        allowed &= (end < first) | (start > last + embargo)
    return np.flatnonzero(allowed)


@dataclass(frozen=True, slots=True)
class PurgedKFold:
    """Every row is tested once, in ``n_splits`` blocks of neighbours; see [1]_ ch. 7."""

    n_splits: int
    embargo: int = 0

    def split(self, start: IntArray, end: IntArray) -> Iterator[Split]:
        """Yield the splits, oldest test block first.

        Raises
        ------
        ConfigError
            Fewer than two splits.
        InsufficientData
            Fewer rows than splits, or a split without training rows.
        """
        yield from CombinatorialPurged(self.n_splits, 1, self.embargo).split(start, end)


@dataclass(frozen=True, slots=True)
class CombinatorialPurged:
    """Every choice of ``n_test`` of ``n_folds`` blocks is tested; see [1]_ ch. 12."""

    n_folds: int
    n_test: int
    embargo: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n_test < self.n_folds or self.embargo < 0:
            raise ConfigError(
                "splits: expected 1 <= n_test < n_folds and an embargo of 0 or more; found "
                f"n_folds={self.n_folds}, n_test={self.n_test}, embargo={self.embargo}"
            )

    @property
    def n_splits(self) -> int:
        """Number of splits, C(n_folds, n_test)."""
        return math.comb(self.n_folds, self.n_test)

    @property
    def n_paths(self) -> int:
        """Number of whole test histories the splits make up.

        >>> CombinatorialPurged(6, 2).n_splits, CombinatorialPurged(6, 2).n_paths
        (15, 5)
        """
        return self.n_splits * self.n_test // self.n_folds

    def split(self, start: IntArray, end: IntArray) -> Iterator[Split]:
        """Yield the splits in the order of ``itertools.combinations``.

        Raises
        ------
        InsufficientData
            Fewer rows than blocks, or a split without training rows.
        """
        folds = np.array_split(_rows(start, end, self.n_folds), self.n_folds)
        for chosen in combinations(folds, self.n_test):
            yield _made(purged(start, end, list(chosen), self.embargo), np.concatenate(chosen))


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Train on the past, test on the next block, move on.

    Parameters
    ----------
    n_splits : int
        Test blocks.
    train_rows : int, optional
        Length of the training window before purging; None trains on everything before the test
        block.
    embargo : int
        Extra time between the end of the last training label and the test block.
    """

    n_splits: int
    train_rows: int | None = None
    embargo: int = 0

    def __post_init__(self) -> None:
        if self.n_splits < 1 or self.embargo < 0 or (self.train_rows or 1) < 1:
            raise ConfigError(
                "walk-forward: expected at least 1 split and 1 training row, "
                f"and an embargo of 0 or more; found {self}"
            )

    def split(self, start: IntArray, end: IntArray) -> Iterator[Split]:
        """Yield the splits, oldest first; the first of ``n_splits + 1`` blocks is trained on only.

        Raises
        ------
        InsufficientData
            Fewer rows than blocks, or a split without training rows.
        """
        blocks = np.array_split(_rows(start, end, self.n_splits + 1), self.n_splits + 1)
        for test in blocks[1:]:
            first = int(test[0])
            window = np.arange(max(0, first - self.train_rows) if self.train_rows else 0, first)
            yield _made(window[end[window] + self.embargo < start[first]], test)


def _rows(start: IntArray, end: IntArray, blocks: int) -> npt.NDArray[np.intp]:
    if start.shape != end.shape or (np.diff(start) < 0).any() or (end < start).any():
        raise ConfigError("splits: expected label intervals of equal number, in order of time")
    if start.shape[0] < blocks:
        raise InsufficientData(f"splits: expected at least {blocks} rows; found {start.shape[0]}")
    return np.arange(start.shape[0], dtype=np.intp)


def _made(train: npt.NDArray[np.intp], test: npt.NDArray[np.intp]) -> Split:
    if train.size == 0:
        raise InsufficientData(
            f"splits: purging leaves no training row beside test rows {test[0]} to {test[-1]}"
        )
    return Split(train, test)
