"""Appends the results of a sweep to the trial ledger: the one writer of that table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from tradelake.decoding import json_decoder
from tradelake.ports import Clock, LakeWriter, ObjectStore
from tradelake.topology import tables
from tradelake.usecases.sweeps import (
    ManifestEntry,
    RunManifest,
    RunResult,
    RunSpec,
    read_manifest,
)

MISSING: Final = "no result: the job ended without writing one; its log says why"

_READERS: Final = 8


class CollectedSweep(msgspec.Struct, frozen=True):
    """Answer of the collect function; the state machine reads these fields.

    ``expected = succeeded + failed``; ``appended`` is 0 when the sweep was collected before.
    """

    sweep_id: str
    expected: int
    succeeded: int
    failed: int
    appended: int


def collect(
    artifacts: ObjectStore, lake: LakeWriter, clock: Clock, bucket: str, sweep_id: str
) -> CollectedSweep:
    """Record one trial for each run of the manifest, good, bad or missing.

    A trial is identified by (run, sweep): collecting again appends nothing, and a result that came
    late does not replace the failure that was recorded.

    Raises
    ------
    ConfigError
        The sweep was never prepared.
    Transient
        The bucket or the catalog kept refusing; nothing or everything was appended.
    """
    manifest = read_manifest(artifacts, sweep_id)
    with ThreadPoolExecutor(_READERS) as readers:
        results = list(readers.map(lambda entry: _result(artifacts, entry), manifest))
    recorded_us = clock.now_ns() // 1000
    rows = [
        _row(entry, result, bucket, recorded_us)
        for entry, result in zip(manifest, results, strict=True)
    ]
    delivery = lake.append(tables.TRIALS, _columns(rows))
    succeeded = sum(1 for result in results if result.status == "succeeded")
    return CollectedSweep(
        sweep_id, len(results), succeeded, len(results) - succeeded, delivery.rows
    )


def _result(artifacts: ObjectStore, entry: ManifestEntry) -> RunResult:
    """Return the result of a run; a missing one is a failure of the run's specification."""
    try:
        return json_decoder(RunResult).decode(artifacts.get(entry.result_key))
    except KeyError:
        spec = json_decoder(RunSpec).decode(artifacts.get(entry.spec_key))
        manifest = RunManifest(data_snapshot="", code_version="", spec=spec)
        return RunResult(manifest=manifest, status="failed", error=MISSING)


def _row(
    entry: ManifestEntry, result: RunResult, bucket: str, recorded_us: int
) -> Mapping[str, Any]:
    spec = result.manifest.spec
    return {
        "run_id": spec.run_id,
        "sweep_id": spec.sweep_id,
        "strategy": spec.strategy,
        "symbol": spec.symbol,
        "timeframe": spec.timeframe,
        "params": msgspec.json.encode(spec.params, order="sorted").decode(),
        "start_ns": result.first_ns or spec.start_ns,
        "end_ns": result.last_ns or spec.end_ns,
        "bars": result.bars,
        "status": result.status,
        "error": result.error,
        "manifest": msgspec.json.encode(result.manifest, order="sorted").decode(),
        "result_uri": f"s3://{bucket}/{entry.result_key}",
        "recorded": recorded_us,
        **(result.metrics or {}),
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in tables.TRIALS.column_names()}
