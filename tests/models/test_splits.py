"""Splits: published goldens, and no label of a test row overlaps one that trains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import ConfigError, InsufficientData
from tradelake.models.splits import CombinatorialPurged, PurgedKFold, WalkForward, purged

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "splits.json").read_text())
DAY = np.arange(12)


@pytest.mark.parametrize(("folds", "tested", "splits", "paths"), GOLDEN["combinatorial"])
def test_combinatorial_splits_and_paths_are_as_published(folds, tested, splits, paths) -> None:
    splitter = CombinatorialPurged(folds, tested)
    assert (splitter.n_splits, splitter.n_paths) == (splits, paths)


def test_purge_of_one_row_leaves_the_published_training_rows() -> None:
    splits = CombinatorialPurged(3, 2).split(DAY, DAY + 1)
    assert [train.tolist() for train, _ in splits] == GOLDEN["purge_one"]


def test_label_intervals_purge_the_published_rows_with_and_without_embargo() -> None:
    block = [np.arange(4, 8)]
    assert purged(DAY, DAY + 2, block).tolist() == GOLDEN["label_interval"]
    assert purged(DAY, DAY + 2, block, 1).tolist() == GOLDEN["label_interval_embargo_one"]


@st.composite
def intervals(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    gaps = draw(st.lists(st.integers(0, 4), min_size=20, max_size=60))
    start = np.cumsum(gaps)
    lengths = draw(st.lists(st.integers(0, 3), min_size=len(gaps), max_size=len(gaps)))
    return start, start + np.array(lengths)


@given(intervals(), st.integers(2, 5), st.integers(0, 3))
def test_no_training_label_overlaps_a_test_label_in_any_fold(given_rows, folds, embargo) -> None:
    start, end = given_rows
    tested = []
    try:
        for train, test in PurgedKFold(folds, embargo).split(start, end):
            tested.extend(test.tolist())
            first, last = start[test].min(), end[test].max()
            for row in train:
                assert end[row] < first or start[row] > last + embargo
    except InsufficientData:
        return
    assert tested == list(range(len(start)))


@given(intervals(), st.integers(1, 4), st.integers(0, 3), st.one_of(st.none(), st.integers(1, 30)))
def test_walk_forward_trains_on_settled_labels_of_the_past_alone(rows, n, embargo, window) -> None:
    start, end = rows
    try:
        for train, test in WalkForward(n, window, embargo).split(start, end):
            assert train.max() < test.min()
            assert (end[train] + embargo < start[test].min()).all()
            assert window is None or train.size <= window
    except InsufficientData:
        return


@pytest.mark.parametrize("build", [lambda: PurgedKFold(1), lambda: CombinatorialPurged(3, 3)])
def test_splitter_is_refused_when_nothing_would_be_left_to_train(build) -> None:
    with pytest.raises(ConfigError):
        list(build().split(DAY, DAY))


def test_split_is_refused_when_rows_are_not_in_order_of_time() -> None:
    with pytest.raises(ConfigError, match="order"):
        list(PurgedKFold(2).split(DAY[::-1], DAY[::-1]))
