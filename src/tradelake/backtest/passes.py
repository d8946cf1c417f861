"""Many combinations of one strategy over the same bars, each in a single compiled pass.

A pass goes through the bars in blocks that stay in the cache: the strategy's kernel
(:mod:`tradelake.backtest.kernels`) says the block's targets, and an account walks through them
(:mod:`tradelake.backtest.walk`). Nothing of a combination outlives its pass but its summary, so
memory grows with threads, not with combinations. Passes release the GIL and run in threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tradelake.backtest.kernels import Columns, Kernel, columns_of
from tradelake.backtest.walk import Start, Walk
from tradelake.execution.layout import CASH_UNITS
from tradelake.execution.rules import Rules
from tradelake.market.arrays import BarArrays, FloatArray


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


def _one_pass(
    columns: Columns,
    shared: FloatArray,
    kernel: Kernel,
    parameters: FloatArray,
    start: Start,
    flat_from: int,
) -> Pass:
    """Return what a combination leaves of its account after all bars."""
    walked = Walk(start, kept=False, flat_from=flat_from)
    for targets, first, last in kernel.blocks(columns, shared, parameters):
        walked.follow(targets, first, last)
    account = walked.account
    return Pass(
        walked.curve,
        start.cash,
        float(account["fees_value"]) / CASH_UNITS,
        float(account["turnover"]) / CASH_UNITS,
        walked.trades,
        walked.wins,
        int(account["fills"]),
        int(account["rejects"]),
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
    """Return what each combination leaves of its account after all bars, in order.

    Parameters
    ----------
    bars : BarArrays
        At least two.
    kernel, combinations
        The strategy, and values of its parameters.
    cash, rules, flat_at_end
        As in :func:`tradelake.backtest.engine.run`.
    threads : int
        Over which combinations are spread.
    """
    columns = columns_of(bars)
    shared, start = kernel.shared(columns), Start.of(bars.open, bars.close, cash, rules)
    flat_from = len(bars) - 1 if flat_at_end else len(bars)

    def run(parameters: FloatArray) -> Pass:
        return _one_pass(columns, shared, kernel, parameters, start, flat_from)

    if threads == 1 or len(combinations) < 2:
        return [run(parameters) for parameters in combinations]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, combinations))
