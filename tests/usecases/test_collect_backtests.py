from __future__ import annotations

import msgspec
import pytest

from tests.usecases.sweep_fakes import FixedClock, MemoryLake, MemoryObjects, request
from tradelake.errors import ConfigError
from tradelake.usecases.collect_backtests import MISSING, CollectedSweep, collect
from tradelake.usecases.sweeps import (
    RunManifest,
    RunResult,
    entry_of,
    expand,
    prepare,
    request_key,
)

METRICS = {"total_return": 0.5, "sharpe": None, "trades": 3, "exposure": 0.9}


@pytest.fixture
def artifacts() -> MemoryObjects:
    """A sweep of three runs: one succeeded, one failed, one left nothing."""
    artifacts = MemoryObjects()
    sweep = request(grid={"fast": (5, 10, 15), "slow": (20,)})
    artifacts.put(request_key("s"), msgspec.json.encode(sweep))
    prepare(artifacts, "bucket", request_key("s"))
    good, bad, _missing = expand(sweep)
    put_result(artifacts, good, status="succeeded", bars=9, first_ns=1, last_ns=2, metrics=METRICS)
    put_result(artifacts, bad, status="failed", error="too few bars")
    return artifacts


def put_result(artifacts, spec, **fields) -> None:
    manifest = RunManifest(data_snapshot="d", code_version="c", spec=spec)
    result = RunResult(manifest=manifest, **fields)
    artifacts.put(entry_of(spec).result_key, msgspec.json.encode(result))


def run(artifacts, lake) -> CollectedSweep:
    return collect(artifacts, lake, FixedClock(), "bucket", "s")


def test_every_run_of_the_manifest_becomes_a_trial(artifacts):
    lake = MemoryLake()

    assert run(artifacts, lake) == CollectedSweep("s", 3, 1, 2, 3)
    errors = {row["params"]: row["error"] for row in lake.rows.values()}
    assert errors == {
        '{"fast":5,"slow":20}': None,
        '{"fast":10,"slow":20}': "too few bars",
        '{"fast":15,"slow":20}': MISSING,
    }


def test_trial_carries_measures_manifest_and_where_the_result_is(artifacts):
    lake = MemoryLake()
    run(artifacts, lake)
    row = next(row for row in lake.rows.values() if row["status"] == "succeeded")

    assert (row["total_return"], row["sharpe"], row["trades"]) == (0.5, None, 3)
    assert (row["bars"], row["start_ns"], row["end_ns"]) == (9, 1, 2)
    assert row["result_uri"] == f"s3://bucket/sweeps/s/results/{row['run_id']}.json"
    assert msgspec.json.decode(row["manifest"])["data_snapshot"] == "d"
    assert row["recorded"] == 1_700_000_000 * 10**6


def test_collecting_again_appends_nothing(artifacts):
    lake = MemoryLake()
    run(artifacts, lake)

    assert run(artifacts, lake) == CollectedSweep("s", 3, 1, 2, 0)
    assert len(lake.rows) == 3


def test_late_result_does_not_replace_the_recorded_failure(artifacts):
    lake = MemoryLake()
    run(artifacts, lake)
    missing = expand(request(grid={"fast": (15,), "slow": (20,)}))[0]
    put_result(artifacts, missing, status="succeeded", metrics=METRICS)
    run(artifacts, lake)

    assert lake.rows[missing.run_id, "s"]["status"] == "failed"


def test_collect_raises_config_error_when_the_sweep_was_not_prepared():
    with pytest.raises(ConfigError, match="not prepared"):
        run(MemoryObjects(), MemoryLake())
