"""What Python calls of the compiled core on ticks, as :mod:`tradelake.execution.calls` on bars."""

from __future__ import annotations

from functools import cache

from tradelake.execution import ticks
from tradelake.execution.compiled import compiled, ready
from tradelake.execution.views import loaded_at, market_at, state_at, terms_at


@compiled
def advance_ticks(
    state: int, terms: int, market: int, loaded: int, first: int, last: int, stops: bool
) -> int:
    """Call :func:`tradelake.execution.ticks.advance_ticks`."""
    equity = loaded_at(loaded).equity
    return ticks.advance_ticks(
        state_at(state), terms_at(terms), market_at(market), first, last, equity, stops
    )


@compiled
def has_tick_room(state: int, terms: int, market: int) -> bool:
    """Call :func:`tradelake.execution.ticks.has_tick_room`."""
    return ticks.has_tick_room(state_at(state), terms_at(terms), market_at(market))


@compiled
def arrivals(state: int, terms: int, market: int, until_ns: int) -> None:
    """Call :func:`tradelake.execution.ticks.arrivals`."""
    ticks.arrivals(state_at(state), terms_at(terms), market_at(market), until_ns)


@cache
def prepare() -> None:
    """Compile everything here, or load it."""
    ready(advance_ticks, has_tick_room, arrivals)
