"""Sweeps of each style through state machine, real jobs over a real lake, and the ledger."""

from __future__ import annotations

import json
import math
import os

import msgspec
import pytest

from tests.emulator.conftest import eventually
from tradelake.adapters.aws.objects import S3Objects
from tradelake.adapters.aws.workflows import StepFunctions
from tradelake.adapters.system import SystemClock
from tradelake.bootstrap import wire_lake_reader, wire_lake_writer
from tradelake.market.records import Bar
from tradelake.topology import names, tables
from tradelake.usecases.load_history import HistoryRequest, load_history
from tradelake.usecases.sweeps import RunResult, SweepRequest, read_manifest, request_key

pytestmark = pytest.mark.timeout(300)

HOUR_NS = 3_600 * 10**9
START_NS = 1_735_689_600 * 10**9
COUNT = 400
SYMBOLS = ("BTC/USD", "ETH/USD")


class Waves:
    """History of symbols that go up and down, each at its own pace."""

    def bars(self, symbols, timeframe, start_ns, _end_ns):
        for number, symbol in enumerate(sorted(symbols)):
            yield [
                wave(symbol, timeframe, start_ns + at * HOUR_NS, at / (9.0 + 2.0 * number))
                for at in range(COUNT)
            ]


def wave(symbol, timeframe, ts_ns, angle) -> Bar:
    close = 100.0 + 10.0 * math.sin(angle)
    prices = (close, close + 0.5, close - 0.5, close)
    return Bar(symbol, ts_ns, ts_ns, *prices, 1e5, close, 3, timeframe, "alpaca", "history", 7)


@pytest.fixture(scope="module")
def environment(account) -> dict[str, str]:
    """Variables of the lake, which has the waves."""
    made = {**os.environ, **account.plan.variables, names.ENV_ENVIRONMENT: "test"}
    history = HistoryRequest(
        venue="us",
        symbols=SYMBOLS,
        timeframe="1h",
        start_ns=START_NS,
        end_ns=START_NS + COUNT * HOUR_NS,
    )
    load_history(history, Waves(), wire_lake_writer(made), SystemClock(), lambda _loaded: None)
    return made


SWEEPS = {
    "panel": {
        "strategy": "xs_momentum",
        "symbols": (",".join(SYMBOLS),),
        "grid": {"lookback": (20,), "every": (5,), "top": (1,)},
    },
    "events": {
        "strategy": "grid",
        "symbols": SYMBOLS,
        # 50 levels 10 % apart end below 0: a wrong parameter, found when the strategy is made
        "grid": {"levels": (4, 50), "spacing": (0.1,)},
        "rung": 1,
        "seed": 7,
    },
}


def test_sweeps_of_panel_and_event_strategies_run_as_jobs_and_a_bad_one_stays_alone(
    aws, environment
):
    artifacts = S3Objects(aws.made.buckets["artifacts"])
    workflows = StepFunctions("test")
    running = []
    for sweep_id, asked in SWEEPS.items():
        span = {"start_ns": START_NS, "end_ns": START_NS + COUNT * HOUR_NS, "timeframe": "1h"}
        wanted = SweepRequest(sweep_id=sweep_id, **span, **asked)
        artifacts.put(request_key(sweep_id), msgspec.json.encode(wanted))
        payload = {"sweep_id": sweep_id, "request_key": request_key(sweep_id)}
        running.append(workflows.start("backtests", sweep_id, payload))
    eventually(lambda: all(workflows.status(one)[0] != "RUNNING" for one in running), timeout_s=240)

    counts = [workflows.status(one)[1] for one in running]
    assert [(one["succeeded"], one["failed"]) for one in counts] == [(1, 0), (2, 2)]
    panel, *grids = [result for name in SWEEPS for result in results(artifacts, name)]
    assert (panel.style, panel.rung, panel.bars) == ("vectorised", 2, 2 * COUNT)
    assert (panel.first_ns, panel.last_ns) == (START_NS, START_NS + COUNT * HOUR_NS)
    for result in grids:
        good = result.manifest.spec.params["levels"] == 4
        assert result.style == ("event" if good else "")
        assert good == (result.fills > 0)
        assert good or "expected levels * spacing below 1" in result.error
    recorded = trials(environment)
    assert [row["symbol"] for row in recorded] == ["BTC/USD", "BTC/USD,ETH/USD", "ETH/USD"]
    measures = {column.name for column in tables.TRIALS.columns if not column.required} - {"error"}
    for row in recorded:
        assert all(row[name] is not None for name in measures)
        assert row["fees"] > 0.0
    assert json.loads(recorded[0]["manifest"])["spec"]["rung"] == 1


def results(artifacts, sweep_id) -> list[RunResult]:
    entries = read_manifest(artifacts, sweep_id)
    return [msgspec.json.decode(artifacts.get(one.result_key), type=RunResult) for one in entries]


def trials(environment) -> list[dict]:
    rows = wire_lake_reader(environment).sql(
        "SELECT * FROM trials WHERE status = 'succeeded' AND sweep_id IN ('panel', 'events')"
        " ORDER BY symbol"
    )
    return rows.to_pylist()
