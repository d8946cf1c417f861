"""``tradelake backtest | sweep | backtests`` over files: output, exit codes, what is saved."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tradelake.backtest.grid import combinations, values_of
from tradelake.cli import main
from tradelake.errors import ConfigError

START_NS = 1_700_000_040_000_000_000
TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "backtest.md"
ALPACA_BARS = "bars_5m_alpaca_btcusd_ethusd_2025-04-08_2025-05-31.parquet"


@pytest.fixture
def bars(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    tables = []
    for seed, symbol in enumerate(("BTC/USD", "ETH/USD")):
        drawn = np.random.default_rng(seed)
        close = 100.0 * np.exp(np.cumsum(drawn.normal(0.0, 0.01, 400)))
        open_ = np.concatenate(([100.0], close[:-1]))
        tables.append(
            pa.table(
                {
                    "symbol": [symbol] * 400,
                    "ts_ns": START_NS + np.arange(400) * 60_000_000_000,
                    "open": open_,
                    "high": np.maximum(open_, close),
                    "low": np.minimum(open_, close),
                    "close": close,
                    "volume": np.full(400, 50.0),
                }
            )
        )
    pq.write_table(pa.concat_tables(tables), "bars.parquet")
    return "bars.parquet"


@pytest.fixture(autouse=True)
def _own_signals():
    """The command line takes over signals and the last hook; give them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = sys.excepthook
    yield
    sys.excepthook = hook
    for number, handler in kept.items():
        signal.signal(number, handler)


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    else:
        code = 0
    said = capsys.readouterr()
    return code, said.out, said.err


BOTH = ("--symbols", "BTC/USD,ETH/USD", "--param", "slow=20", "--bars")


def test_backtest_prints_metrics_and_realism_and_saves_what_backtests_lists(bars, capsys) -> None:
    code, out, err = call(capsys, "backtest", "sma_cross", *BOTH, bars, "--param", "fast=5")
    assert (code, err) == (0, "")
    assert "sharpe" in out
    assert "Rung 2: bars" in out
    saved = re.search(r"saved: (\S+)", out.replace("\n", " ")).group(1)
    assert {path.name for path in Path(saved).iterdir()} == {
        "summary.json", "report.html", "equity.parquet", "trades.parquet", "orders.parquet",
        "fills.parquet",
    }  # fmt: skip
    name = Path(saved).name
    code, listed, _ = call(capsys, "backtests", "list", "--json")
    assert [json.loads(line)["id"] for line in listed.splitlines()] == [name]
    code, shown, _ = call(capsys, "backtests", "show", name[-8:])
    manifest = json.loads(shown)["manifest"]
    assert manifest["parameters"]["fast"] == 5
    assert manifest["data"]["BTC/USD"].startswith("blake2b:")
    assert manifest["code_version"]


def test_backtest_answers_with_one_json_object_when_asked(bars, capsys) -> None:
    code, out, _ = call(
        capsys,
        "backtest",
        "sma_cross",
        *BOTH,
        bars,
        "--param",
        "fast=5",
        "--json",
        "--no-save",
        "--broker",
        "ideal",
    )
    assert code == 0
    answer = json.loads(out)
    assert answer["id"] is None
    assert answer["manifest"]["broker"] == "ideal"
    assert not Path(".tradelake").exists()


def test_sweep_ranks_every_combination_and_saves_the_trials(bars, capsys) -> None:
    code, out, err = call(
        capsys, "sweep", "sma_cross", *BOTH, bars, "--grid", "fast=5:15:5", "--json"
    )
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert sorted(trial["fast"] for trial in answer["trials"]) == [5, 10, 15]
    sharpes = [trial["sharpe"] for trial in answer["trials"]]
    assert sharpes == sorted(sharpes, reverse=True)
    trials = pq.read_table(Path(".tradelake/backtests") / answer["id"] / "trials.parquet")
    assert trials.num_rows == 3
    _, alone, _ = call(
        capsys, "backtest", "sma_cross", *BOTH, bars, "--param", "fast=10", "--json", "--no-save"
    )
    of_ten = next(trial for trial in answer["trials"] if trial["fast"] == 10)
    assert json.loads(alone)["metrics"]["sharpe"] == of_ten["sharpe"]


def test_sweep_exits_1_and_lists_the_error_when_a_combination_fails(bars, capsys) -> None:
    code, _, err = call(capsys, "sweep", "sma_cross", *BOTH, bars, "--grid", "fast=5,50")
    assert code == 1
    assert "1 of 2 runs failed: strategy sma_cross: parameter fast" in err


