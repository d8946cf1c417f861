"""The demo's research: one model, then sweeps of rule-based and ML-based strategies."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tradelake.bootstrap import wire_artifacts, wire_training, wire_workflows
from tradelake.decoding import json_decoder
from tradelake.errors import Transient
from tradelake.lake.reader import LakeReader
from tradelake.local.board import Stage
from tradelake.local.layout import ENVIRONMENT
from tradelake.local.processes import plain_environment
from tradelake.local.runtime import Runtime
from tradelake.topology import workflows
from tradelake.usecases.load_history import HistoryRequest
from tradelake.usecases.sweeps import (
    RunResult,
    SweepRequest,
    Value,
    progress,
    read_manifest,
    request_key,
)
from tradelake.usecases.train import RegisteredModel, train_model

TIMEFRAME: Final = "15m"
TRAIN_SHARE: Final = 0.6
"""Share of the days the model learns from; every strategy is judged on the rest."""
SEED: Final = 7

_GRIDS: Final[dict[str, dict[str, tuple[Value, ...]]]] = {
    "buy_and_hold": {},
    "sma_cross": {"fast": (8, 16, 32), "slow": (64, 128, 256, 512)},
    "ml_classifier": {"threshold_long": (0.52, 0.55, 0.58), "threshold_exit": (0.46, 0.5)},
}
_POLL_S: Final = 0.3
_SWEEP_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Study:
    """What the sweeps gave: results in manifest order, and how many runs failed or are missing."""

    model: RegisteredModel
    results: list[RunResult]
    count: int
    failed: int


class Studies:
    """Trains and sweeps on the history that was loaded.

    Parameters
    ----------
    runtime : Runtime
        The embedded AWS.
    reader : LakeReader
        Its lake.
    window : HistoryRequest
        Symbols and days that were loaded.
    """

    def __init__(self, runtime: Runtime, reader: LakeReader, window: HistoryRequest) -> None:
        self._reader = reader
        self._window = window
        span = window.end_ns - window.start_ns
        self._split_ns = window.start_ns + int(span * TRAIN_SHARE)
        self._root = runtime.options.project_root
        self._runtime = runtime
        self._artifacts = wire_artifacts(runtime.variables)

    def train(self, stage: Stage) -> RegisteredModel:
        """Train the classifier on the first days; returns what was registered."""
        from tradelake.adapters.system import code_version

        stage.detail = f"XGBoost on {TIMEFRAME} bars of {', '.join(self._window.symbols)}"
        model = train_model(
            "direction",
            self._window.symbols,
            TIMEFRAME,
            bars=self._reader,
            jobs=wire_training(self._root, plain_environment(os.environ)),
            artifacts=self._artifacts,
            code_version=code_version(),
            start_ns=self._window.start_ns,
            end_ns=self._split_ns,
            hyperparameters={"seed": SEED},
        )
        score = model.metadata.metrics.get("test_auc")
        stage.detail += f"; {model.metadata.trained_rows:,} rows"
        stage.detail += "" if score is None else f", out-of-sample AUC {score:.3f}"
        return model

    def sweep(self, model: RegisteredModel, stage: Stage) -> Study:
        """Fan the sweeps out through the state machine; returns every result.

        Raises
        ------
        Transient
            An execution did not succeed or took too long.
        """
        requests = [self._request(name, model) for name in _GRIDS]
        total = sum(request.count() for request in requests)
        states = wire_workflows(ENVIRONMENT)
        running = {}
        for request in requests:
            key = request_key(request.sweep_id)
            self._artifacts.put(key, msgspec.json.encode(request))
            payload = {"sweep_id": request.sweep_id, "request_key": key}
            running[request.sweep_id] = states.start(
                workflows.BACKTESTS.name, request.sweep_id, payload
            )
        deadline = time.monotonic() + _SWEEP_S
        outputs: dict[str, dict[str, Any]] = {}
        while len(outputs) < len(running):
            self._runtime.check()
            if time.monotonic() > deadline:
                raise Transient(f"sweeps were not done after {_SWEEP_S:g} s")
            done = sum(progress(self._artifacts, sweep_id).finished for sweep_id in running)
            stage.done = done / total
            stage.detail = f"{done} of {total} backtests"
            for sweep_id, execution in running.items():
                if sweep_id not in outputs:
                    status, output = states.status(execution)
                    if status not in {"RUNNING", "SUCCEEDED"}:
                        raise Transient(f"sweep {sweep_id}: {status}: {output}")
                    if status == "SUCCEEDED":
                        outputs[sweep_id] = dict(output or {})
            time.sleep(_POLL_S)
        failed = sum(int(output["failed"]) for output in outputs.values())
        results = [result for sweep_id in running for result in self._results(sweep_id)]
        stage.detail = f"{total} backtests as batch jobs, {failed} failed, in the trial ledger"
        return Study(model, results, total, failed)

    def _request(self, strategy: str, model: RegisteredModel) -> SweepRequest:
        return SweepRequest(
            sweep_id=strategy.replace("_", "-"),
            strategy=strategy,
            symbols=self._window.symbols,
            timeframe=TIMEFRAME,
            start_ns=self._split_ns,
            end_ns=self._window.end_ns,
            grid=_GRIDS[strategy],
            seed=SEED,
            model_key=model.key if strategy == "ml_classifier" else None,
        )

    def _results(self, sweep_id: str) -> list[RunResult]:
        found = []
        for entry in read_manifest(self._artifacts, sweep_id):
            try:
                data = self._artifacts.get(entry.result_key)
            except KeyError:
                continue
            found.append(json_decoder(RunResult).decode(data))
        return found
