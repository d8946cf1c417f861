"""What a simulation leaves: the account bar by bar, and the round trips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradelake.market.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class RoundTrips:
    """One row for each trip from flat to flat, in order.

    Adds and partial exits are averaged into it.

    Attributes
    ----------
    entry_bar, exit_bar : IntArray
        Bars at whose open the trip was opened and closed. A trip still open has the last bar.
    quantity : FloatArray
        Base units held in total, negative for a short.
    entry_price, exit_price : FloatArray
        Average prices, slippage included. A trip still open leaves at the last close.
    pnl : FloatArray
        Quote units, after slippage and before fees.
    fees : FloatArray
        Quote units; a fee taken in the base asset is valued at its fill.
    is_open : array of bool
        True for a trip that was marked at the last close rather than closed; the last row at most.
    """

    entry_bar: IntArray
    exit_bar: IntArray
    quantity: FloatArray
    entry_price: FloatArray
    exit_price: FloatArray
    pnl: FloatArray
    fees: FloatArray
    is_open: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.entry_bar.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """The account at the close of every bar, and totals.

    Attributes
    ----------
    equity : FloatArray
        Cash plus position at the bar's close, quote units.
    position : FloatArray
        Base units after the bar's open.
    trips : RoundTrips
        Round trips; equity[-1] = cash + sum(pnl) - sum(fees).
    fees, notional : float
        Sums over all fills, quote units.
    fills, rejects : int
        Orders filled; targets that could not be followed.
    """

    equity: FloatArray
    position: FloatArray
    trips: RoundTrips
    fees: float
    notional: float
    fills: int
    rejects: int