SWEEP = ("sma_cross", "--symbols", "BTC/USD", "--grid")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SWEEP, "nope=1"), "strategy sma_cross: unknown parameter nope = 1"),
        ((*SWEEP, "fast=x"), "parameter fast: expected"),
        ((*SWEEP, "fast=50000,60000"), "parameter fast: expected less than slow"),
        ((*SWEEP, "fast"), "expected name=value"),
        ((*SWEEP, "fast="), "expected name=value"),
        ((*SWEEP, "fast=5:1"), "expected first <= last"),
        ((*SWEEP, "fast=5,6,5"), "expected every value once"),
        ((*SWEEP, "fast=5", "--grid", "fast=6"), "each name once"),
        ((*SWEEP, "fast=5", "--param", "fast=6"), "fast is given by --param too"),
        (
            (*SWEEP, "fast=1:1000", "--grid", "slow=1:1000", "--grid", "x=1:1000"),
            "found 1000000000",
        ),
        ((*SWEEP, "fast=1:1e9"), "found 1000000000"),
        ((*SWEEP, "fast=1:2:1e-300"), "found more than 1e+30"),
        ((*SWEEP, "fast=5", "--start", "2031-01-01"), "no bars of BTC/USD"),
        (("sma_cross", "--symbols", "DOGE/USD", "--grid", "fast=5"), "no bars of DOGE/USD"),
        (("nothing", "--symbols", "BTC/USD", "--grid", "fast=5"), "strategy: expected one of"),
    ],
)
def test_sweep_exits_2_before_anything_runs_when_it_is_asked_for_nonsense(
    bars, capsys, arguments, message
) -> None:
    code, out, err = call(capsys, "sweep", *arguments, "--bars", bars)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not Path(".tradelake").exists()


def test_sweep_goes_on_when_a_strategy_leaves_the_program(bars, capsys, monkeypatch) -> None:
    Path("own.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own", raising=False)
    arguments = ("own:S", "--symbols", "BTC/USD", "--bars", bars, "--grid", "n=0:3", "--json")
    code, out, err = call(capsys, "sweep", *arguments)
    errors = {trial["n"]: trial["error"] for trial in json.loads(out)["trials"]}
    assert code == 1
    assert "3 of 4 runs failed" in err
    assert errors[0] == ""
    assert "in on_bar of BTC/USD" in errors[1]
    assert "SystemExit: 5" in errors[2]
    assert "ValueError: three" in errors[3]


@pytest.mark.parametrize("verb", [("backtest", "--param", "n=1"), ("sweep", "--grid", "n=1:3")])
@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        (
            "Nameless",
            "expected a name, text, and parameters, a mapping; found no name and no param",
        ),
        ("Half", "expected a name, text, and parameters, a mapping; found no parameters"),
        ("Other", "expected signals, signals_of or callbacks; found"),
    ],
)
def test_a_strategy_without_what_all_have_is_refused_before_anything_runs(
    bars, capsys, monkeypatch, verb, kind, lacks
) -> None:
    Path("lacking.py").write_text(LACKING)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "lacking", raising=False)
    name, *option = verb
    code, out, err = call(
        capsys, name, f"lacking:{kind}", "--symbols", "BTC/USD", "--bars", bars, *option
    )
    assert (code, out) == (2, "")
    assert lacks in err
    assert kind in err
    assert len(err.strip().splitlines()) == 1
    assert not Path(".tradelake").exists()


LACKING = """
from tradelake.strategies.event import EventStrategy

class Nameless(EventStrategy):
    def __init__(self, n): ...
    def on_bar(self, ctx): raise RuntimeError("it ran")

class Half(Nameless):
    name = "half"

class Other:
    def __init__(self, n): ...
"""


