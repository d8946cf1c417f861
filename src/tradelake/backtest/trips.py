"""Round trips from flat to flat, made of a run's fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradelake.execution.layout import CASH_UNIT, Side
from tradelake.market.arrays import FloatArray, IntArray

TRIP: Final = np.dtype(
    [
        ("symbol", np.int64),
        ("entry_ns", np.int64),
        ("exit_ns", np.int64),
        ("quantity", np.float64),  # base units in total; negative for a short
        ("entry_price", np.float64),  # averages, costs of the fills included
        ("exit_price", np.float64),
        ("pnl", np.float64),  # quote units, before fees
        ("fees", np.float64),  # quote units; a fee in base at its fill's price
        ("is_open", np.bool_),  # valued at the last price instead of closed
    ]
)
"""One round trip; adds and partial exits are averaged into it."""


@dataclass(slots=True)
class _Trip:
    symbol: int
    entry_ns: int
    side: int
    held: int = 0
    entered: float = 0.0
    entered_value: float = 0.0
    left: float = 0.0
    left_value: float = 0.0
    cash: float = 0.0
    fees: float = 0.0

    def row(self, exit_ns: int, *, is_open: bool) -> tuple[Any, ...]:
        return (
            self.symbol,
            self.entry_ns,
            exit_ns,
            self.side * self.entered,
            self.entered_value / self.entered if self.entered else np.nan,
            self.left_value / self.left if self.left else np.nan,
            self.cash + self.fees,
            self.fees,
            is_open,
        )


def round_trips(
    fills: npt.NDArray[Any],
    units: FloatArray,
    names: IntArray,
    last_prices: FloatArray,
    end_ns: int,
) -> npt.NDArray[Any]:
    """Return :data:`TRIP` rows, in the order in which the trips ended; open ones come last.

    Parameters
    ----------
    fills : FILL rows
        In order of happening; one that crosses flat is two rows.
    units : FloatArray, shape (k,)
        Base units in one unit of each symbol.
    names : IntArray, shape (k,)
        The symbol as which each ends: another one where it was renamed.
    last_prices : FloatArray, shape (k,)
        Of what is still held.
    end_ns : int
        When that was taken.
    """
    rows: list[tuple[Any, ...]] = []
    trips: dict[int, _Trip] = {}
    wanted = ("symbol", "side", "ts_ns", "quantity", "value", "fee", "fee_in_base", "fee_value")
    for given, side, ts_ns, quantity, value, fee, in_base, fee_value in zip(
        *(fills[name].tolist() for name in wanted), strict=True
    ):
        symbol = int(names[given])
        unit = float(units[symbol])
        trip = trips.get(symbol)
        if trip is None:
            trip = trips[symbol] = _Trip(symbol, ts_ns, side)
        moved = quantity - (fee if in_base and side == Side.BUY else 0)
        trip.held += side * moved
        if side == trip.side:
            trip.entered += moved * unit
            trip.entered_value += value * CASH_UNIT * (moved / quantity)
        else:
            trip.left += moved * unit
            trip.left_value += value * CASH_UNIT * (moved / quantity)
        trip.fees += fee_value * CASH_UNIT
        trip.cash -= side * value * CASH_UNIT + (0.0 if in_base else fee * CASH_UNIT)
        if trip.held == 0:
            rows.append(trips.pop(symbol).row(ts_ns, is_open=False))
    for symbol, trip in trips.items():
        worth = trip.held * float(units[symbol]) * float(last_prices[symbol])
        trip.left += abs(trip.held) * float(units[symbol])
        trip.left_value += abs(worth)
        trip.cash += worth
        rows.append(trip.row(end_ns, is_open=True))
    return np.array(rows, dtype=TRIP)
