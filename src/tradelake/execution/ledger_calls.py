"""What Python calls of the compiled account, as :mod:`tradelake.execution.calls` of the core."""

from __future__ import annotations

from functools import cache

from tradelake.execution import account, dated
from tradelake.execution.compiled import compiled, ready
from tradelake.execution.views import state_at, terms_at


@compiled
def book(
    state: int, terms: int, side: int, quantity: int, price: float, maker: bool, ts_ns: int
) -> int:
    """Call :func:`tradelake.execution.account.book` for the order in row 0."""
    return account.book(state_at(state), terms_at(terms), 0, side, quantity, price, maker, ts_ns)


@compiled
def book_paid(
    state: int,
    terms: int,
    side: int,
    quantity: int,
    price: float,
    maker: bool,
    ts_ns: int,
    fee: int,
    in_base: bool,
) -> int:
    """Call :func:`tradelake.execution.account.book_paid` for the order in row 0, on its day."""
    account.taker_rate(state_at(state), terms_at(terms), ts_ns)
    return account.book_paid(state_at(state), 0, side, quantity, price, maker, ts_ns, fee, in_base)


@compiled
def rename(state: int, number: int, to: int) -> None:
    """Call :func:`tradelake.execution.dated.rename`."""
    dated.rename(state_at(state), number, to)


@cache
def prepare() -> None:
    """Compile everything here, or load it."""
    ready(book, book_paid, rename)
