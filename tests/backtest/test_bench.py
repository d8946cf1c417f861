"""The engine's work units do the same as the floors that they are measured against."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench import engine_events as events
from bench import engine_floor as floor
from bench import engine_ladder as ladder
from bench import engine_works as works
from tradelake.execution.tick_machine import TickMachine


@pytest.fixture(scope="module")
def market() -> works.Market:
    return works.market(30_000)


def test_engine_trades_as_often_and_falls_as_far_as_its_floor(market: works.Market) -> None:
    found, (trades, sharpe, worst) = works.one(market.bars()), works.one_floor(market)
    assert found.trades == trades > 100
    assert found.max_drawdown == pytest.approx(worst, abs=1e-4)
    assert found.sharpe == pytest.approx(sharpe, rel=1e-2)


def test_sweep_and_both_floors_agree_on_every_combination(market: works.Market) -> None:
    pairs = works.grid(5)
    full, skipped = np.empty((5, 3)), np.empty((5, 3))
    floor.combinations(market.open, market.close, pairs, 0, 1, full)
    floor.skipping(market.open, market.close, floor.prefixes(market.close), pairs, 0, 1, skipped)
    swept = works.sweep(market.bars(), pairs)
    assert [one.trades for one in swept] == full[:, 0].tolist() == skipped[:, 0].tolist()
    assert [one.sharpe for one in swept] == pytest.approx(full[:, 1].tolist(), rel=1e-2)
    assert skipped[:, 1] == pytest.approx(full[:, 1], rel=1e-6)


def test_works_take_turns_and_give_seconds() -> None:
    calls: list[str] = []
    found = works.turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert all(math.isfinite(seconds) for seconds in found.values())


def test_compiled_brackets_have_the_fills_and_cash_of_those_called_back(
    market: works.Market,
) -> None:
    assert events.same_trades(market.bars()) > 100


@pytest.mark.parametrize(
    ("count", "moving", "fills"), [(20_000, 1.0, 10), (400_000, events.MOVING, 20)]
)
def test_the_maker_fills_as_often_and_gains_what_its_floor_does(
    count: int, moving: float, fills: int
) -> None:
    given = events.ticks(count, moving)
    tape = events.tape_of(given)
    assert len(tape) == count
    assert events.same_makes(given, tape) > fills


def moves(bid: np.ndarray, ask: np.ndarray) -> Any:
    return np.abs(np.diff((bid + ask) / 2.0)) > 1e-9


def test_one_quote_in_ten_moves_the_mid_of_the_ticks_that_a_maker_is_timed_on() -> None:
    kind, bid, ask, sizes, _ = events.ticks(100_000, events.MOVING)
    shown = kind == 0
    assert moves(bid[shown], ask[shown]).mean() == pytest.approx(0.10, abs=0.005)
    assert (np.diff(sizes[shown]) != 0.0).all()
    assert moves(*(prices[shown] for prices in events.ticks(100_000)[1:3])).mean() > 0.99


def test_one_recorded_quote_in_ten_moves_the_mid() -> None:
    folder = os.environ.get("TRADELAKE_DATA")
    if folder is None:
        pytest.skip("TRADELAKE_DATA names no folder of recorded market data")
    name = "quotes_binance_spot_btcusdt_ethusdt_2024-08-08_2354_2359.parquet"
    table = pq.read_table(Path(folder) / name)
    moved = []
    for symbol in table["symbol"].unique():
        quotes = table.filter(pc.equal(table["symbol"], symbol))
        moved.append(moves(quotes["bid"].to_numpy(), quotes["ask"].to_numpy()))
    assert np.concatenate(moved).mean() == pytest.approx(0.096, abs=0.001)


def test_a_maker_without_room_to_buy_sends_nothing() -> None:
    machine = events.make_market(events.tape_of(events.ticks(2_000)), 0.0, floor.TICK)
    assert len(machine.orders) == 0


def test_every_rung_of_the_ladder_trades_about_as_often() -> None:
    given = ladder.inputs_of(6_000)
    assert {len(inputs) for inputs in given.values()} <= set(range(6_000, 6_004))
    fills = {
        name: len(ladder.climb(rung, costs, given[rung]).fills)
        for name, (rung, costs) in ladder.LADDER.items()
    }
    assert min(fills.values()) > 10, fills
    assert max(fills.values()) < 20 * min(fills.values()), fills


def test_the_book_of_the_ladder_is_never_crossed() -> None:
    machine = ladder.climb(*ladder.LADDER["rung4"], ladder.book_tape(6_000))
    assert isinstance(machine, TickMachine)
    assert machine.crossed("BTC/USD") == 0
