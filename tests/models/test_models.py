"""Labels, training, packages: what is learned is reproducible, honest and safe to load."""

from __future__ import annotations

import gzip
import io
import tarfile

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.features.registry import BASIC_V1
from tradelake.market.arrays import BarArrays
from tradelake.models import packaging, training
from tradelake.models.labels import forward_sign
from tradelake.models.metadata import Metadata, check_out_of_sample

HOUR_NS = 3_600_000_000_000


def walk(size: int, seed: int = 1, symbol: str = "BTC/USD") -> BarArrays:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.01, size)
    steps[1:] += 0.3 * steps[:-1]
    close = 100 * np.exp(np.cumsum(steps))
    open_ = np.concatenate(([close[0]], close[:-1]))
    return BarArrays(
        symbol,
        "1h",
        np.arange(size) * HOUR_NS,
        open_,
        np.maximum(open_, close) * 1.001,
        np.minimum(open_, close) * 0.999,
        close,
        rng.integers(1, 100, size).astype(float),
    )


SMALL = training.Hyperparameters(rounds=20, folds=3, horizon=2, embargo_bars=2)


def metadata(**changes) -> Metadata:
    fields = {
        "feature_set": "basic-v1",
        "features": BASIC_V1.names,
        "label": "forward_sign",
        "horizon": 2,
        "timeframe": "1h",
        "symbols": ("BTC/USD",),
        "data_snapshot": "s",
        "params": {},
        "metrics": {},
        "seed": 1,
        "code_version": "c",
        "trained_rows": 1,
        "train_start_ns": 0,
        "train_end_ns": 10 * HOUR_NS,
        "libraries": {},
    }
    return Metadata(**(fields | changes))


@pytest.fixture(scope="module")
def trained() -> training.Trained:
    return training.train(training.make_rows([walk(900)], SMALL), SMALL, HOUR_NS)


def test_label_is_the_sign_of_the_forward_return_over_its_interval() -> None:
    bars = walk(10)
    labels = forward_sign(bars, 3)
    assert labels.values[:7].tolist() == (bars.close[3:] > bars.close[:7]).astype(float).tolist()
    assert np.isnan(labels.values[7:]).all()
    assert (labels.end_ns - labels.start_ns)[:7].tolist() == [3 * HOUR_NS] * 7


@pytest.mark.parametrize("horizon", [10, 11, 500])
def test_labels_are_all_unknown_when_the_horizon_exceeds_the_bars(horizon: int) -> None:
    assert np.isnan(forward_sign(walk(10), horizon).values).all()


def test_training_gives_the_same_bytes_when_repeated(trained: training.Trained) -> None:
    again = training.train(training.make_rows([walk(900)], SMALL), SMALL, HOUR_NS)
    assert again.model == trained.model
    assert again.metrics == trained.metrics


def test_training_finds_an_edge_that_is_there(trained: training.Trained) -> None:
    assert trained.metrics["test_auc"] > 0.52
    assert trained.metrics["test_rows"] > 100


def test_model_never_sees_the_holdout_when_trained(trained: training.Trained) -> None:
    rows = training.make_rows([walk(900)], SMALL)
    cut = int(len(rows) * 0.8)
    assert trained.train_end_ns < rows.start_ns[cut]
    changed = training.Rows(
        rows.features,
        np.where(np.arange(len(rows)) < cut, rows.labels, 0.0),
        rows.start_ns,
        rows.end_ns,
    )
    assert training.train(changed, SMALL, HOUR_NS).model == trained.model


def test_rows_of_symbols_are_merged_in_order_of_time() -> None:
    rows = training.make_rows([walk(300), walk(400, 2, "ETH/USD")], SMALL)
    assert (np.diff(rows.start_ns) >= 0).all()
    assert len(rows) == 300 + 400 - 2 * (BASIC_V1.warmup + SMALL.horizon)


def test_training_is_refused_when_bars_do_not_fill_the_warmup() -> None:
    with pytest.raises(InsufficientData, match="basic-v1"):
        training.make_rows([walk(100)], SMALL)


