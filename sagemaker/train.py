"""Trains the classifier on bars: SageMaker's entry script, also run as a subprocess on one machine.

In: a folder of Parquet files with columns of the lake's bars table (``SM_CHANNEL_TRAIN``),
hyper-parameters as ``--name value`` or in ``SM_HPS`` (an argument wins), threads
(``SM_NUM_CPUS``). Out: ``model.ubj`` and ``metadata.json`` in ``SM_MODEL_DIR``, ``metrics.json``
in ``SM_OUTPUT_DATA_DIR``. Exit code: 0; 2 bad settings, 3 too little data, 4 bad data, 1 anything
else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tradelake.errors import ConfigError, InsufficientData, InvalidData, TradelakeError
from tradelake.features.registry import feature_set
from tradelake.market.arrays import BarArrays
from tradelake.market.timeframes import timeframe_ns
from tradelake.models import packaging, training
from tradelake.models.metadata import Metadata
from tradelake.topology import training as contract

OUTPUT = Path("/opt/ml/output")
REVISION = "revision"
RUN = (contract.RUN_DATA_SNAPSHOT, contract.RUN_CODE_VERSION)
LIBRARIES = ("xgboost", "numpy", "TA-Lib", "msgspec")
EXIT_CODES = (
    (ConfigError, contract.EXIT_CONFIG),
    (InsufficientData, contract.EXIT_INSUFFICIENT),
    (InvalidData, contract.EXIT_INVALID),
)


def told(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Hyper-parameters by name, those of SageMaker itself left out.

    Raises
    ------
    ConfigError
        ``SM_HPS`` is no JSON object, or an argument is unknown.
    """
    try:
        given = json.loads(environment.get(contract.ENV_HYPERPARAMETERS, "{}"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{contract.ENV_HYPERPARAMETERS}: {error}") from error
    if not isinstance(given, dict):
        raise ConfigError(
            f"{contract.ENV_HYPERPARAMETERS}: expected a JSON object; found {given!r}"
        )
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    for name in (*training.Hyperparameters.__struct_fields__, *RUN):
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS)
    found, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise ConfigError(f"arguments: expected --name value of hyper-parameters; found {unknown}")
    own = {name: value for name, value in given.items() if not name.startswith(("sagemaker_", "_"))}
    return own | vars(found)


def folder(environment: Mapping[str, str], name: str) -> Path:
    """Folder named by a variable.

    Raises
    ------
    ConfigError
        The variable is absent.
    """
    try:
        return Path(environment[name])
    except KeyError:
        raise ConfigError(f"expected the environment variable {name}") from None


def read_bars(channel: Path) -> list[BarArrays]:
    """Bars of each symbol in the Parquet files below a folder, the newest revision of each.

    Raises
    ------
    InsufficientData
        There are no rows.
    InvalidData
        A column is absent or of another type, timeframes are mixed, or a bar breaks a rule.
    """
    files = sorted(channel.rglob("*.parquet"))
    if not files:
        raise InsufficientData(f"expected Parquet files in {channel}; found none")
    table = pa.concat_tables([_read(file) for file in files], promote_options="default")
    if table.num_rows == 0:
        raise InsufficientData(f"expected bars in {channel}; found none")
    timeframes = table["timeframe"].unique().to_pylist()
    if len(timeframes) != 1:
        raise InvalidData("timeframe", f"expected one timeframe in {channel}; found {timeframes}")
    by = [("symbol", "ascending"), ("ts_event_ns", "ascending")]
    if REVISION in table.column_names:
        by.append((REVISION, "ascending"))
    table = table.sort_by(by)
    symbols = table["symbol"].to_numpy(zero_copy_only=False)
    return [
        _series(str(symbol), str(timeframes[0]), table.filter(pa.array(symbols == symbol)))
        for symbol in sorted(set(symbols))
    ]


def _read(file: Path) -> pa.Table:
    try:
        found = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidData("parquet", f"{file}: {error}") from error
    wanted = [column.name for column in contract.CHANNEL_COLUMNS]
    absent = [name for name in wanted if name not in found.schema_arrow.names]
    if absent:
        raise InvalidData("parquet", f"{file}: expected column {absent[0]}")
    if REVISION in found.schema_arrow.names:
        wanted.append(REVISION)
    return found.read(columns=wanted)


def _series(symbol: str, timeframe: str, rows: pa.Table) -> BarArrays:
    column = {name: rows[name].to_numpy() for name in rows.column_names if name != "timeframe"}
    opens = column["ts_event_ns"]
    newest = np.append(opens[1:] != opens[:-1], True)
    names = ("ts_event_ns", "open", "high", "low", "close", "volume")
    return BarArrays(symbol, timeframe, *(column[name][newest] for name in names))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Train as told, write model, description and metrics, and return the metrics.

    Raises
    ------
    ConfigError, InsufficientData, InvalidData
        Nothing was written.
    """
    given = told(arguments, environment)
    about = {name: str(given.pop(name, "")) for name in RUN}
    chosen = training.hyperparameters(given)
    model_folder = folder(environment, contract.ENV_MODEL_DIR)
    output_folder = folder(environment, contract.ENV_OUTPUT_DATA_DIR)
    series = read_bars(folder(environment, contract.ENV_CHANNEL_TRAIN))
    timeframe = series[0].timeframe
    trained = training.train(
        training.make_rows(series, chosen),
        chosen,
        timeframe_ns(timeframe),
        int(environment.get(contract.ENV_NUM_CPUS, "1")),
    )
    metadata = Metadata(
        feature_set=chosen.feature_set,
        features=feature_set(chosen.feature_set).names,
        label=training.LABEL,
        horizon=chosen.horizon,
        timeframe=timeframe,
        symbols=tuple(bars.symbol for bars in series),
        data_snapshot=about[contract.RUN_DATA_SNAPSHOT],
        params=msgspec.structs.asdict(chosen),
        metrics=trained.metrics,
        seed=chosen.seed,
        code_version=about[contract.RUN_CODE_VERSION],
        trained_rows=trained.rows,
        train_start_ns=trained.train_start_ns,
        train_end_ns=trained.train_end_ns,
        libraries={name: version(name) for name in LIBRARIES},
    )
    model_folder.mkdir(parents=True, exist_ok=True)
    output_folder.mkdir(parents=True, exist_ok=True)
    (model_folder / packaging.MODEL_FILE).write_bytes(trained.model)
    (model_folder / packaging.METADATA_FILE).write_bytes(packaging.encode_metadata(metadata))
    (output_folder / contract.METRICS_FILE).write_bytes(msgspec.json.encode(trained.metrics))
    return trained.metrics


def report_failure(message: str, output: Path) -> None:
    """Tell SageMaker why: it shows the start of this file as the failure reason."""
    print(message, file=sys.stderr)
    if output.is_dir():
        (output / "failure").write_text(message[:1024], encoding="utf-8")


def main(arguments: Sequence[str], environment: Mapping[str, str], output: Path = OUTPUT) -> int:
    """Run and return the exit code."""
    try:
        metrics = run(arguments, environment)
    except TradelakeError as error:
        report_failure(f"{type(error).__name__}: {error}", output)
        return next(
            (code for kind, code in EXIT_CODES if isinstance(error, kind)), contract.EXIT_OTHER
        )
    except Exception as error:
        report_failure(f"{type(error).__name__}: {error}", output)
        raise
    print(json.dumps(metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
