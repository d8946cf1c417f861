"""A result's tables as pandas DataFrames; pandas is loaded by those who ask only."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tradelake.backtest.figures import Figures
from tradelake.execution.layout import (
    CASH_UNIT,
    NONE,
    OrderType,
    Reason,
    Side,
    Sizing,
    Status,
    TimeInForce,
)

if TYPE_CHECKING:
    import pandas as pd


def trades(result: Figures) -> pd.DataFrame:
    """Return round trips; ``net`` is ``pnl`` less ``fees``."""
    import pandas as pd

    trips = result.trips
    return pd.DataFrame(
        {
            "symbol": _symbols(result, trips["symbol"]),
            "side": np.where(trips["quantity"] < 0.0, "short", "long"),
            "entry": _times(trips["entry_ns"]),
            "exit": _times(trips["exit_ns"]),
            "quantity": trips["quantity"],
            "entry_price": trips["entry_price"],
            "exit_price": trips["exit_price"],
            "pnl": trips["pnl"],
            "fees": trips["fees"],
            "net": trips["pnl"] - trips["fees"],
            "is_open": trips["is_open"],
        }
    )


def orders(result: Figures) -> pd.DataFrame:
    """Return every order; the index is its id, -1 stands for no parent and nothing replaced."""
    import pandas as pd

    rows = result.books.orders
    unit = _unit(result, rows["symbol"])
    filled = rows["filled"] * unit
    with np.errstate(invalid="ignore", divide="ignore"):
        average = np.where(rows["filled"] > 0, rows["value"] * CASH_UNIT / filled, np.nan)
    return pd.DataFrame(
        {
            "symbol": _symbols(result, rows["symbol"]),
            "side": _names(Side, rows["side"]),
            "type": _names(OrderType, rows["type"]),
            "tif": _names(TimeInForce, rows["tif"]),
            "sizing": _names(Sizing, rows["sizing"]),
            "amount": rows["amount"],
            "limit": rows["limit"],
            "stop": rows["stop"],
            "trail": rows["trail"],
            "status": _names(Status, rows["status"]),
            "reason": _names(Reason, rows["reason"]),
            "quantity": rows["quantity"] * unit,
            "filled": filled,
            "average_price": average,
            "submitted": _times(rows["submitted_ns"]),
            "arrives": _times(rows["arrives_ns"]),
            "ended": _times(rows["ended_ns"]),
            "parent": rows["parent"].astype(np.int64),
            "replaces": rows["replaces"].astype(np.int64),
        },
        index=pd.RangeIndex(len(rows), name="order"),
    )


def fills(result: Figures) -> pd.DataFrame:
    """Return every fill; ``fee`` counts ``fee_asset``, ``fee_value`` is its worth in cash."""
    import pandas as pd

    rows = result.books.fills
    unit = _unit(result, rows["symbol"])
    symbols = _symbols(result, rows["symbol"])
    in_base = rows["fee_in_base"] == 1
    bases = np.array([str(symbol).partition("/")[0] for symbol in symbols], dtype=object)
    return pd.DataFrame(
        {
            "ts": _times(rows["ts_ns"]),
            "order": rows["order"],
            "symbol": symbols,
            "side": _names(Side, rows["side"]),
            "quantity": rows["quantity"] * unit,
            "price": rows["price"],
            "value": rows["value"] * CASH_UNIT,
            "maker": rows["maker"] == 1,
            "fee": np.where(in_base, rows["fee"] * unit, rows["fee"] * CASH_UNIT),
            "fee_asset": np.where(in_base, bases, result.currency),
            "fee_value": rows["fee_value"] * CASH_UNIT,
            "realised": rows["realised"] * CASH_UNIT,
        }
    )


def equity(result: Figures) -> pd.DataFrame:
    """Return equity, cash and the worth of each symbol, quote units; the index is the instant.

    Of ticks the worth of symbols is not kept, so the one column is ``equity``.
    """
    import pandas as pd

    index = pd.DatetimeIndex(_times(result.clock_ns), name="ts")
    columns: dict[str, Any] = {"equity": result.equity_values}
    if result.data:
        held = result.held
        worth = np.where(held != 0.0, held * result.prices, 0.0)
        columns["cash"] = result.equity_values - worth.sum(axis=1)
        columns |= {symbol: worth[:, at] for at, symbol in enumerate(result.symbols)}
    return pd.DataFrame(columns, index=index)


def positions(result: Figures) -> pd.DataFrame:
    """Return base units by symbol; the index is the instant."""
    import pandas as pd

    index = pd.DatetimeIndex(_times(result.clock_ns), name="ts")
    return pd.DataFrame(result.held, index=index, columns=list(result.symbols))


def _symbols(result: Figures, numbers: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    names = np.array([*result.symbols, "unknown"], dtype=object)
    return names[np.where(numbers == NONE, len(result.symbols), numbers)]


def _unit(result: Figures, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    units = np.append(result.units, 1.0)
    return units[np.where(numbers == NONE, len(result.symbols), numbers)]


def _names(kind: type[IntEnum], codes: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    known = {int(one): one.name.lower() for one in kind}
    return np.array([known[code] for code in codes.tolist()], dtype=object)


def _times(stamps: npt.NDArray[Any]) -> pd.DatetimeIndex:
    """Return UTC times; what has not happened (:data:`NONE`) is NaT."""
    import pandas as pd

    times = stamps.astype("datetime64[ns]")
    times[stamps == NONE] = np.datetime64("NaT")
    return pd.DatetimeIndex(times, tz="UTC")
