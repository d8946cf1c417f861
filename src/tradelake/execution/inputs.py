"""What a matching core is given: inputs loaded whole, or as they happen and let go again.

Compiled code reads rows by numbers that rows name (a symbol's, an earlier row's) and does not look
whether they are there. So nothing gets to it that was not looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE
from tradelake.execution.state import BAR, Rows
from tradelake.execution.terms import INSTRUMENT, Trading
from tradelake.market.arrays import FloatArray, IntArray
from tradelake.market.tape import TICK, TickKind

_BLOCK: Final = 4096
"""Rows looked at at once: what stays in the processor's cache is read once for all checks."""
_LEAST_ROOM: Final = 64
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


class Inputs:
    """Rows held for a core, with room for more at their end.

    Parameters
    ----------
    kind : Kind
        Of the rows.
    rows : Rows
        The first ones; held as they are and never written to.
    symbols : int
        How many there are.
    marked : bool
        Whether there is a place for the equity after each row.
    not_before : int
        ns; the first row may not be earlier.
    checked : bool
        The rows were made for so many symbols by what makes them right: they are not looked at.

    Attributes
    ----------
    rows : Rows
        What is held: rows that windows look back at, then those not forgotten.
    equity : FloatArray
        One for each of ``rows``, or none; NaN until the row was matched.
    forgotten : int
        How many were let go: input ``i`` is row ``i - forgotten``.
    reached : int
        First input that was not matched.

    Raises
    ------
    InvalidData
        Rules ``layout``, ``symbol``, ``link``, ``order``, ``price``, ``size``, and of ticks
        ``kind`` and ``side``: names the row.
    """

    rows: Rows
    equity: FloatArray

    def __init__(
        self,
        kind: Kind,
        rows: Rows,
        symbols: int,
        *,
        marked: bool,
        not_before: int = -1,
        checked: bool = False,
    ) -> None:
        rows = _laid_out(kind, rows)
        if not checked:
            _check_numbers(kind, rows, symbols)
        if len(rows):
            _check_order(kind, rows[:1], not_before)
        self.kind, self.symbols, self.marked = kind, symbols, marked
        self.forgotten = self.reached = 0
        self._now_ns = not_before
        self._hold(rows, np.full(len(rows) if marked else 0, np.nan))
        self._kept = 0  # rows at the front that were kept for windows
        self._newest: IntArray | None = None

    @property
    def matched_ns(self) -> int:
        """The instant up to which everything was handled, ns; -1 where nothing was."""
        last = self.reached - self.forgotten - 1
        return (
            max(self._now_ns, int(self.rows[self.kind.time][last])) if last >= 0 else self._now_ns
        )

    def pass_time(self, until_ns: int) -> None:
        """Take down that everything up to an instant was handled: nothing earlier may follow."""
        self._now_ns = max(self._now_ns, until_ns)

    def widen(self, symbols: int) -> None:
        """Take rows of so many symbols from now on, the new ones numbered after the others."""
        if self._newest is not None:
            more = np.full(symbols - self.symbols, NONE, np.int64)
            self._newest = np.concatenate((self._newest, more))
        self.symbols = symbols

    def append(self, rows: Rows) -> None:
        """Hold more rows, which follow those held; what they follow on is found here.

        Raises
        ------
        InvalidData
            The same rules but ``link``: names the row; none of them is held then.
        """
        rows = _laid_out(self.kind, rows)
        size, count = len(self.rows), len(rows)
        if not count:
            return
        _check_symbols(rows, self.symbols)
        _check_values(self.kind, rows)
        newest_ns = int(self.rows[self.kind.time][-1]) if size else -1
        _check_order(self.kind, rows, max(self._now_ns, newest_ns))
        self._make_room(size + count)
        self._room[size : size + count] = rows
        self._link(self._room[size : size + count], size)
        self.rows = self._room[: size + count]
        self.equity = self._equity_room[: size + count if self.marked else 0]

    def forget(self, until: int, window: int) -> IntArray | None:
        """Let go of inputs before ``until``, once half of what is held was matched since last time.

        What is kept of them: of each symbol the newest ``window + 1`` bars, or trades, and the
        last one.

        Returns
        -------
        IntArray or None
            Rows that are kept; None where nothing was let go.

        Raises
        ------
        InvalidData
            Rule ``range``: some were not matched yet, or there are no such inputs.
        """
        if not self.forgotten <= until <= self.reached:
            raise InvalidData(
                "range",
                f"expected to forget up to an input from {self.forgotten} to {self.reached}, "
                f"the first not matched; found {until}",
            )
        end = until - self.forgotten
        if 2 * (end - self._kept) < max(len(self.rows), _LEAST_ROOM):
            return None
        kept = self._looked_back_at(end, window)
        self._kept = len(kept)
        kept = np.concatenate((kept, np.arange(end, len(self.rows))))
        if self._newest is None:
            self._newest = self._find_newest()
        self.forgotten += len(self.rows) - len(kept)
        rows = self.rows[kept]
        rows[self.kind.link] = moved(rows[self.kind.link], kept)
        self._newest = moved(self._newest, kept)
        self._hold(rows, self.equity[kept] if self.marked else self.equity)
        return kept

    def _hold(self, rows: Rows, equity: FloatArray) -> None:
        self.rows = self._room = rows
        self.equity = self._equity_room = equity

    def _make_room(self, size: int) -> None:
        if size <= len(self._room):
            return
        room = np.empty(max(2 * size, _LEAST_ROOM), self.kind.dtype)
        room[: len(self.rows)] = self.rows
        self._room = room
        if self.marked:
            self._equity_room = np.full(len(room), np.nan)
            self._equity_room[: len(self.equity)] = self.equity

    def _counts(self, rows: Rows) -> Any:  # noqa: ANN401 - an array of bool
        """Return which rows are ones that others follow on: bars, and trades."""
        if self.kind.dtype == BAR:
            return np.ones(len(rows), np.bool_)
        return rows["kind"] == TickKind.TRADE

    def _find_newest(self) -> IntArray:
        newest = np.full(self.symbols, NONE, np.int64)
        places = np.flatnonzero(self._counts(self.rows))
        np.maximum.at(newest, self.rows["symbol"][places], places)
        return newest

    def _link(self, new: Rows, first: int) -> None:
        """Say of each new row which one it follows on, and of a bar which of its symbol it is."""
        if self._newest is None:
            self._newest = self._find_newest()
        counts = self._counts(new)
        for number in np.unique(new["symbol"]):
            places = np.flatnonzero(new["symbol"] == number)
            before = self._newest[number]
            newest = np.maximum.accumulate(np.where(counts[places], places + first, before))
            new[self.kind.link][places] = np.concatenate(([before], newest[:-1]))
            self._newest[number] = newest[-1]
            if self.kind.dtype == BAR:
                start = 0 if before == NONE else self.rows["row"][before] + 1
                new["row"][places] = start + np.arange(len(places))

    def _looked_back_at(self, end: int, window: int) -> IntArray:
        """Return the rows before ``end`` that are kept, in order."""
        kept = [np.arange(max(end - 1, 0), end)]
        places = np.flatnonzero(self._counts(self.rows[:end]))
        symbols = self.rows["symbol"][places]
        kept += [places[symbols == number][-(window + 1) :] for number in np.unique(symbols)]
        return np.unique(np.concatenate(kept))


