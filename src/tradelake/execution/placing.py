"""What compiled strategies call: place, cancel, and look at what is theirs. Compiled.

Each is safe at any time: what there is no room for is not sent, and ``NONE`` comes back.
"""

from __future__ import annotations

from tradelake.execution.compiled import lean
from tradelake.execution.layout import NONE, OrderType, Status
from tradelake.execution.orders import send, send_bracket, send_cancel
from tradelake.execution.state import State
from tradelake.execution.terms import Terms

NAN = float("nan")


@lean
def has_space(state: State) -> bool:
    """Return whether three orders can be sent."""
    return bool(state.counters[0].orders + 3 <= state.orders.shape[0])


@lean
def place_market(
    state: State, terms: Terms, now_ns: int, symbol: int, side: int, amount: float
) -> int:
    """Send a market order of base units, good till cancelled; return its id."""
    if not has_space(state):
        return NONE
    kind = OrderType.MARKET.value
    return send(state, terms, now_ns, symbol, side, kind, 0, 0, amount, NAN, NAN, NAN)


@lean
def place_limit(
    state: State, terms: Terms, now_ns: int, symbol: int, side: int, amount: float, limit: float
) -> int:
    """Send a limit order of base units, good till cancelled; return its id."""
    if not has_space(state):
        return NONE
    kind = OrderType.LIMIT.value
    return send(state, terms, now_ns, symbol, side, kind, 0, 0, amount, limit, NAN, NAN)


@lean
def place_bracket(
    state: State,
    terms: Terms,
    now_ns: int,
    symbol: int,
    side: int,
    sizing: int,
    amount: float,
    stop_loss: float,
    take_profit: float,
) -> int:
    """Send a market order with a stop and a target, NaN leaves one out; return the entry's id."""
    if not has_space(state):
        return NONE
    kind = OrderType.MARKET.value
    return send_bracket(
        state,
        terms,
        now_ns,
        symbol,
        side,
        kind,
        0,
        sizing,
        amount,
        NAN,
        NAN,
        NAN,
        stop_loss,
        NAN,
        take_profit,
    )


@lean
def cancel(state: State, terms: Terms, now_ns: int, order: int) -> bool:
    """Send a cancel; False where there is no such order, it has ended, or one is on its way."""
    if not 0 <= order < state.counters[0].orders:
        return False
    return send_cancel(state, terms, now_ns, order)


@lean
def is_alive(state: State, order: int) -> bool:
    """Return whether there is such an order and it has not ended."""
    if not 0 <= order < state.counters[0].orders:
        return False
    return bool(state.orders[order].status < Status.FILLED)


@lean
def held(state: State, symbol: int) -> float:
    """Return the position in base units, signed; 0 of a symbol that is not there."""
    if not 0 <= symbol < state.positions.shape[0]:
        return 0.0
    position = state.positions[symbol]
    return float(position.quantity * position.unit)