@pytest.mark.parametrize(
    "bad", [{"horizon": "0"}, {"rounds": "many"}, {"depth": 3}, {"holdout": 1.0}, {"seed": -1}]
)
def test_hyperparameter_is_refused_by_name_when_wrong(bad) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        training.hyperparameters(bad)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_auc_counts_pairs_in_the_right_order(pairs) -> None:
    labels = np.array([float(one) for one, _ in pairs])
    scores = np.array([score / 5 for _, score in pairs])
    ones, zeros = scores[labels == 1], scores[labels == 0]
    if ones.size == 0 or zeros.size == 0:
        assert training.auc(labels, scores) == 0.5
        return
    right = (ones[:, None] > zeros).mean() + (ones[:, None] == zeros).mean() / 2
    assert training.auc(labels, scores) == pytest.approx(right)


def test_package_predicts_as_the_model_did_when_loaded(trained: training.Trained) -> None:
    package = packaging.pack(trained.model, metadata())
    model = packaging.load(package)
    rows = training.make_rows([walk(900)], SMALL)
    probability = model.predict_proba(rows.features)
    assert probability.shape == (len(rows),)
    assert ((probability > 0) & (probability < 1)).all()
    late = slice(int(len(rows) * 0.8), None)
    assert training.auc(rows.labels[late], probability[late]) == trained.metrics["test_auc"]
    assert model.train_end_ns == 10 * HOUR_NS
    assert packaging.pack(trained.model, metadata()) == package


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 15)])
def test_prediction_is_refused_when_features_have_another_shape(trained, shape) -> None:
    model = packaging.load(packaging.pack(trained.model, metadata()))
    with pytest.raises(InvalidData, match="features"):
        model.predict_proba(np.zeros(shape))


@pytest.mark.parametrize(
    "changes",
    [
        {"features": BASIC_V1.names[::-1]},
        {"features": BASIC_V1.names[:-1]},
        {"feature_set": "basic-v9"},
        {"format": 2},
    ],
)
def test_package_is_refused_when_its_features_are_not_ours(trained, changes) -> None:
    with pytest.raises(ConfigError, match=r"feature|format"):
        packaging.load(packaging.pack(trained.model, metadata(**changes)))


def archive(members: list[tarfile.TarInfo]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as out:
        for member in members:
            out.addfile(member, io.BytesIO(b"x" * member.size))
    return gzip.compress(plain.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../model.ubj")],
        [member("/model.ubj")],
        [member("model.ubj", tarfile.SYMTYPE)],
        [member("model.ubj", tarfile.LNKTYPE)],
        [member("model.ubj", tarfile.DIRTYPE)],
        [member("model.pkl")],
        [member("model.ubj"), member("model.ubj")],
        [member("model.ubj")],
        [],
    ],
)
def test_package_is_refused_when_a_member_is_unsafe_or_absent(members) -> None:
    with pytest.raises(InvalidData, match="model_package"):
        packaging.load(archive(members))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_package_is_refused_when_it_is_any_bytes(content: bytes) -> None:
    with pytest.raises(InvalidData, match="model_package"):
        packaging.load(content)


def test_package_is_refused_when_model_or_description_cannot_be_read(trained) -> None:
    with pytest.raises(InvalidData, match=r"metadata\.json"):
        packaging.load(packaging.pack_files({"model.ubj": trained.model, "metadata.json": b"{}"}))
    with pytest.raises(InvalidData, match=r"model\.ubj"):
        packaging.load(packaging.pack(b"{not a model", metadata()))


def test_bars_are_refused_when_the_model_may_have_seen_them() -> None:
    bars = walk(30)
    check_out_of_sample(metadata(), bars.take(10, 30))
    with pytest.raises(ConfigError, match="trained on data up to"):
        check_out_of_sample(metadata(), bars)
    with pytest.raises(ConfigError, match="expected bars of 5m"):
        check_out_of_sample(metadata(timeframe="5m"), bars.take(10, 30))


def test_description_reads_back_as_it_was_written() -> None:
    written = metadata(metrics={"cv_auc": 0.5})
    assert msgspec.json.decode(packaging.encode_metadata(written), type=Metadata) == written