OWN = """
import sys
from tradelake.strategies.event import EventStrategy

class S(EventStrategy):
    name = "own"

    def __init__(self, n):
        if n == 2:
            sys.exit(5)
        if n == 3:
            raise ValueError("three")
        self.parameters = {"n": n}

    def on_bar(self, ctx):
        if self.parameters["n"] == 1:
            sys.exit()
"""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing", "--symbols", "BTC/USD"), 2, "strategy: expected one of"),
        (("sma_cross", "--symbols", "DOGE/USD"), 2, "no bars of DOGE/USD"),
        (("sma_cross", "--symbols", ","), 2, "--symbols: expected pairs"),
        (("sma_cross", "--symbols", "BTC/USD", "--param", "fast"), 2, "expected name=value"),
        (("sma_cross", "--symbols", "BTC/USD", "--param", "fast=x"), 2, "parameter fast"),
        (("sma_cross", "--symbols", "BTC/USD", "--start", "soon"), 2, "--start: expected an ISO"),
        (("sma_cross", "--symbols", "BTC/USD", "--screen", "gaps=mask"), 2, "screen.gaps"),
        (("sma_cross", "--symbols", "BTC/USD", "--broker", "me"), 2, "broker: expected one of"),
        (("sma_cross", "--symbols", "BTC/USD", "--timeframe", "1s"), 2, "expected 1m or longer"),
        (
            ("sma_cross", "--symbols", "BTC/USD", "--timeframe", "7x"),
            2,
            "--timeframe: expected one",
        ),
        (("sma_cross", "--symbols", "BTC/USD", "--start", "2031-01-01"), 2, "no bars of BTC/USD"),
        (("sma_cross", "--symbols", "BTC/USD", "--end", "9999-12-31"), 2, "--end: expected a year"),
        (("sma_cross", "--symbols", "BTC/USD", "--cash", "1e-9"), 2, "cash: expected a number"),
        (("sma_cross", "--symbols", "BTC/USD", "--seed", "9" * 20), 2, "seed: expected a whole"),
        (("own:S", "--symbols", "BTC/USD", "--param", "n=1"), 1, "in on_bar of BTC/USD at"),
        (("own:S", "--symbols", "BTC/USD", "--param", "n=2"), 2, "own:S: SystemExit: 5"),
        (("own:S", "--symbols", "BTC/USD", "--param", "n=3"), 2, "own:S: ValueError: three"),
        (("leaves:S", "--symbols", "BTC/USD"), 2, "cannot import leaves: SystemExit: 9"),
        (("wrong:S", "--symbols", "BTC/USD"), 2, "cannot import wrong: SyntaxError"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    bars, capsys, monkeypatch, arguments, code, message
) -> None:
    Path("own.py").write_text(OWN)
    Path("leaves.py").write_text("import sys\nsys.exit(9)\n")
    Path("wrong.py").write_text("def (\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("own", "leaves", "wrong"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    found, _, err = call(capsys, "backtest", *arguments, "--bars", bars)
    assert found == code
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_that_is_no_parquet_or_lacks_a_column_is_refused_by_name(bars, capsys) -> None:
    Path("text.parquet").write_text("no")
    pq.write_table(pq.read_table(bars).drop_columns(["volume"]), "less.parquet")
    for name, message in (("text", "expected a Parquet file"), ("less", "expected column volume")):
        code, _, err = call(
            capsys, "backtest", "sma_cross", "--symbols", "BTC/USD", "--bars", f"{name}.parquet"
        )
        assert code == 2
        assert message in err


def test_no_lake_is_said_with_what_to_do(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRADELAKE_CATALOG_URI", raising=False)
    code, _, err = call(capsys, "backtest", "sma_cross", "--symbols", "BTC/USD")
    assert code == 2
    assert "--bars FILE.parquet" in err


def test_grid_refuses_what_is_no_range_or_too_many() -> None:
    assert values_of("5:50:15") == (5, 20, 35, 50)
    for text in ("5:1", "1:2:0", "a:b", "1:1e9"):
        with pytest.raises(ConfigError, match=r"^grid: "):
            values_of(text)
    with pytest.raises(ConfigError, match="up to 10000 combinations; found 1000000"):
        combinations({name: range(100) for name in "abc"})


def test_the_tutorials_python_runs_as_it_stands(capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    scope: dict[str, object] = {"__name__": "tutorial"}
    exec("\n".join(blocks), scope)
    assert "Backtest bracket(width=0.01) on BTC/USD" in repr(scope["result"])


def test_recorded_alpaca_bars_run_from_their_file(tmp_path, capsys, monkeypatch) -> None:
    data = Path(os.environ.get("TRADELAKE_DATA", "")) / ALPACA_BARS
    if not data.is_file():
        pytest.skip("the recorded data is not here")
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(
        capsys, "backtest", "sma_cross", "--symbols", "BTC/USD,ETH/USD", "--bars", str(data),
        "--timeframe", "1h", "--json",
    )  # fmt: skip
    answer = json.loads(out)
    assert code == 0
    assert answer["manifest"]["timeframe"] == "1h"
    assert any("missing bars" in finding for finding in answer["findings"])
