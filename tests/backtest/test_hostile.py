"""Strategies that mean harm, by mistake or not: the run holds and gives nothing away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backtest.test_session import MINUTE_NS, PLAIN, START_NS, Scripted, walk
from tradelake.backtest.limits import Limits
from tradelake.backtest.session import run
from tradelake.errors import ConfigError
from tradelake.execution.layout import OrderType, Status, TimeInForce
from tradelake.market.arrays import BarArrays


def flat(price: float, size: int = 6, *, reach: float = 0.0, volume: float = 1e9) -> BarArrays:
    prices = np.full(size, price)
    ts_ns = START_NS + np.arange(size) * MINUTE_NS
    high, low = prices * (1.0 + reach), prices * (1.0 - reach)
    return BarArrays("BTC/USD", "1m", ts_ns, prices, high, low, prices, np.full(size, volume))


def once(act):
    """Return a callback that acts at its first bar."""
    done = []

    def bar(ctx):
        if not done:
            done.append(1)
            act(ctx)

    return bar


MANY_FILLS = """
from tests.backtest.test_hostile import *
from tradelake.execution.broker import BrokerRules, flat_fee
from tradelake.execution.costs import Costs, PartialFills, Participation

def act(ctx):
    ctx.sell(ctx.symbol, 3.0)
    for _ in range(400):
        ctx.buy(ctx.symbol, 8.0, limit=101.0, stop_exit=105.0, target_exit=95.0)

