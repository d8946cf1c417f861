"""A run's memory as compiled functions see it; :mod:`tradelake.execution.handles` says how."""

from __future__ import annotations

from typing import Final, NamedTuple, get_type_hints

import numpy as np

from tradelake.execution import handles
from tradelake.execution.handles import Handle
from tradelake.execution.layout import ACCOUNT, FILL, ORDER, POSITION
from tradelake.execution.markets import MARKET
from tradelake.execution.state import BAR, COUNTERS, SYMBOL, WINDOW, Rows
from tradelake.execution.terms import INSTRUMENT, Terms
from tradelake.market.arrays import FloatArray
from tradelake.market.tape import TICK


class Loaded(NamedTuple):
    """The bars a machine matches, and where equity is written; either may be empty."""

    bars: Rows
    equity: FloatArray


STATE: Final = Handle(
    "State",
    {
        "account": (ACCOUNT, 1),
        "positions": (POSITION, 1),
        "symbols": (SYMBOL, 1),
        "orders": (ORDER, 1),
        "fills": (FILL, 1),
        "counters": (COUNTERS, 1),
        "live": (np.int32, 1),
        "sent": (np.int32, 1),
        "notional": (np.int64, 1),
        "instruments": (INSTRUMENT, 1),
        "windows": (WINDOW, 1),
    },
)
_ARRAYS: Final = {"tiers": (np.float64, 2), "latency": (np.int64, 2)}
TERMS: Final = Handle(
    "Terms", {name: _ARRAYS.get(name, kind) for name, kind in get_type_hints(Terms).items()}
)
BOOKS: Final = Handle(
    "Books",
    {
        "keys": (np.float64, 3),
        "sizes": (np.float64, 3),
        "traded": (np.float64, 3),
        "taken": (np.float64, 3),
        "counts": (np.int64, 2),
        "dropped": (np.int64, 1),
    },
)
MARKETS: Final = Handle(
    "Market", {"rows": (MARKET, 1), "books": BOOKS, "tape": (TICK, 1), "resting": (np.int8, 1)}
)
LOADED: Final = Handle("Loaded", {"bars": (BAR, 1), "equity": (np.float64, 1)})

state_at = handles.at(STATE)
terms_at = handles.at(TERMS)
market_at = handles.at(MARKETS)
loaded_at = handles.at(LOADED)