def moved(links: IntArray, kept: IntArray) -> IntArray:
    """Return where rows are after only some were kept; NONE for those that were not.

    Parameters
    ----------
    links : IntArray
        Rows, or NONE.
    kept : IntArray
        Those kept, rising.

    >>> moved(np.array([-1, 3, 4, 9]), np.array([3, 9])).tolist()
    [-1, 0, -1, 1]
    """
    places = np.minimum(np.searchsorted(kept, links), len(kept) - 1)
    return np.where(kept[places] == links, places, NONE)


def check_instruments(symbols: Sequence[str], rows: Rows) -> Rows:
    """Return the rows as compiled code reads them.

    Raises
    ------
    InvalidData
        Rule ``symbols``: a name appears twice. Rule ``instruments``, with the row's number: rows
        are not those of the symbols' numbers in order, each with one at least and by rising
        instant; a name it is renamed to is none of them; a number makes no sense.
    """
    if not len(symbols) or len(set(symbols)) != len(symbols):
        found = ", ".join(symbols)
        raise InvalidData("symbols", f"expected at least one, each once; found {found!r:.200}")
    rows = np.ascontiguousarray(rows, INSTRUMENT)
    told = rows["symbol"]
    steps = np.diff(told, prepend=NONE)
    unit = rows["unit"]
    same = steps == 0
    renamed = rows["renamed_to"]
    _refuse("instruments", (told < 0) | (steps < 0) | (steps > 1) | (told >= len(symbols)),
            f"symbols from 0 to {len(symbols) - 1} in order, each at least once", told)  # fmt: skip
    _refuse("instruments", same & (np.diff(rows["from_ns"], prepend=0) <= 0),
            "rising instants of a symbol", rows["from_ns"])  # fmt: skip
    _refuse("instruments", (renamed < NONE) | (renamed >= len(symbols)) | (renamed == told),
            f"another symbol from 0 to {len(symbols) - 1}, or {NONE}", renamed)  # fmt: skip
    _refuse("instruments", ~((unit > 0.0) & (unit < np.inf)), "a unit above 0", unit)
    _refuse("instruments", same & (unit != np.roll(unit, 1)), "the same unit at all dates", unit)
    _refuse("instruments", ~np.isin(rows["trading"], list(Trading)),
            f"one of {[one.value for one in Trading]}", rows["trading"])  # fmt: skip
    for name in ("increment", "minimum", "minimum_value", "tick"):
        _refuse("instruments", ~(rows[name] >= 0), f"{name} of 0 or more", rows[name])
    if not len(told) or told[-1] != len(symbols) - 1:
        raise InvalidData(
            "instruments", f"expected rows of {len(symbols)} symbols; found {len(set(told))}"
        )
    return rows


