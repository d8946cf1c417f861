"""Many combinations of one strategy over the same bars, each in a single compiled pass.

A pass goes through the bars in blocks that stay in the cache: the strategy's kernel
(:mod:`tradelake.backtest.kernels`) says the block's targets, the matching core fills where they
change, and the sums of the equity curve are kept as it is made
(:mod:`tradelake.backtest.measures`). Nothing of a combination outlives its pass but its summary, so
memory grows with threads, not with combinations. Passes release the GIL and run in threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from tradelake.backtest import curve as curves
from tradelake.backtest import measures
from tradelake.backtest.kernels import BLOCK, Columns, Kernel, columns_of
from tradelake.execution import step as core
from tradelake.execution.compiled import compiled
from tradelake.execution.rules import Rules
from tradelake.market.arrays import BarArrays, FloatArray

# Cells of a tally.
TRADES, WINS = range(2)
_KEPT: Final = 4


@dataclass(frozen=True, slots=True)
class Pass:
    """What a combination leaves.

    Attributes
    ----------
    curve : FloatArray
        Cells of :mod:`tradelake.backtest.curve`.
    cash, fees, notional : float
        Start and sums, quote units.
    trades, wins : int
        Closed round trips, and those with a profit after fees.
    n_fills, n_rejects : int
        As in a result.
    """

    curve: FloatArray
    cash: float
    fees: float
    notional: float
    trades: int
    wins: int
    n_fills: int
    n_rejects: int


@compiled
def _account(
    columns: Columns,
    targets: FloatArray,
    first: int,
    last: int,
    flat_from: int,
    costs: tuple[float, float, float, bool],
    account: FloatArray,
    trips: FloatArray,
    tally: FloatArray,
    curve: FloatArray,
) -> None:
    """Follow the targets decided at bars ``first - 1`` to ``last - 2`` on the bars after them."""
    open_, close = columns[0], columns[3]
    fee, slippage, quantity_step, allow_short = costs
    bar = first
    while bar < last:
        target = targets[bar - first] if bar < flat_from else 0.0
        if target != account[core.TARGET] or account[core.QUANTITY] < 0.0:
            core.step(
                account,
                trips,
                bar,
                open_[bar],
                target,
                fee,
                slippage,
                quantity_step,
                allow_short,
            )
            for row in range(int(account[core.TRIPS])):
                tally[TRADES] += 1.0
                tally[WINS] += trips[row, 5] - trips[row, 6] > 0.0
            account[core.TRIPS] = 0.0
        after = bar + 1
        if account[core.QUANTITY] >= 0.0:
            while after < min(last, flat_from) and targets[after - first] == target:
                after += 1
        measures.hold(curve, close, bar, after, account[core.CASH], account[core.QUANTITY])
        bar = after


def one_pass(
    columns: Columns,
    shared: FloatArray,
    kernel: Kernel,
    parameters: FloatArray,
    cash: float,
    rules: Rules,
    *,
    flat_at_end: bool = False,
) -> Pass:
    """Return what a combination leaves of its account after all bars.

    Parameters
    ----------
    columns : Columns
        At least two bars.
    shared : FloatArray
        What ``kernel.shared`` made of them.
    kernel, parameters
        The strategy and its values.
    cash, rules, flat_at_end
        As in :func:`tradelake.backtest.engine.run`.
    """
    size = columns[3].shape[0]
    state, targets = np.zeros(kernel.state), np.empty(min(BLOCK, size))
    account, curve, tally = np.zeros(core.CELLS), curves.start(cash), np.zeros(2)
    trips = np.empty((_KEPT, core.COLUMNS))
    account[core.CASH] = cash
    measures.hold(curve, columns[3], 0, 1, cash, 0.0)
    costs = (rules.fee, rules.slippage, float(rules.quantity_step), rules.allow_short)
    flat_from = size - 1 if flat_at_end else size
    for first in range(0, size - 1, BLOCK):
        last = min(first + BLOCK, size - 1)
        kernel.fill(columns, shared, parameters, state, first, last, targets)
        _account(
            columns,
            targets,
            first + 1,
            last + 1,
            flat_from,
            costs,
            account,
            trips,
            tally,
            curve,
        )
    return Pass(
        curve,
        cash,
        float(account[core.FEES]),
        float(account[core.NOTIONAL]),
        int(tally[TRADES]),
        int(tally[WINS]),
        int(account[core.FILLS]),
        int(account[core.REJECTS]),
    )


def passes(
    bars: BarArrays,
    kernel: Kernel,
    combinations: Sequence[FloatArray],
    cash: float,
    rules: Rules,
    *,
    flat_at_end: bool = False,
    threads: int = 1,
) -> list[Pass]:
    """Return what each combination leaves, in order; see :func:`one_pass`."""
    columns = columns_of(bars)
    shared = kernel.shared(columns)

    def run(parameters: FloatArray) -> Pass:
        return one_pass(columns, shared, kernel, parameters, cash, rules, flat_at_end=flat_at_end)

    if threads == 1 or len(combinations) < 2:
        return [run(parameters) for parameters in combinations]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, combinations))
