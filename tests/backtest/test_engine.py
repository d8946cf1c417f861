"""The engine: reference run, refusals that name everything, and the market columns it stands on."""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tradelake.backtest import engine, metrics
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.library import make

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "engine.json").read_text())
DAY_NS = 86_400_000_000_000


def bars_of(close, symbol: str = "BTC/USD") -> BarArrays:
    close = np.asarray(close, dtype=np.float64)
    return BarArrays(
        symbol, "1d", np.arange(close.size) * DAY_NS, close, close, close, close, close * 0, "s1"
    )


@dataclass(frozen=True)
class Scripted:
    """Answers with the given targets."""

    targets: object
    name: str = "scripted"
    parameters: dict[str, float] = field(default_factory=dict)

    def signals(self, bars: BarArrays) -> FloatArray:
        if isinstance(self.targets, Exception):
            raise self.targets
        return np.asarray(self.targets, dtype=np.float64)


@pytest.fixture
def goog() -> BarArrays:
    found = importlib.util.find_spec("backtesting")
    if found is None or found.origin is None:
        pytest.skip("the reference library (backtesting 0.6.6) is not installed")
    with (Path(found.origin).parent / "test" / "GOOG.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    opens = [dt.datetime.fromisoformat(row[0]).replace(tzinfo=dt.UTC) for row in rows]
    numbers = np.array([row[1:6] for row in rows], dtype=np.float64).T
    ts = np.array([int(at.timestamp()) * 10**9 for at in opens])
    return BarArrays("GOOG/USD", "1d", ts, *numbers)


def test_engine_equals_the_reference_library_when_sma_crosses_on_goog(goog: BarArrays) -> None:
    strategy = make("sma_cross", {"fast": 10, "slow": 30, "below": -1.0})
    result = engine.run(
        goog,
        strategy,
        fee_bps=0.0,
        slippage_bps=0.0,
        allow_short=True,
        quantity_step=1.0,
        flat_at_end=True,
    )
    summary = metrics.summarise(result)
    assert len(goog) == GOLDEN["rows"]
    assert result.equity[-1] == pytest.approx(GOLDEN["final"], abs=0.005)
    assert summary.trades == GOLDEN["trades"]
    assert summary.max_drawdown == pytest.approx(GOLDEN["max_drawdown"], abs=1e-10)


def test_result_says_what_was_run_on_what_and_how() -> None:
    result = engine.run(bars_of([1, 2, 3]), make("buy_and_hold", {}))
    assert (result.strategy, result.symbol, result.snapshot_id) == ("buy_and_hold", "BTC/USD", "s1")
    assert (result.start_ns, result.end_ns) == (0, 3 * DAY_NS)
    assert "next open" in result.realism
    assert "received" in result.realism
    assert result.trades.entry_ns.tolist() == [DAY_NS]
    assert result.trades.exit_ns.tolist() == [3 * DAY_NS]
    assert set(result.trades.columns()) >= {"entry_ns", "pnl", "fees"}


def test_no_position_is_left_when_the_run_is_flat_at_its_end() -> None:
    result = engine.run(bars_of([1, 2, 3]), make("buy_and_hold", {}), flat_at_end=True)
    assert result.positions[-1] == 0.0
    assert not result.trades.is_open.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0001, -7.0])
def test_signal_is_refused_with_strategy_time_and_value_when_it_is_no_target(value: float) -> None:
    with pytest.raises(InvalidData) as caught:
        engine.run(bars_of([1, 2, 3, 4]), Scripted([0.0, 1.0, value, 0.0]))
    message = str(caught.value)
    assert caught.value.rule == "signal"
    assert all(part in message for part in ("scripted", "BTC/USD", str(value), str(3 * DAY_NS)))


def test_leading_nan_means_no_position_yet() -> None:
    result = engine.run(bars_of([1, 1, 1, 1]), Scripted([np.nan, np.nan, 1.0, 1.0]))
    assert np.count_nonzero(result.positions) == 1


def test_signals_are_refused_when_none_is_a_number() -> None:
    with pytest.raises(InvalidData, match="nan"):
        engine.run(bars_of([1, 2]), Scripted([np.nan, np.nan]))


def test_signals_are_refused_when_their_number_is_not_that_of_the_bars() -> None:
    with pytest.raises(InvalidData, match=r"scripted on BTC/USD.*\(2,\)"):
        engine.run(bars_of([1, 2, 3]), Scripted([0.0, 1.0]))


def test_failing_strategy_is_named_with_its_symbol_and_cause() -> None:
    with pytest.raises(
        InvalidData, match="scripted on BTC/USD 1d: ZeroDivisionError: oops"
    ) as caught:
        engine.run(bars_of([1, 2]), Scripted(ZeroDivisionError("oops")))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_backtest_is_refused_when_the_model_saw_its_bars() -> None:
    @dataclass(frozen=True)
    class Learned(Scripted):
        train_end_ns: int = DAY_NS

    with pytest.raises(ConfigError, match="trained on data up to"):
        engine.run(bars_of([1, 2, 3]), Learned([0, 0, 0]))
    later = bars_of([1, 2, 3]).take(1, 3)
    assert engine.run(later, Learned([0, 0])).equity.tolist() == [10_000.0, 10_000.0]


@pytest.mark.parametrize("size", [0, 1])
def test_backtest_is_refused_when_there_are_too_few_bars(size: int) -> None:
    with pytest.raises(InsufficientData, match="at least 2"):
        engine.run(bars_of(np.ones(size)), make("buy_and_hold", {}))


@pytest.mark.parametrize("cash", [0.0, -1.0, np.nan, np.inf])
def test_backtest_is_refused_when_cash_makes_no_sense(cash: float) -> None:
    with pytest.raises(ConfigError, match="cash"):
        engine.run(bars_of([1, 2]), make("buy_and_hold", {}), cash=cash)


@pytest.mark.data
def test_buy_and_hold_earns_the_market_less_one_fill_on_recorded_bars() -> None:
    folder = os.environ.get("TRADELAKE_DATA")
    if folder is None:
        pytest.skip("TRADELAKE_DATA names no folder of recorded market data")
    name = "bars_1d_binance_btcusdt_ethusdt_2017-08-17_2024-08-08.parquet"
    rows = pq.read_table(Path(folder) / name, filters=[("symbol", "=", "BTC/USDT")])
    columns = {
        column: rows[column].to_numpy() for column in rows.column_names if column != "symbol"
    }
    prices = (columns[column] for column in ("open", "high", "low", "close", "volume"))
    bars = BarArrays("BTC/USDT", "1d", columns["ts_ns"], *prices)
    result = engine.run(bars, make("buy_and_hold", {}), quantity_step=0.0)
    bought = 10_000.0 / (bars.open[1] * 1.0005) * (1.0 - 0.0025)
    # Holdings are counted in units of 1e-9: of 2.3 BTC that is 4e-10.
    assert result.equity[-1] == pytest.approx(bought * bars.close[-1], rel=1e-9)
    assert metrics.summarise(result).max_drawdown < -0.7
