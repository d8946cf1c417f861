from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usecases.sweep_fakes import HOUR_NS, KnownInstruments, MemoryObjects, WavyBars, request
from tradelake.errors import ConfigError, InvalidData, Transient
from tradelake.usecases.run_backtest import EQUITY_POINTS, run_backtest, thin
from tradelake.usecases.sweeps import RunResult, entry_of, expand


def run(bars=None, instruments=None, load_model=None, artifacts=None, **changes) -> RunResult:
    """Run the first point of a sweep; returns what was written."""
    artifacts = artifacts or MemoryObjects()
    spec = expand(request(**changes))[0]
    entry = entry_of(spec)
    artifacts.put(entry.spec_key, msgspec.json.encode(spec))
    answered = run_backtest(
        entry.spec_key,
        entry.result_key,
        artifacts=artifacts,
        bars=bars or WavyBars(),
        instruments=instruments or KnownInstruments(),
        load_model=load_model,
        code_version="code-1",
    )
    written = msgspec.json.decode(artifacts.get(entry.result_key), type=RunResult)
    assert written == answered
    return written


def test_result_says_what_it_follows_from():
    result = run()

    assert result.status == "succeeded"
    assert (result.bars, result.first_ns, result.last_ns) == (1_500, 0, 1_500 * HOUR_NS)
    assert (result.manifest.data_snapshot, result.manifest.code_version) == ("snapshot-1", "code-1")
    assert result.manifest.spec.params == {"fast": 5, "slow": 20}


def test_a_run_knows_what_the_lake_knows_of_its_instruments():
    halted = {
        "symbol": "BTC/USD", "ts_event_ns": 700 * HOUR_NS, "event": "halted",
        "status": "active", "tradable": False, "min_order_size": "0.0001",
        "min_trade_increment": "0.0001", "price_increment": "0.01", "renamed_to": None,
    }  # fmt: skip
    free, held = run(), run(instruments=KnownInstruments(halted))

    assert 0 < held.fills < free.fills
    assert held.manifest.instruments_snapshot == "snapshot-2"
    assert free.manifest.instruments_snapshot == ""


def test_a_run_fails_with_the_table_and_the_row_when_what_the_lake_knows_is_wrong():
    wrong = {
        "symbol": "BTC/USD", "ts_event_ns": 5, "event": "listed",
        "status": "active", "tradable": True, "min_order_size": "0.0001",
        "min_trade_increment": "", "price_increment": "a cent", "renamed_to": None,
    }  # fmt: skip
    failed = run(instruments=KnownInstruments(wrong, {**wrong, "symbol": "ETH/USD"}))

    assert failed.error == (
        "sma_cross on BTC/USD 1h: decimal: table instruments: expected price_increment a decimal; "
        "found 'a cent' in Instrument listed BTC/USD at 5"
    )
    assert failed.manifest.instruments_snapshot == "snapshot-2"
    assert run(instruments=KnownInstruments({**wrong, "symbol": "ETH/USD"})).error is None


def test_a_run_does_not_mind_what_is_wrong_after_its_end():
    fine = {
        "symbol": "BTC/USD", "ts_event_ns": 5, "event": "listed",
        "status": "active", "tradable": True, "min_order_size": "0.0001",
        "min_trade_increment": "0", "price_increment": "0.01", "renamed_to": None,
    }  # fmt: skip
    later = {**fine, "ts_event_ns": 10**18, "event": "changed", "price_increment": "1e-20"}
    held = run(instruments=KnownInstruments(fine, later))
    assert held.error is None
    assert "No quantity increment of BTC/USD is said: one of 1e-9 is assumed." in held.realism


def test_result_ends_with_the_equity_that_its_return_says():
    result = run(cash=5_000.0)
    last = result.equity[-1][1]

    assert last / 5_000.0 - 1.0 == pytest.approx(result.metrics["total_return"], abs=1e-12)
    assert result.metrics["trades"] == 5


def test_equal_specifications_give_equal_results():
    assert run() == run()


def test_higher_fees_give_a_lower_return():
    assert run(fee_bps=50.0).metrics["total_return"] < run(fee_bps=0.0).metrics["total_return"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "absent"}, "expected one of"),
        ({"grid": {"fast": (30,), "slow": (20,)}}, "expected less than slow"),
        ({"grid": {"typo": (1,)}}, "unknown parameter typo"),
        ({"symbols": ("ETH/USD",)}, "no bars of ETH/USD"),
        ({"strategy": "ml_classifier", "grid": {}}, "needs a model"),
        ({"model_key": "models/absent"}, "there is no object models/absent"),
    ],
)
def test_result_is_a_clear_failure_when_the_run_cannot_be_made(changes, message):
    result = run(**changes)

    assert (result.status, result.metrics, result.equity) == ("failed", None, ())
    assert message in result.error
    assert result.error.startswith(f"{result.manifest.spec.strategy} on ")


def test_result_is_a_failure_when_the_model_is_damaged():
    artifacts = MemoryObjects()
    artifacts.put("models/damaged", b"nothing")

    def refuse(package: bytes):
        raise InvalidData("model_package", f"{len(package)} bytes")

    result = run(artifacts=artifacts, load_model=refuse, model_key="models/damaged")
    assert (result.status, "model_package: 7 bytes" in result.error) == ("failed", True)


def test_nothing_is_written_when_the_lake_refuses():
    class Refusing:
        def bars(self, *_arguments):
            raise Transient("catalog locked")

    artifacts = MemoryObjects()
    with pytest.raises(Transient):
        run(bars=Refusing(), artifacts=artifacts)
    assert not list(artifacts.list("sweeps/s/results/"))


@pytest.mark.parametrize("content", [None, b"{}"])
def test_run_raises_config_error_when_there_is_no_readable_specification(content):
    artifacts = MemoryObjects()
    if content is not None:
        artifacts.put("spec", content)

    with pytest.raises(ConfigError, match="specification"):
        run_backtest(
            "spec",
            "result",
            artifacts=artifacts,
            bars=WavyBars(),
            instruments=KnownInstruments(),
            load_model=None,
            code_version="code-1",
        )


@given(st.integers(0, 3_000))
def test_thinned_curve_keeps_both_ends_and_order(count):
    ts_ns = np.arange(count, dtype=np.int64)
    points = thin(ts_ns, ts_ns.astype(float))

    assert len(points) == min(count, EQUITY_POINTS)
    assert all(ts == value for ts, value in points)
    assert [ts for ts, _ in points] == sorted({ts for ts, _ in points})
    if count:
        assert (points[0][0], points[-1][0]) == (0, count - 1)
