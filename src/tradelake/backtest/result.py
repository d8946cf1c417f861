"""What a backtest gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradelake.market.arrays import BarArrays, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Round trips from flat to flat as columns, oldest first.

    Attributes
    ----------
    entry_ns, exit_ns : IntArray
        Opens of the bars where the trip was opened and closed; a trip still open leaves at the
        last close.
    quantity : FloatArray
        Base units, negative for a short.
    entry_price, exit_price : FloatArray
        Average fill prices, slippage included.
    pnl : FloatArray
        Quote units, before fees.
    fees : FloatArray
        Quote units.
    is_open : array of bool
        True for the one trip that was valued at the last close instead of closed.
    """

    entry_ns: IntArray
    exit_ns: IntArray
    quantity: FloatArray
    entry_price: FloatArray
    exit_price: FloatArray
    pnl: FloatArray
    fees: FloatArray
    is_open: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.entry_ns.shape[0])

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """Columns by name, in order."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, eq=False)
class BacktestResult:
    """The account of one strategy on one symbol.

    Attributes
    ----------
    strategy, symbol, timeframe, snapshot_id : str
        What was run on what.
    parameters : mapping
        Every parameter in force.
    start_ns, end_ns : int
        Open of the first bar and close of the last.
    bars : BarArrays
        What it was run on.
    equity : FloatArray
        Cash plus position at the close of each bar, quote units.
    held_from : IntArray
        Bars from whose open on something else was held.
    held : FloatArray
        Base units held from there on.
    curve : FloatArray
        Sums of the equity curve, cells of :mod:`tradelake.backtest.curve`.
    trades : Trades
        Round trips; ``equity[-1] - cash == sum(pnl) - sum(fees)``.
    cash, fees, notional : float
        Start, and sums over fills, quote units.
    n_fills, n_rejects : int
        Orders filled, and targets that could not be followed (a short at a broker without
        shorting, a quantity of 0).
    realism : str
        What the fills assume.
    """

    strategy: str
    symbol: str
    timeframe: str
    snapshot_id: str
    parameters: Mapping[str, bool | int | float | str]
    start_ns: int
    end_ns: int
    bars: BarArrays
    equity: FloatArray
    held_from: IntArray
    held: FloatArray
    curve: FloatArray
    trades: Trades
    cash: float
    fees: float
    notional: float
    n_fills: int
    n_rejects: int
    realism: str

    @property
    def close_ns(self) -> IntArray:
        """Close of each bar: when ``equity`` is taken."""
        return self.bars.close_ns

    @property
    def positions(self) -> FloatArray:
        """Base units held at each close, shape (n,)."""
        bounds = np.concatenate(([0], self.held_from, [self.equity.shape[0]]))
        return np.repeat(np.concatenate(([0.0], self.held)), np.diff(bounds))

    def returns(self) -> FloatArray:
        """Simple return of each bar, shape (n,); the first is against the starting cash."""
        before = np.concatenate(([self.cash], self.equity[:-1]))
        changes = self.equity - before
        return np.divide(changes, before, out=changes)
