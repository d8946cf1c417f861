"""Training jobs on this machine.

SageMaker's entry script as a subprocess, under SageMaker's contract.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tradelake.errors import ConfigError, Fatal, InsufficientData, InvalidData, TradelakeError
from tradelake.market.arrays import BarArrays
from tradelake.models.packaging import pack_files
from tradelake.ports import TrainingJob
from tradelake.topology import training as contract

TIMEOUT_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SubprocessTraining:
    """Implements ``TrainingJobs``.

    Parameters
    ----------
    script : Path
        The entry script, run by path.
    environment : mapping
        What the subprocess inherits (``PATH``, ``HOME``...); the ``SM_`` variables are added.
    cpus : int
        Threads of a job.
    timeout_s : float
        Longest run, seconds.
    """

    script: Path
    environment: Mapping[str, str]
    cpus: int = 1
    timeout_s: float = TIMEOUT_S

    def train(self, job: TrainingJob) -> bytes:
        """Run a job to its end and return ``model.tar.gz``.

        Raises
        ------
        ConfigError, InsufficientData, InvalidData
            As the script found.
        Fatal
            It crashed, ran too long, or there is no script.
        """
        if not self.script.is_file():
            raise ConfigError(f"training: expected the entry script at {self.script}")
        with tempfile.TemporaryDirectory(prefix="training-") as scratch:
            root = Path(scratch)
            channel, model, output = root / "input", root / "model", root / "output"
            for made in (channel, model, output):
                made.mkdir()
            write_channel(channel, job.series)
            self._run(job, self._variables(job, channel, model, output))
            files = {file.name: file.read_bytes() for file in model.iterdir()}
        return pack_files(files)

    def _variables(
        self, job: TrainingJob, channel: Path, model: Path, output: Path
    ) -> dict[str, str]:
        return {
            **self.environment,
            contract.ENV_CHANNEL_TRAIN: str(channel),
            contract.ENV_CHANNELS: json.dumps([contract.CHANNEL]),
            contract.ENV_MODEL_DIR: str(model),
            contract.ENV_OUTPUT_DATA_DIR: str(output),
            contract.ENV_NUM_CPUS: str(self.cpus),
            contract.ENV_HYPERPARAMETERS: json.dumps(dict(job.hyperparameters)),
            contract.ENV_JOB_NAME: job.name,
        }

    def _run(self, job: TrainingJob, variables: Mapping[str, str]) -> None:
        arguments = [
            part for name, value in job.hyperparameters.items() for part in (f"--{name}", value)
        ]
        try:
            done = subprocess.run(
                [sys.executable, str(self.script), *arguments],
                env=variables,
                capture_output=True,
                text=True,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Fatal(f"training {job.name}: still running after {self.timeout_s:g} s") from error
        if done.returncode != 0:
            raise _failure(job.name, done.returncode, done.stderr)


def write_channel(folder: Path, series: Sequence[BarArrays]) -> None:
    """Write bars as Parquet with the bars table's columns, one file a series."""
    for number, bars in enumerate(series):
        columns = {
            "symbol": np.repeat(bars.symbol, len(bars)),
            "timeframe": np.repeat(bars.timeframe, len(bars)),
            "ts_event_ns": bars.ts_event_ns,
            "open": bars.open,
            "high": bars.high,
            "low": bars.low,
            "close": bars.close,
            "volume": bars.volume,
        }
        wanted = [column.name for column in contract.CHANNEL_COLUMNS]
        table = pa.table({name: pa.array(columns[name]) for name in wanted})
        pq.write_table(table, folder / f"bars-{number:04d}.parquet")


def _failure(name: str, code: int, stderr: str) -> TradelakeError:
    lines = stderr.strip().splitlines()
    said = lines[-1] if lines else "nothing on stderr"
    message = f"training {name}: {said}"
    if code == contract.EXIT_CONFIG:
        return ConfigError(message)
    if code == contract.EXIT_INSUFFICIENT:
        return InsufficientData(message)
    if code == contract.EXIT_INVALID:
        return InvalidData("training", message)
    return Fatal(f"{message} (exit code {code})")