rules = BrokerRules("plain", fees=flat_fee(25.0), allow_short=True)
costs = Costs(partial_fills=PartialFills(1.0), participation=Participation(0.0))
left = run(flat(100.0, reach=0.1), Scripted(bar=once(act)), broker=rules, cash=1e9, costs=costs)
print(len(left.books.fills))
"""


def test_there_is_room_for_all_fills_of_a_bar_when_hundreds_of_brackets_fill_in_parts(
    tmp_path: Path,
) -> None:
    # Looked at with the compiler's own check of every index.
    code = f"import os; os.environ['NUMBA_BOUNDSCHECK'] = '1'\n{MANY_FILLS}"
    env = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr[-2_000:]
    assert int(told.stdout) > 800


@pytest.mark.parametrize("amount", [3_000.0, 123_456.789, 1e6])
def test_what_is_held_can_be_sold_whole_when_it_is_much(amount: float) -> None:
    def bar(ctx):
        if ctx.held:
            ctx.sell(ctx.symbol, ctx.held)
        elif not ctx.orders:
            ctx.buy(ctx.symbol, amount)

    left = run(flat(50.0, volume=1e12), Scripted(bar=bar), broker=PLAIN, cash=1e9)
    assert left.rejects == {}
    assert left.books.fills["quantity"][0] == round(amount / float(left.units[0]))
    assert left.books.positions["quantity"][0] == 0 or left.books.fills["side"][-1] == 1


def test_a_brackets_entry_keeps_its_time_in_force_and_its_trail() -> None:
    def act(ctx):
        ctx.buy(ctx.symbol, 1.0, limit=95.0, tif=TimeInForce.IOC, stop_exit=80.0)
        ctx.buy(ctx.symbol, 1.0, trail=0.5, stop_exit=80.0)

    orders = run(flat(100.0), Scripted(bar=once(act)), broker=PLAIN).books.orders
    entries = orders[orders["parent"] < 0]
    assert entries["status"].tolist() == [Status.CANCELLED, Status.WORKING]
    assert entries["type"].tolist() == [OrderType.LIMIT, OrderType.TRAILING_STOP]


def test_nothing_of_the_future_is_seen_when_a_strategy_sets_the_clock() -> None:
    seen = []

    def bar(ctx):
        before, ctx.now_ns = ctx.now_ns, 2**62
        seen.append(len(ctx.history(ctx.symbol, 10**6).close))
        ctx.now_ns = before

    run(walk(50), Scripted(bar=bar), broker=PLAIN)
    assert seen == list(range(1, 51))


def test_nothing_of_the_future_lies_behind_the_arrays_a_strategy_is_given() -> None:
    bars, seen = walk(50), []

    def bar(ctx):
        for given in (*ctx.history(ctx.symbol, 5), ctx.bars(ctx.symbol).close):
            owner = given
            while owner.base is not None:
                owner = owner.base
            seen.append(np.count_nonzero(owner[len(seen) // 7 + 1 :]))

    run(bars, Scripted(bar=bar), broker=PLAIN)
    assert len(seen) == 350
    assert not any(seen)


def test_the_results_data_stays_as_it_was_when_a_strategy_writes_into_history() -> None:
    bars = walk(50)
    close = bars.close.copy()

    def bar(ctx):
        owner = ctx.history(ctx.symbol, 5).close
        while owner.base is not None:
            owner = owner.base
        owner.flags.writeable = True
        owner[:] = 1e6

    left = run(bars, Scripted(bar=bar), broker=PLAIN, screened=())
    np.testing.assert_array_equal(left.data[0].close, close)
    np.testing.assert_array_equal(bars.close, close)


def test_a_short_target_counts_as_a_reject_when_shorts_are_not_allowed() -> None:
    act = once(lambda ctx: ctx.target(ctx.symbol, -1.0))
    assert run(flat(100.0), Scripted(bar=act), broker=PLAIN).rejects == {"insufficient_quantity": 1}


@pytest.mark.parametrize("volume", [1e12, 1e30])
def test_orders_fill_when_the_share_of_a_volume_is_more_than_can_be_counted(volume) -> None:
    act = once(lambda ctx: ctx.buy(ctx.symbol, 1.0))
    left = run(flat(100.0, volume=volume), Scripted(bar=act), broker=PLAIN)
    assert len(left.books.fills) == 1


def test_the_compilers_seconds_are_not_the_strategys(tmp_path: Path) -> None:
    code = (
        "from tests.backtest.test_hostile import *\n"
        "from tradelake.backtest.limits import Limits\n"
        "act = once(lambda ctx: ctx.buy(ctx.symbol, 1.0))\n"
        "run(flat(100.0), Scripted(bar=act), broker=PLAIN, limits=Limits(seconds=2.0))\n"
    )
    env = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr[-2_000:]


def test_turnover_is_right_when_more_was_traded_than_fits_63_bits() -> None:
    def bar(ctx):
        ctx.target(ctx.symbol, 0.0 if ctx.held else 1.0)

    wide = run(flat(100.0, 60, volume=1e12), Scripted(bar=bar), broker="ideal", cash=2e10)
    traded = wide.books.fills["value"].astype(float).sum()
    assert traded > 2.0**63
    assert wide.books.account["turnover"][0] == pytest.approx(traded, rel=1e-12)
    assert wide.books.positions["turnover"][0] == pytest.approx(traded, rel=1e-12)


@pytest.mark.parametrize("orders", [1.5, np.inf, True, 0, np.float64(3), "4", None])
def test_a_limit_of_orders_is_a_whole_number(orders) -> None:
    with pytest.raises(ConfigError, match="orders"):
        Limits(orders=orders)


@pytest.mark.parametrize("seconds", ["5", None, True, np.nan, 0, -1.0, 1j])
def test_a_limit_of_seconds_is_a_positive_number(seconds) -> None:
    with pytest.raises(ConfigError, match=r"limits.seconds: .*; found"):
        Limits(seconds=seconds)


def test_limits_take_numbers_of_numpy() -> None:
    assert Limits(np.float64(3.0), np.int64(4)) == Limits(3.0, 4)


def test_a_run_goes_on_when_its_limit_is_further_than_a_clock_counts() -> None:
    assert len(run(flat(100.0), Scripted(), broker=PLAIN, limits=Limits(seconds=1e300)).equity) == 6