def _refuse(
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


def _laid_out(kind: Kind, rows: Any) -> Rows:  # noqa: ANN401 - looked at here
    if not isinstance(rows, np.ndarray) or rows.dtype != kind.dtype or rows.ndim != 1:
        found = f"{getattr(rows, 'dtype', type(rows).__name__)}"
        raise InvalidData("layout", f"expected rows of a {kind.name}'s columns; found {found:.200}")
    return np.ascontiguousarray(rows)


def _check_numbers(kind: Kind, rows: Rows, symbols: int) -> None:
    """Refuse rows that name symbols or rows which are not there, or hold no honest numbers."""
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        _check_symbols(block, symbols, start)
        _check_values(kind, block, start)
        earlier = np.arange(start, start + len(block), dtype=np.uint64)
        bad = (block[kind.link] + 1).view(np.uint64) > earlier
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidData(
                "link",
                f"row {start + row}: expected {kind.link} to be an earlier row, or {NONE}; "
                f"found {block[kind.link][row]}",
            )


def _check_symbols(rows: Rows, symbols: int, start: int = 0) -> None:
    numbers = rows["symbol"].view(np.uint64)  # what is below 0 is beyond all
    if numbers.max() >= symbols:
        row = int(np.argmax(numbers >= symbols))
        raise InvalidData(
            "symbol",
            f"row {start + row}: expected a symbol from 0 to {symbols - 1}; "
            f"found {rows['symbol'][row]}",
        )


def _check_values(kind: Kind, rows: Rows, start: int = 0) -> None:
    """Refuse prices and sizes that compiled code would turn into money as they are.

    A quote may lack a side: its price or its size is NaN or 0 then.
    """
    if kind is BARS:
        for name in ("open", "high", "low", "close"):
            _refuse("price", ~_is_price(rows[name]), _PRICE.format(name), rows[name], start)
        _refuse("size", ~_is_size(rows["volume"]), _SIZE.format("volume"), rows["volume"], start)
        late = rows["close_ns"] < rows["open_ns"]
        _refuse("order", late, "close_ns of open_ns or later", rows["close_ns"], start)
        return
    told, quoted, bare = (
        rows["kind"],
        rows["kind"] == TickKind.QUOTE,
        rows["kind"] == TickKind.RESET,
    )
    _refuse("kind", (told < 0) | (told > TickKind.LEVEL), "a kind of tick", told, start)
    _refuse(
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
        _refuse("price", bad, _PRICE.format(price), rows[price], start)
        bad = used & ~(quoted & np.isnan(rows[size])) & ~_is_size(rows[size])
        _refuse("size", bad, _SIZE.format(size), rows[size], start)


def _is_price(prices: FloatArray) -> Any:  # noqa: ANN401 - an array
    return (prices > 0.0) & (prices < np.inf)


def _is_size(sizes: FloatArray) -> Any:  # noqa: ANN401 - an array
    return (sizes >= 0.0) & (sizes < np.inf)


def _check_order(kind: Kind, rows: Rows, newest_ns: int) -> None:
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
