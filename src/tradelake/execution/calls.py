"""What Python calls of the compiled core: numbers and addresses in, a number out.

An argument that is an array costs a tenth of a microsecond a call, a tuple of ten several; so a
:class:`~tradelake.execution.machine.Machine` hands over the addresses of its headers.
"""

from __future__ import annotations

from functools import cache

from tradelake.execution import core, dated, orders
from tradelake.execution.compiled import compiled, ready
from tradelake.execution.views import loaded_at, state_at, terms_at


@compiled
def send(
    state: int,
    terms: int,
    now_ns: int,
    symbol: int,
    side: int,
    kind: int,
    tif: int,
    sizing: int,
    amount: float,
    limit: float,
    stop: float,
    trail: float,
) -> int:
    """Call :func:`tradelake.execution.orders.send`."""
    return orders.send(
        state_at(state),
        terms_at(terms),
        now_ns,
        symbol,
        side,
        kind,
        tif,
        sizing,
        amount,
        limit,
        stop,
        trail,
    )


@compiled
def send_bracket(
    state: int,
    terms: int,
    now_ns: int,
    symbol: int,
    side: int,
    kind: int,
    tif: int,
    sizing: int,
    amount: float,
    limit: float,
    stop: float,
    trail: float,
    exit_stop: float,
    exit_trail: float,
    target: float,
) -> int:
    """Call :func:`tradelake.execution.orders.send_bracket`."""
    return orders.send_bracket(
        state_at(state),
        terms_at(terms),
        now_ns,
        symbol,
        side,
        kind,
        tif,
        sizing,
        amount,
        limit,
        stop,
        trail,
        exit_stop,
        exit_trail,
        target,
    )


@compiled
def send_replace(
    state: int,
    terms: int,
    now_ns: int,
    replaced: int,
    amount: float,
    limit: float,
    stop: float,
    trail: float,
) -> int:
    """Call :func:`tradelake.execution.orders.send_replace`."""
    return orders.send_replace(
        state_at(state), terms_at(terms), now_ns, replaced, amount, limit, stop, trail
    )


@compiled
def send_cancel(state: int, terms: int, now_ns: int, order: int) -> bool:
    """Call :func:`tradelake.execution.orders.send_cancel`."""
    return orders.send_cancel(state_at(state), terms_at(terms), now_ns, order)


@compiled
def advance(state: int, terms: int, loaded: int, first: int, last: int, stops: bool) -> int:
    """Call :func:`tradelake.execution.core.advance`."""
    given = loaded_at(loaded)
    return core.advance(
        state_at(state), terms_at(terms), given.bars, first, last, given.equity, stops
    )


@compiled
def next_change(state: int, loaded: int, first: int, last: int) -> int:
    """Call :func:`tradelake.execution.core.next_change`."""
    return core.next_change(state_at(state), loaded_at(loaded).bars, first, last)


@compiled
def has_room(state: int) -> bool:
    """Call :func:`tradelake.execution.core.has_room`."""
    return core.has_room(state_at(state))


@compiled
def catch_up(state: int, terms: int, until_ns: int) -> None:
    """Call :func:`tradelake.execution.dated.catch_up`."""
    dated.catch_up(state_at(state), terms_at(terms), until_ns)


@cache
def prepare() -> None:
    """Compile everything here, or load it: what comes later costs what it does and no more."""
    ready(send, send_bracket, send_replace, send_cancel, advance, next_change, has_room, catch_up)
