"""Pages over several symbols' rows: sorted by symbol, then time, without gap or overlap. Pure.

A page token names the last row that was served and how many rows of its instant were, so pages stay
right while rows are added behind.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tradelake.errors import InvalidData

Body = dict[str, Any]


class Rows(Protocol):
    """Rows of one symbol in the requested time range, oldest first."""

    @property
    def ts_ns(self) -> Sequence[int]:
        """Time of each row, non-decreasing."""
        ...

    def bodies(self, first: int, stop: int) -> list[Body]:
        """Rows ``first`` to before ``stop`` as REST answers them."""
        ...


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: ``served`` rows of instant ``ts_ns`` of ``symbol`` are done."""

    symbol: str
    ts_ns: int
    served: int

    def token(self) -> str:
        """Opaque text for the client."""
        return base64.urlsafe_b64encode(
            f"{self.symbol}|{self.ts_ns}|{self.served}".encode()
        ).decode()


def parse_token(text: str) -> Cursor:
    """Cursor of a page token.

    Raises
    ------
    InvalidData
        Rule ``page_token``.
    """
    try:
        symbol, ts_ns, served = base64.urlsafe_b64decode(text.encode()).decode().split("|")
        return Cursor(symbol, int(ts_ns), int(served))
    except (ValueError, binascii.Error) as error:
        raise InvalidData("page_token", f"expected one of this venue's; found {text!r}") from error


@dataclass(frozen=True, slots=True)
class Page:
    """Rows by symbol, and where the next page starts, if there is one."""

    rows: dict[str, list[Body]]
    next: Cursor | None


def page(
    symbols: Sequence[str],
    rows_of: Callable[[str], Rows],
    *,
    limit: int,
    descending: bool = False,
    after: Cursor | None = None,
) -> Page:
    """Cut the page of at most ``limit`` rows that follows ``after``.

    Parameters
    ----------
    symbols : sequence of str
        In any order; they are served sorted, whatever the order of time.
    rows_of : callable
        Rows of a symbol.
    limit : int
        Rows of all symbols together.
    descending : bool
        Newest first within each symbol.
    after : Cursor, optional
        Where the page before ended.
    """
    found: dict[str, list[Body]] = {}
    last, left = after, limit
    for symbol in sorted(set(symbols)):
        if after is not None and symbol < after.symbol:
            continue
        rows = rows_of(symbol)
        first, stop = _rest(
            rows.ts_ns, after if after and after.symbol == symbol else None, descending
        )
        if first >= stop:
            continue
        if not left:
            return Page(found, last)
        count = min(left, stop - first)
        first, stop = (stop - count, stop) if descending else (first, first + count)
        bodies = rows.bodies(first, stop)
        found[symbol] = bodies[::-1] if descending else bodies
        last = _cursor(symbol, rows.ts_ns, first, stop, descending)
        left -= count
        if not left and _rest(rows.ts_ns, last, descending) != (0, 0):
            return Page(found, last)
    return Page(found, None)


def _rest(ts_ns: Sequence[int], after: Cursor | None, descending: bool) -> tuple[int, int]:
    """Rows that are still to be served; (0, 0) when none is."""
    first, stop = 0, len(ts_ns)
    if after is not None and descending:
        stop = bisect_right(ts_ns, after.ts_ns) - after.served
    elif after is not None:
        first = bisect_left(ts_ns, after.ts_ns) + after.served
    return (first, stop) if first < stop else (0, 0)


def _cursor(symbol: str, ts_ns: Sequence[int], first: int, stop: int, descending: bool) -> Cursor:
    ts = int(ts_ns[first] if descending else ts_ns[stop - 1])
    served = bisect_right(ts_ns, ts) - first if descending else stop - bisect_left(ts_ns, ts)
    return Cursor(symbol, ts, served)
