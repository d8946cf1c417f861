"""What a ledger is when it is not at work: numbers and texts that any encoding carries."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from tradelake.decoding import convert
from tradelake.errors import InvalidData
from tradelake.execution.layout import MOST_OF_A_DAY, NONE
from tradelake.execution.ledger_fills import AHEAD_NS
from tradelake.execution.state import DAY_NS, DAYS

Units: TypeAlias = Annotated[int, Meta(ge=-(2**63) + 1, le=2**63 - 1)]
Figure: TypeAlias = Annotated[float, Meta(ge=0.0)]
_LAST_DAY: Final = (2**63 - 1) // DAY_NS
_OfADay: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_OF_A_DAY)]
_LEFT_BY_ROUNDING: Final = 2**13
"""Cash units: what of a cost near 2**63 float64 may take too much, when almost all goes (M5)."""


class SavedPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position (M5): ``unit`` in base units, the others in units and cash units."""

    unit: float
    quantity: Units = 0
    cost: Units = 0
    realised: Units = 0
    fees_base: Units = 0
    turnover: Figure = 0.0


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """An account, its positions by symbol, its fee tier, and which fills were booked.

    Money is in cash units. ``notional`` is that of the newest days, ``day`` their UTC day, on which
    ``maker`` and ``taker`` are charged. ``known`` has a digest of each fill by its id.
    """

    cash: Units
    fees_cash: Units
    fees_value: Units
    turnover: Figure
    fills: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    day: Annotated[int, Meta(ge=NONE, le=_LAST_DAY)]
    maker: Figure
    taker: Figure
    notional: Annotated[list[_OfADay], Meta(min_length=DAYS, max_length=DAYS)]
    positions: dict[str, SavedPosition]
    known: dict[str, int]


def checked(state: LedgerState, now_ns: int) -> LedgerState:
    """Return the state, every number looked at; ``now_ns`` since 1970 UTC.

    Raises
    ------
    InvalidData
        Rule ``state``: one is of another type, or out of bounds; the newest day is still to come.
        Rule ``cost``: that of a position that is flat, or of the other sign than its quantity.
    """
    try:
        state = convert(msgspec.to_builtins(state), LedgerState)
    except msgspec.ValidationError as error:
        raise InvalidData("state", f"expected what a ledger saved; {error}") from error
    figures = [state.turnover, state.maker, state.taker]
    figures += [position.turnover for position in state.positions.values()]
    if not all(math.isfinite(figure) for figure in figures):
        raise InvalidData("state", f"expected finite figures; found {figures}")
    latest = (now_ns + AHEAD_NS) // DAY_NS
    if state.day > latest:
        raise InvalidData("state", f"expected a day no later than {latest}; found {state.day}")
    for name, position in state.positions.items():
        _check_cost(name, position)
    return state


def _check_cost(symbol: str, position: SavedPosition) -> None:
    """Refuse a cost that no fills leave: a flat position has none, any other its quantity's."""
    quantity, cost = position.quantity, position.cost
    if quantity == 0 and cost != 0:
        raise InvalidData("cost", f"expected none of {symbol}, which is flat; found {cost}")
    side = 1 if quantity > 0 else -1
    if side * cost < -_LEFT_BY_ROUNDING:
        raise InvalidData(
            "cost", f"expected that of {symbol} with the sign of its {quantity} units; found {cost}"
        )
