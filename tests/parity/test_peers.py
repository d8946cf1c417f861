"""The same strategy on the same recorded hours in other engines: trade for trade.

``TRADELAKE_PEERS`` names an interpreter that has backtesting 0.6.6 and vectorbt 1.2; they are no
requirement of this package. What differs and why: ``docs/explanation/parity.md``.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tradelake.backtest import engine, metrics
from tradelake.market.arrays import BarArrays
from tradelake.market.resample import resample
from tradelake.strategies.library import make

RECORDED = "bars_1m_binance_btcusdt_2022-01-01_2024-08-08.parquet"
COLUMNS = ("open", "high", "low", "close", "volume")
FAST, SLOW, CASH = 20, 100, 1e6
FEE, SLIPPAGE = 0.0025, 0.0005
COSTS = ((0.0, 0.0), (FEE, 0.0), (FEE, SLIPPAGE))
YEAR_2023 = (1_672_531_200_000_000_000, 1_704_067_200_000_000_000)

pytestmark = [pytest.mark.data, pytest.mark.slow]


@dataclass(frozen=True)
class Told:
    """Closed trades and the end of a run."""

    entry_bar: list[int]
    exit_bar: list[int]
    entry_price: np.ndarray
    exit_price: np.ndarray
    size: np.ndarray
    final: float
    max_drawdown: float


@pytest.fixture(scope="module")
def hours() -> BarArrays:
    folder = os.environ.get("TRADELAKE_DATA")
    if folder is None:
        pytest.skip("TRADELAKE_DATA names no folder of recorded market data")
    rows = pq.read_table(Path(folder) / RECORDED, columns=["ts_ns", *COLUMNS])
    minutes = BarArrays("BTC/USDT", "1m", *(rows[name].to_numpy() for name in rows.column_names))
    return resample(minutes, "1h").slice(*YEAR_2023)


@pytest.fixture(scope="module")
def peer(hours: BarArrays, tmp_path_factory: pytest.TempPathFactory):
    python = os.environ.get("TRADELAKE_PEERS")
    if python is None:
        pytest.skip("TRADELAKE_PEERS names no interpreter with backtesting and vectorbt")
    folder = tmp_path_factory.mktemp("parity")
    arrays = {name: getattr(hours, name) for name in COLUMNS}
    np.savez(folder / "arrays.npz", ts_ns=hours.ts_event_ns, **arrays)
    program = Path(__file__).with_name("peers.py")

    numbers = map(str, (FAST, SLOW, CASH, *(f"{fee}:{slip}" for fee, slip in COSTS)))
    given = (str(folder / "arrays.npz"), str(folder / "out.json"), *numbers)

    @functools.cache
    def told(name: str) -> dict[str, dict[str, Any]]:
        subprocess.run([python, str(program), name, *given], check=True)
        found: dict[str, dict[str, Any]] = json.loads((folder / "out.json").read_text())
        return found

    def run(name: str, fee: float, slippage: float) -> Told:
        found = told(name)[f"{fee}:{slippage}"]
        prices = (np.array(found[key]) for key in ("entry_price", "exit_price", "size"))
        ends = found["final"], found["max_drawdown"]
        return Told(found["entry_bar"], found["exit_bar"], *prices, *ends)

    return run


def ours(hours: BarArrays, fee: float, slippage: float) -> tuple[Told, int]:
    """The closed trades, and how often the account bought."""
    result = engine.run(
        hours,
        make("sma_cross", {"fast": FAST, "slow": SLOW}),
        cash=CASH,
        fee_bps=fee * 1e4,
        slippage_bps=slippage * 1e4,
    )
    trades, closed = result.trades, ~result.trades.is_open
    opens = hours.ts_event_ns
    told = Told(
        np.searchsorted(opens, trades.entry_ns)[closed].tolist(),
        np.searchsorted(opens, trades.exit_ns)[closed].tolist(),
        trades.entry_price[closed],
        trades.exit_price[closed],
        trades.quantity[closed],
        float(result.equity[-1]),
        metrics.summarise(result).max_drawdown,
    )
    return told, len(trades)


@pytest.mark.parametrize("name", ["backtesting", "vectorbt"])
def test_trades_are_those_of_the_peer_when_nothing_costs(hours: BarArrays, peer, name: str) -> None:
    (mine, _), theirs = ours(hours, 0.0, 0.0), peer(name, 0.0, 0.0)
    assert len(mine.entry_bar) > 50
    assert (mine.entry_bar, mine.exit_bar) == (theirs.entry_bar, theirs.exit_bar)
    assert mine.entry_price == pytest.approx(theirs.entry_price, rel=1e-12)
    assert mine.exit_price == pytest.approx(theirs.exit_price, rel=1e-12)
    assert mine.size == pytest.approx(theirs.size, rel=1e-8)  # theirs are whole 1e-8 or any float
    assert mine.final == pytest.approx(theirs.final, rel=1e-9)
    assert mine.max_drawdown == pytest.approx(theirs.max_drawdown, rel=1e-9)


@pytest.mark.parametrize("name", ["backtesting", "vectorbt"])
def test_size_differs_by_the_asset_of_the_fee_alone_when_there_is_one(
    hours: BarArrays, peer, name: str
) -> None:
    (mine, buys), theirs = ours(hours, FEE, 0.0), peer(name, FEE, 0.0)
    assert (mine.entry_bar, mine.exit_bar) == (theirs.entry_bar, theirs.exit_bar)
    assert mine.exit_price == pytest.approx(theirs.exit_price, rel=1e-12)
    # of cash C a buy at P leaves C/P (1-f) here, where the fee is taken in the base asset, and
    # C/P / (1+f) there, where it is paid in cash on top: 1/(1-f^2) times as much, each time
    times = np.arange(1, mine.size.size + 1)
    assert theirs.size == pytest.approx(mine.size * (1.0 - FEE**2) ** -times, rel=1e-8)
    assert theirs.final == pytest.approx(mine.final * (1.0 - FEE**2) ** -buys, rel=1e-8)


def test_slippage_is_that_of_vectorbt_on_both_sides(hours: BarArrays, peer) -> None:
    (mine, buys), theirs = ours(hours, FEE, SLIPPAGE), peer("vectorbt", FEE, SLIPPAGE)
    assert (mine.entry_bar, mine.exit_bar) == (theirs.entry_bar, theirs.exit_bar)
    assert mine.entry_price == pytest.approx(theirs.entry_price, rel=1e-12)
    assert mine.exit_price == pytest.approx(theirs.exit_price, rel=1e-12)
    assert theirs.final == pytest.approx(mine.final * (1.0 - FEE**2) ** -buys, rel=1e-8)


def test_slippage_of_backtesting_is_missing_on_exits(hours: BarArrays, peer) -> None:
    (mine, buys), theirs = ours(hours, FEE, SLIPPAGE), peer("backtesting", FEE, SLIPPAGE)
    assert (mine.entry_bar, mine.exit_bar) == (theirs.entry_bar, theirs.exit_bar)
    assert mine.entry_price == pytest.approx(theirs.entry_price, rel=1e-12)
    assert mine.exit_price == pytest.approx(theirs.exit_price * (1.0 - SLIPPAGE), rel=1e-12)
    more = (1.0 - FEE**2) ** -buys * (1.0 - SLIPPAGE) ** -len(mine.exit_bar)
    # it sizes with the fee of the price without the spread and books that of the price with it
    assert theirs.final == pytest.approx(mine.final * more, rel=FEE * SLIPPAGE)
