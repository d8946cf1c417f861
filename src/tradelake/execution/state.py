"""The memory of a run: what compiled functions read and write, and Python makes, grows and reads.

Arrays have capacity; counts say how much of them is in use. Python grows what is nearly full
*before* an input is matched (:func:`tradelake.execution.core.has_room`), so that no compiled
function meets a full array.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias, get_type_hints

import numpy as np
import numpy.typing as npt

from tradelake.execution.layout import ACCOUNT, FILL, NONE, ORDER, POSITION
from tradelake.execution.terms import INSTRUMENT, Terms
from tradelake.market.arrays import IntArray

Rows: TypeAlias = npt.NDArray[Any]
"""A structured array: one record a row."""
Record: TypeAlias = Any
"""One row of a structured array: fields are attributes in compiled code."""

NEVER: Final = np.iinfo(np.int64).max
DAY_NS: Final = 86_400_000_000_000
TIER_DAYS: Final = 30
DAYS: Final = TIER_DAYS + 2
BRACKET: Final = 3
"""Orders that an entry on its way may be: itself, a stop and a target."""

COUNTERS: Final = np.dtype(
    [
        ("orders", np.int64),
        ("fills", np.int64),
        ("live", np.int64),
        ("sent", np.int64),
        ("changes", np.int64),  # fills, rejects and ends so far: what a strategy can see
        ("next_ns", np.int64),  # first instant at which an order or a cancel may arrive
        ("dated_ns", np.int64),  # first instant at which an instrument's terms change
        ("day", np.int64),  # UTC day of the fee tier: the newest, or the one before it
        ("newest_day", np.int64),
        ("event", np.int64),  # row of the input at work
        ("inside", np.int64),  # 1: past the open of the bar at work
        ("stale", np.int64),  # 1: the bands of the symbols must be drawn anew
        ("untidy", np.int64),  # 1: in `live` an order has ended, or works from the next input on
        ("exits", np.int64),  # sent so far; without any no order depends on another
        ("maker", np.float64),
        ("taker", np.float64),
    ]
)
SYMBOL: Final = np.dtype(
    [
        ("row", np.int64),  # of the instruments, in force
        ("end", np.int64),  # one past its last row
        ("trading", np.int64),
        ("renamed_to", np.int64),
        ("increment", np.int64),
        ("minimum", np.int64),
        ("minimum_value", np.int64),
        ("room", np.int64),  # units that may still fill in this bar
        ("done", np.int64),  # units filled in this bar
        ("tick", np.float64),
        ("below", np.float64),  # a bar whose low is above, and
        ("above", np.float64),  # whose high is below this, touches no working order
        ("permanent", np.float64),  # impact, a fraction
        ("permanent_ns", np.int64),
        ("volatility", np.float64),  # of the window before this input; NaN: not taken yet
        ("volume", np.float64),  # mean of the window
        ("bar_volume", np.float64),
    ]
)
BAR: Final = np.dtype(
    [
        ("open_ns", np.int64),
        ("low", np.float64),
        ("high", np.float64),
        ("symbol", np.int64),
        ("open", np.float64),
        ("close", np.float64),
        ("volume", np.float64),
        ("close_ns", np.int64),
        ("row", np.int64),  # of its symbol
        ("previous", np.int64),  # bar of the same symbol, or NONE
    ]
)
"""Bars of all symbols in the order in which they are known: by close, then symbol."""


WINDOW: Final = np.dtype([("volume", np.float64), ("volatility", np.float64)])
"""Mean volume and deviation of the log returns of the newest bars, or trades, of a symbol (C2)."""


class State(NamedTuple):
    """Account, orders and fills, and where the venue is.

    ``live`` holds the rows of orders at the venue in order of arrival, ``sent`` of those on their
    way; a cancel is its order's ``cancel_ns``. ``notional`` is the value filled by UTC day, cash
    units, day ``d`` in slot ``d % DAYS``. ``windows`` has a row for each input that is held, the
    window that ends with it; none where nothing looks back.
    """

    account: Rows
    positions: Rows
    symbols: Rows
    orders: Rows
    fills: Rows
    counters: Rows
    live: Rows
    sent: Rows
    notional: IntArray
    instruments: Rows
    windows: Rows


_KINDS: Final = get_type_hints(Terms)


def new_state(instruments: Rows, cash: int, capacity: int = 256) -> State:
    """Return the state of an account that has only cash.

    Parameters
    ----------
    instruments : Rows
        :data:`~tradelake.execution.terms.INSTRUMENT` rows sorted by symbol, then instant; every
        symbol from 0 on has one at least.
    cash : int
        Cash units.
    capacity : int
        Orders and fills for which there is room at first.
    """
    symbols = int(instruments["symbol"].max()) + 1
    state = State(
        np.zeros(1, ACCOUNT),
        np.zeros(symbols, POSITION),
        np.zeros(symbols, SYMBOL),
        np.zeros(capacity, ORDER),
        np.zeros(capacity, FILL),
        np.zeros(1, COUNTERS),
        np.zeros(capacity, np.int32),
        np.zeros(capacity, np.int32),
        np.zeros(DAYS, np.int64),
        np.ascontiguousarray(instruments, INSTRUMENT),
        np.zeros(0, WINDOW),
    )
    state.account["cash"] = cash
    state.positions["price"] = np.nan
    starts = np.searchsorted(instruments["symbol"], np.arange(symbols + 1))
    state.positions["unit"] = instruments["unit"][starts[:-1]]
    rows = state.symbols
    rows["row"], rows["end"] = starts[:-1], starts[1:]
    for name in ("trading", "renamed_to", "increment", "minimum", "minimum_value", "tick"):
        rows[name] = instruments[name][starts[:-1]]
    rows["below"], rows["above"] = -np.inf, np.inf
    rows["volatility"] = np.nan
    later = np.ones(len(instruments), np.bool_)
    later[starts[:-1]] = False
    counters = state.counters
    counters["next_ns"] = NEVER
    counters["dated_ns"] = instruments["from_ns"][later].min(initial=NEVER)
    counters["day"] = counters["newest_day"] = NONE
    return state


def busy_orders(state: State) -> int:
    """Return how many orders may fill or arrive at the next input, at most."""
    counters = state.counters[0]
    return int(counters["live"] + BRACKET * counters["sent"]) + len(state.symbols)


def grown(state: State, orders: int, fills: int) -> State:
    """Return the state with room for so many orders and fills more; its rows are copies."""
    counters = state.counters[0]
    more_orders = max(2 * int(counters["orders"]), int(counters["orders"]) + orders)
    more_fills = max(2 * int(counters["fills"]), int(counters["fills"]) + fills)
    return state._replace(
        orders=_longer(state.orders, more_orders),
        live=_longer(state.live, more_orders),
        sent=_longer(state.sent, more_orders),
        fills=_longer(state.fills, more_fills),
    )


def _longer(rows: Rows, size: int) -> Rows:
    if size <= len(rows):
        return rows
    longer = np.zeros(size, rows.dtype)
    longer[: len(rows)] = rows
    return longer


def plain(terms: Terms) -> Terms:
    """Return the terms with every number of the one type compiled code was made for."""
    values: dict[str, object] = {}
    for name, kind in _KINDS.items():
        value = getattr(terms, name)
        if name == "tiers":
            values[name] = np.ascontiguousarray(value, np.float64).reshape(-1, 4)
        elif name == "latency":
            values[name] = np.ascontiguousarray(value, np.int64).reshape(3, 3)
        else:
            values[name] = kind(value)
    return Terms(**values)  # type: ignore[arg-type]
