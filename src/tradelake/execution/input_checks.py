"""What is looked at of rows of inputs before compiled code reads them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE
from tradelake.execution.state import BAR, Rows
from tradelake.market.arrays import FloatArray
from tradelake.market.tape import TICK, TickKind

_BLOCK: Final = 4096
"""Rows looked at at once: what stays in the processor's cache is read once for all checks."""
_PRICE: Final = "a finite positive {}"
_SIZE: Final = "a finite {} of 0 or more"


class Kind(NamedTuple):
    """What rows of inputs are, and which of their columns say when, and which row came before."""

    name: str
    dtype: np.dtype[Any]
    time: str
    link: str


BARS: Final = Kind("bar", BAR, "close_ns", "previous")
TICKS: Final = Kind("tick", TICK, "ts_ns", "before")


def refuse(
    rule: str,
    bad: Any,  # noqa: ANN401 - arrays
    expected: str,
    found: Any,  # noqa: ANN401
    start: int = 0,
) -> None:
    """Name the first bad row, if there is one."""
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidData(rule, f"row {start + row}: expected {expected}; found {found[row]}")


def laid_out(kind: Kind, rows: Any) -> Rows:  # noqa: ANN401 - looked at here
    """Return rows that have a kind's columns; refuse others."""
    if not isinstance(rows, np.ndarray) or rows.dtype != kind.dtype or rows.ndim != 1:
        found = f"{getattr(rows, 'dtype', type(rows).__name__)}"
        raise InvalidData("layout", f"expected rows of a {kind.name}'s columns; found {found:.200}")
    return np.ascontiguousarray(rows)


def check_numbers(kind: Kind, rows: Rows, symbols: int) -> None:
    """Refuse rows that name symbols or rows which are not there, or hold no honest numbers."""
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        check_symbols(block, symbols, start)
        check_values(kind, block, start)
        earlier = np.arange(start, start + len(block), dtype=np.uint64)
        bad = (block[kind.link] + 1).view(np.uint64) > earlier
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidData(
                "link",
                f"row {start + row}: expected {kind.link} to be an earlier row, or {NONE}; "
                f"found {block[kind.link][row]}",
            )


def check_symbols(rows: Rows, symbols: int, start: int = 0) -> None:
    """Refuse rows of symbols that are not there."""
    numbers = rows["symbol"].view(np.uint64)  # what is below 0 is beyond all
    if numbers.max() >= symbols:
        row = int(np.argmax(numbers >= symbols))
        raise InvalidData(
            "symbol",
            f"row {start + row}: expected a symbol from 0 to {symbols - 1}; "
            f"found {rows['symbol'][row]}",
        )


def check_values(kind: Kind, rows: Rows, start: int = 0) -> None:
    """Refuse prices and sizes that compiled code would turn into money as they are.

    A quote may lack a side: its price or its size is NaN or 0 then.
    """
    if kind is BARS:
        for name in ("open", "high", "low", "close"):
            refuse("price", ~_is_price(rows[name]), _PRICE.format(name), rows[name], start)
        refuse("size", ~_is_size(rows["volume"]), _SIZE.format("volume"), rows["volume"], start)
        late = rows["close_ns"] < rows["open_ns"]
        refuse("order", late, "close_ns of open_ns or later", rows["close_ns"], start)
        return
    told, quoted, bare = (
        rows["kind"],
        rows["kind"] == TickKind.QUOTE,
        rows["kind"] == TickKind.RESET,
    )
    refuse("kind", (told < 0) | (told > TickKind.LEVEL), "a kind of tick", told, start)
    refuse(
        "side",
        (rows["side"] < -1) | (rows["side"] > 1),
        "a side of -1, 0 or 1",
        rows["side"],
        start,
    )
    for price, size in (("price", "size"), ("price2", "size2")):
        used = ~bare if price == "price" else quoted
        missing = quoted & ((rows[price] == 0.0) | np.isnan(rows[price]))
        bad = used & ~missing & ~_is_price(rows[price])
        refuse("price", bad, _PRICE.format(price), rows[price], start)
        bad = used & ~(quoted & np.isnan(rows[size])) & ~_is_size(rows[size])
        refuse("size", bad, _SIZE.format(size), rows[size], start)


def _is_price(prices: FloatArray) -> Any:  # noqa: ANN401 - an array
    return (prices > 0.0) & (prices < np.inf)


def _is_size(sizes: FloatArray) -> Any:  # noqa: ANN401 - an array
    return (sizes >= 0.0) & (sizes < np.inf)


def check_order(kind: Kind, rows: Rows, newest_ns: int) -> None:
    """Refuse rows that go back in time, among themselves or behind what was there before."""
    before = np.concatenate(([newest_ns], rows[kind.time][:-1]))
    bad = rows[kind.time] < before
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidData(
            "order",
            f"row {row}: expected {kind.time} of {before[row]} or later; "
            f"found {rows[kind.time][row]}",
        )
