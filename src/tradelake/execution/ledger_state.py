"""What a ledger is when it is not at work: numbers and texts that any encoding carries."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from tradelake.decoding import convert
from tradelake.errors import InvalidData
from tradelake.execution.layout import MOST_OF_A_DAY, NONE
from tradelake.execution.state import DAY_NS, DAYS

Units: TypeAlias = Annotated[int, Meta(ge=-(2**63) + 1, le=2**63 - 1)]
Figure: TypeAlias = Annotated[float, Meta(ge=0.0)]
_LAST_DAY: Final = (2**63 - 1) // DAY_NS
_OfADay: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_OF_A_DAY)]


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


def checked(state: LedgerState) -> LedgerState:
    """Return the state, every number looked at.

    Raises
    ------
    InvalidData
        Rule ``state``: one is of another type, or out of bounds.
    """
    try:
        state = convert(msgspec.to_builtins(state), LedgerState)
    except msgspec.ValidationError as error:
        raise InvalidData("state", f"expected what a ledger saved; {error}") from error
    figures = [state.turnover, state.maker, state.taker]
    figures += [position.turnover for position in state.positions.values()]
    if not all(math.isfinite(figure) for figure in figures):
        raise InvalidData("state", f"expected finite figures; found {figures}")
    return state
