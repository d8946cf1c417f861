"""The whole of training: bars from a source, the entry script, a package in the store."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tradelake.adapters.embedded.training import SubprocessTraining, write_channel
from tradelake.backtest import engine
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.market.arrays import BarArrays
from tradelake.models import packaging
from tradelake.models.metadata import Metadata
from tradelake.strategies.library import make
from tradelake.topology import training as contract
from tradelake.usecases.train import train_model

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / contract.SCRIPT
HOUR_NS = 3_600_000_000_000
FAST = {"rounds": 10, "folds": 2}


def walk(size: int, symbol: str = "BTC/USD") -> BarArrays:
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, size)))
    return BarArrays(
        symbol,
        "1h",
        np.arange(size) * HOUR_NS,
        close,
        close * 1.01,
        close * 0.99,
        close,
        rng.integers(1, 9, size).astype(float),
        "snapshot-1",
    )


@dataclass
class MemorySource:
    """Bars by symbol."""

    series: dict[str, BarArrays]

    def bars(self, symbol, timeframe, start_ns=None, end_ns=None, source=None) -> BarArrays:
        found = self.series[symbol]
        first = int(found.ts_event_ns[0]) if start_ns is None else start_ns
        return found.slice(first, int(found.close_ns[-1]) if end_ns is None else end_ns)


@dataclass
class MemoryStore:
    """Objects in a dict."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def list(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))


def jobs() -> SubprocessTraining:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return SubprocessTraining(SCRIPT, inherited | {"PYTHONPATH": str(ROOT / "src")}, cpus=2)


def train(bars: BarArrays, store: MemoryStore, **changes):
    return train_model(
        "btc-1h",
        [bars.symbol],
        "1h",
        bars=MemorySource({bars.symbol: bars}),
        jobs=jobs(),
        artifacts=store,
        code_version="abc",
        hyperparameters=FAST | changes,
    )


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("sagemaker_train_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    channel = tmp_path / "input"
    channel.mkdir()
    return {
        contract.ENV_CHANNEL_TRAIN: str(channel),
        contract.ENV_MODEL_DIR: str(tmp_path / "model"),
        contract.ENV_OUTPUT_DATA_DIR: str(tmp_path / "data"),
    }


def test_model_is_registered_and_trades_bars_after_its_training_only() -> None:
    bars, store = walk(1500), MemoryStore()
    registered = train(bars, store)
    assert registered.key == f"models/btc-1h/{registered.version}/model.tar.gz"
    assert registered.metadata.data_snapshot == "snapshot-1"
    assert registered.metadata.code_version == "abc"
    assert registered.metadata.params["rounds"] == 10
    model = packaging.load(store.get(registered.key))
    strategy = make("ml_classifier", {"threshold_long": 0.5}, model)
    with pytest.raises(ConfigError, match="trained on data up to"):
        engine.run(bars, strategy)
    later = bars.slice(model.train_end_ns, int(bars.close_ns[-1]))
    assert engine.run(later, strategy).n_fills > 0


def test_same_training_is_the_same_version_when_repeated() -> None:
    store = MemoryStore()
    assert train(walk(600), store).key == train(walk(600), store).key
    assert len(store.objects) == 1


def test_training_refuses_with_the_scripts_words_when_it_cannot_be_done() -> None:
    with pytest.raises(ConfigError, match=r"training btc-1h: .*horizon"):
        train(walk(600), MemoryStore(), horizon=0)
    with pytest.raises(InsufficientData, match="basic-v1"):
        train(walk(50), MemoryStore())


def test_training_refuses_when_the_name_is_no_name() -> None:
    with pytest.raises(ConfigError, match="model name"):
        train_model(
            "../x",
            ["BTC/USD"],
            "1h",
            bars=MemorySource({}),
            jobs=jobs(),
            artifacts=MemoryStore(),
            code_version="",
        )


def test_script_writes_model_description_and_metrics_where_told(script, folders, tmp_path) -> None:
    write_channel(Path(folders[contract.ENV_CHANNEL_TRAIN]), [walk(600), walk(500, "ETH/USD")])
    hyper = {"rounds": "7", "folds": 2, "sagemaker_program": "train.py"}
    environment = folders | {contract.ENV_HYPERPARAMETERS: json.dumps(hyper)}
    assert script.main(["--rounds", "5"], environment, tmp_path / "absent") == 0
    names = sorted(file.name for file in Path(folders[contract.ENV_MODEL_DIR]).iterdir())
    assert names == ["metadata.json", "model.ubj"]
    metrics = json.loads((tmp_path / "data" / contract.METRICS_FILE).read_text())
    assert {"cv_auc", "test_auc", "test_logloss"} <= set(metrics)
    import msgspec

    said = msgspec.json.decode((tmp_path / "model" / "metadata.json").read_bytes(), type=Metadata)
    assert said.params["rounds"] == 5
    assert said.symbols == ("BTC/USD", "ETH/USD")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "words"),
    [
        (["--horizon", "0"], {}, contract.EXIT_CONFIG, "horizon"),
        (["--nonsense", "1"], {}, contract.EXIT_CONFIG, "nonsense"),
        ([], {contract.ENV_HYPERPARAMETERS: "[1]"}, contract.EXIT_CONFIG, "JSON object"),
        ([], {}, contract.EXIT_INSUFFICIENT, "Parquet"),
    ],
)
def test_script_says_why_in_the_failure_file_when_it_fails(
    script, folders, tmp_path, arguments, changes, code, words
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    assert script.main(arguments, folders | changes, output) == code
    assert words in (output / "failure").read_text()
    assert not Path(folders[contract.ENV_MODEL_DIR]).exists()


def test_script_takes_the_newest_revision_when_a_bar_was_revised(script, tmp_path) -> None:
    row = {
        "symbol": "BTC/USD",
        "timeframe": "1h",
        "open": 1.0,
        "high": 1.0,
        "low": 1.0,
        "volume": 1.0,
    }
    rows = [
        row | {"ts_event_ns": 0, "close": 9.0, "revision": 2},
        row | {"ts_event_ns": 0, "close": 1.0, "revision": 1},
        row | {"ts_event_ns": HOUR_NS, "close": 3.0, "revision": 0},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "bars.parquet")
    assert script.read_bars(tmp_path)[0].close.tolist() == [9.0, 3.0]


def test_script_refuses_the_channel_when_a_column_is_absent_or_timeframes_are_mixed(
    script, tmp_path
) -> None:
    write_channel(tmp_path, [walk(3)])
    good = pq.read_table(tmp_path / "bars-0000.parquet")
    pq.write_table(good.drop_columns(["close"]), tmp_path / "bars-0001.parquet")
    with pytest.raises(InvalidData, match="expected column close"):
        script.read_bars(tmp_path)
    other = good.set_column(1, "timeframe", pa.array(["5m"] * 3))
    pq.write_table(other, tmp_path / "bars-0001.parquet")
    with pytest.raises(InvalidData, match="one timeframe"):
        script.read_bars(tmp_path)


def test_folder_of_sagemaker_scripts_is_no_package_that_could_shadow_the_sdk() -> None:
    reserved = {"core", "train", "serve", "mlops", "lineage", "ai_registry"}
    folder = SCRIPT.parent
    assert not (folder / "__init__.py").exists()
    assert not reserved & {found.name for found in folder.iterdir() if found.is_dir()}
