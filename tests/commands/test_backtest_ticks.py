"""``tradelake backtest | sweep`` over trades, quotes and books, of files and of the lake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.commands.test_backtest import _own_signals, call
from tradelake.adapters.disk.ticks import read_ticks
from tradelake.backtest.session import run
from tradelake.errors import ConfigError, InsufficientData
from tradelake.execution.costs import Costs, Latencies, Latency
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import BookUpdate, Quote, Trade
from tradelake.strategies.library import build
from tradelake.stream.envelope import Batch
from tradelake.topology import names

__all__ = ["_own_signals"]

START_NS = 1_750_000_000_000_000_000
SECOND = 1_000_000_000
COUNT = 600
PARAMETERS = ("--param", "half_spread_bps=1", "--param", "refresh_ms=0")
FILES = ("--ticks", "trades.parquet", "--ticks", "quotes.parquet", "--ticks", "books.parquet")
BTC = ("--symbols", "BTC/USD")
LEVELS = pa.list_(pa.struct([("price", pa.float64()), ("size", pa.float64())]))


def _market() -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(1)
    mid = np.round(100.0 + np.cumsum(drawn.normal(0.0, 0.05, COUNT)), 2)
    return {"ts_ns": START_NS + np.arange(COUNT) * SECOND, "bid": mid - 0.01, "ask": mid + 0.01}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    told = _market()
    symbol, sizes = ["BTC/USD"] * COUNT, np.full(COUNT, 3.0)
    quotes = {"symbol": symbol, **told, "bid_size": sizes, "ask_size": sizes}
    buys = np.arange(COUNT) % 2 == 0
    trades = {
        "symbol": symbol,
        "ts_ns": told["ts_ns"] + SECOND // 2,
        "price": np.where(buys, told["ask"], told["bid"]),
        "size": sizes,
        "side": np.where(buys, "buy", "sell"),
        "trade_id": [str(n) for n in range(COUNT)],
    }
    side = lambda name: pa.array([[{"price": p, "size": 3.0}] for p in told[name]], LEVELS)  # noqa: E731
    books = {
        "symbol": symbol,
        "ts_ns": told["ts_ns"],
        "bids": side("bid"),
        "asks": side("ask"),
        "reset": [True] * COUNT,
    }
    for name, columns in (("quotes", quotes), ("trades", trades), ("books", books)):
        pq.write_table(pa.table(columns), f"{name}.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "rung", "words"),
    [
        ((), 4, "Rung 4: order books"),
        (("--rung", "3"), 3, "Rung 3: quotes and trades"),
        (("--rung", "3", "--latency-ms", "1,20,3"), 3, "feed latency 1 ms; entry latency 20 ms"),
        (("--rung", "3", "--partial-fills", "0.5"), 3, "cut at random with probability 0.5"),
        (("--rung", "3", "--impact", "0.9"), 3, "square-root impact with coefficient 0.9"),
    ],
)
def test_a_backtest_on_ticks_says_how_real_it_is(
    files: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], rung: int, words: str
) -> None:
    arguments = ("backtest", "book_maker", *BTC, *FILES, *PARAMETERS, *options)
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (0, "")
    assert words in out
    code, out, _ = call(capsys, *arguments, "--json", "--no-save")
    told = json.loads(out)
    assert told["manifest"]["rung"] == rung
    assert told["metrics"]["turnover"] > 0


def test_the_command_gives_what_a_run_over_the_arrays_gives(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (*BTC, *FILES, *PARAMETERS, "--latency-ms", "7", "--json")
    code, out, err = call(capsys, "backtest", "book_maker", *arguments)
    assert (code, err) == (0, "")
    told = json.loads(out)
    paths = [Path(name) for name in FILES[1::2]]
    data = read_ticks(paths, "BTC/USD", None, None, books=True, bad="refuse")
    same = Latency.constant(7.0)
    strategy = build("book_maker", {"half_spread_bps": 1.0, "refresh_ms": 0})
    result = run(data, strategy, costs=Costs(latency=Latencies(same, same, same)))
    assert told["final_equity"] == result.equity_values[-1]
    assert told["manifest"]["data"] == result.manifest["data"]
    assert set(result.manifest["data"]) == {"BTC/USD trades", "BTC/USD quotes", "BTC/USD books"}


def test_a_sweep_runs_on_ticks(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ("--grid", "half_spread_bps=1,2,5", "--json", "--no-save")
    code, out, err = call(capsys, "sweep", "book_maker", *BTC, *FILES, *grid)
    assert (code, err) == (0, "")
    trials = json.loads(out)["trials"]
    assert {one["half_spread_bps"] for one in trials} == {1, 2, 5}
    assert all(one["final_equity"] for one in trials)


def test_ticks_that_are_bad_are_masked_and_told_or_refused(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quotes = pq.read_table("quotes.parquet").to_pydict()
    quotes["bid"][5], quotes["ask"][5] = quotes["ask"][5], quotes["bid"][5]
    pq.write_table(pa.table(quotes), "quotes.parquet")
    arguments = ("backtest", "book_maker", *BTC, "--ticks", "quotes.parquet", "--no-save")
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert "crossed" in out
    code, out, err = call(capsys, *arguments, "--bad-ticks", "refuse")
    assert code == 1
    assert "crossed: expected a bid below the ask" in err
    assert "quote 5 at" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rung", "3"), "--rung: rung 3 needs --ticks"),
        ((*FILES, "--rung", "2"), "--rung: rung 2 needs bars, not ticks"),
        ((*FILES, "--bars", "x.parquet"), "--ticks: expected bars or ticks; found both"),
        ((*FILES, "--ticks", "lake"), "--ticks: expected the lake or files; found both"),
        ((*FILES, "--timeframe", "1m"), "--timeframe: ticks have none"),
        ((*FILES, "--screen", "gaps=refuse"), "--screen: is of bars"),
        ((*FILES, "--latency-ms", "1,2"), "--latency-ms: expected one number, or three"),
        ((*FILES, "--latency-ms", "soon"), "--latency-ms: expected one number, or three"),
        ((*FILES, "--latency-ms", "-1"), "expected a finite number of 0 or more; found -1.0"),
        ((*FILES, "--start", "2031-01-01"), "no ticks of BTC/USD in the interval asked for"),
        (("--ticks", "nothing.parquet"), "nothing.parquet: expected a Parquet file"),
        (("--ticks", "lake"), "no lake at"),
        ((*FILES, "--param", "most=1", "--param", "size=5"), "size"),
    ],
)
def test_options_that_make_no_sense_are_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = call(capsys, "backtest", "book_maker", *BTC, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_strategy_of_bars_is_refused_on_ticks(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "backtest", "sma_cross", *BTC, *FILES)
    assert code == 2
    assert "expected callbacks, as ticks have no bars" in err


def test_a_file_without_ticks_is_refused_by_its_columns(files: Path) -> None:
    pq.write_table(pa.table({"symbol": ["BTC/USD"], "close": [1.0]}), "bars.parquet")
    with pytest.raises(
        ConfigError, match=r"bars.parquet: expected columns .*; found close, symbol"
    ):
        read_ticks([Path("bars.parquet")], "BTC/USD", None, None, books=True, bad="mask")
    with pytest.raises(InsufficientData, match=r"no ticks of ETH/USD .* symbols: BTC/USD"):
        read_ticks([Path("quotes.parquet")], "ETH/USD", None, None, books=True, bad="mask")


def test_ticks_of_the_lake_give_what_the_same_ticks_of_files_give(
    files: Path,
    catalog: LakeCatalog,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = {name: pq.read_table(f"{name}.parquet").to_pylist() for name in ("trades", "quotes")}
    records: list[object] = [
        Trade("BTC/USD", row["ts_ns"], 0, int(row["trade_id"]), row["price"], 3.0, row["side"])
        for row in tables["trades"]
    ]
    records += [
        Quote("BTC/USD", row["ts_ns"], 0, row["bid"], 3.0, row["ask"], 3.0)
        for row in tables["quotes"]
    ]
    records += [
        BookUpdate("BTC/USD", row["ts_ns"], 0, [(row["bid"], 3.0)], [(row["ask"], 3.0)], reset=True)
        for row in tables["quotes"]
    ]
    IcebergWriter(catalog).deliver("clean", [Batch("live", "us", 1, 3, 0, START_NS, records)])  # type: ignore[arg-type]
    monkeypatch.setenv(names.ENV_CATALOG_URI, f"sqlite:///{files}/catalog.db")
    monkeypatch.setenv(names.ENV_WAREHOUSE, str(files / "warehouse"))
    monkeypatch.setenv(names.ENV_ENVIRONMENT, "test")
    common = ("backtest", "book_maker", *BTC, *PARAMETERS, "--json", "--no-save")
    code, of_lake, err = call(capsys, *common, "--ticks", "lake")
    assert (code, err) == (0, "")
    _, of_files, _ = call(capsys, *common, *FILES)
    ours, theirs = json.loads(of_lake), json.loads(of_files)
    assert ours["manifest"]["data"] == theirs["manifest"]["data"]
    assert ours["final_equity"] == theirs["final_equity"]
