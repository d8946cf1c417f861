from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usecases.sweep_fakes import MemoryObjects, request
from tradelake.errors import ConfigError
from tradelake.usecases.sweeps import (
    MAX_RUNS,
    ManifestEntry,
    PreparedSweep,
    RunSpec,
    SweepProgress,
    entry_of,
    expand,
    prepare,
    progress,
    request_key,
    run_id_of,
)


def test_sweep_has_a_run_for_every_symbol_and_combination():
    specs = expand(
        request(symbols=("BTC/USD", "ETH/USD"), grid={"fast": (5, 10), "slow": (50, 60)})
    )

    assert [(spec.symbol, spec.params["fast"], spec.params["slow"]) for spec in specs] == list(
        itertools.product(("BTC/USD", "ETH/USD"), (5, 10), (50, 60))
    )


def test_sweep_without_a_grid_has_a_run_a_symbol():
    assert [spec.params for spec in expand(request(grid={}))] == [{}]


def test_equal_points_of_the_grid_are_one_run():
    assert len(expand(request(symbols=("BTC/USD", "BTC/USD"), grid={"fast": (5, 5, 6)}))) == 2


def test_run_id_is_stable():
    """Ids are stored in the ledger: a change of this value orphans every recorded trial."""
    assert expand(request())[0].run_id == "9fa3222a74aa2ceab5f3eb77e6b2ae5c"


def test_run_id_is_the_same_in_another_sweep():
    assert expand(request(sweep_id="one"))[0].run_id == expand(request(sweep_id="two"))[0].run_id


@given(st.permutations(["fast", "slow", "band"]))
def test_run_ids_do_not_depend_on_the_order_of_the_grid(names):
    values = {"fast": (5, 10), "slow": (50,), "band": (0.5, 1.5)}
    ids = {spec.run_id for spec in expand(request(grid={name: values[name] for name in names}))}

    assert ids == {spec.run_id for spec in expand(request(grid=values))}


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "other"},
        {"timeframe": "1d"},
        {"start_ns": 1},
        {"end_ns": 99},
        {"fee_bps": 1.0},
        {"slippage_bps": 1.0},
        {"cash": 1.0},
        {"seed": 1},
        {"model_key": "models/a.tar.gz"},
        {"symbols": ("ETH/USD",)},
        {"grid": {"fast": (6,)}},
    ],
)
def test_run_id_differs_when_anything_that_decides_the_result_differs(change):
    assert expand(request(**change))[0].run_id != expand(request())[0].run_id


def test_prepare_writes_specifications_and_a_manifest_that_point_to_each_other():
    artifacts = MemoryObjects()
    artifacts.put(request_key("s"), msgspec.json.encode(request(grid={"fast": (5, 10)})))
    prepared = prepare(artifacts, "bucket", request_key("s"))
    manifest = msgspec.json.decode(artifacts.get(prepared.manifest_key), type=list[ManifestEntry])

    assert prepared == PreparedSweep("s", "bucket", "sweeps/s/manifest.json", 2)
    for entry in manifest:
        spec = msgspec.json.decode(artifacts.get(entry.spec_key), type=RunSpec)
        assert entry == entry_of(spec)
        assert spec.run_id == run_id_of(spec)
    assert len({entry.result_key for entry in manifest}) == 2


def test_prepare_writes_the_same_objects_when_it_is_repeated():
    artifacts = MemoryObjects()
    artifacts.put(request_key("s"), msgspec.json.encode(request()))
    prepare(artifacts, "bucket", request_key("s"))
    before = dict(artifacts.objects)
    prepare(artifacts, "bucket", request_key("s"))

    assert artifacts.objects == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sweep_id", "../up", "sweep_id"),
        ("symbols", [], "expected 1 to 10000 runs, found 0"),
        ("timeframe", "2h", "expected one of"),
        ("end_ns", 0, "start_ns < end_ns"),
        ("cash", 0, "cash > 0"),
        ("grid", {"fast": []}, "found 0"),
        ("grid", {"fast": list(range(MAX_RUNS + 1))}, "found 10001"),
        ("typo", 1, "typo"),
    ],
)
def test_prepare_raises_config_error_when_the_request_is_wrong(field, value, message):
    artifacts = MemoryObjects()
    content = {**msgspec.to_builtins(request()), field: value}
    artifacts.put("key", msgspec.json.encode(content))

    with pytest.raises(ConfigError, match=message):
        prepare(artifacts, "bucket", "key")
    assert list(artifacts.objects) == ["key"]


def test_prepare_raises_config_error_when_there_is_no_request():
    with pytest.raises(ConfigError, match="there is no object absent"):
        prepare(MemoryObjects(), "bucket", "absent")


def test_progress_counts_results_of_the_sweep_alone():
    artifacts = MemoryObjects()
    assert progress(artifacts, "s") == SweepProgress(0, 0)

    artifacts.put(request_key("s"), msgspec.json.encode(request(grid={"fast": (5, 10)})))
    prepare(artifacts, "bucket", request_key("s"))
    artifacts.put("sweeps/s/results/one.json", b"{}")
    artifacts.put("sweeps/s2/results/one.json", b"{}")
    assert progress(artifacts, "s") == SweepProgress(2, 1)
