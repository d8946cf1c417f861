"""What a matching core is given: inputs loaded whole, or as they happen and let go again.

Compiled code reads rows by numbers that rows name (a symbol's, an earlier row's) and does not look
whether they are there. So nothing gets to it that was not looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.input_checks import (
    Kind,
    check_numbers,
    check_order,
    check_symbols,
    check_values,
    laid_out,
    refuse,
)
from tradelake.execution.layout import NONE
from tradelake.execution.state import BAR, WINDOW, Rows
from tradelake.execution.terms import INSTRUMENT, Trading
from tradelake.market.arrays import FloatArray, IntArray
from tradelake.market.tape import TickKind

if TYPE_CHECKING:
    from tradelake.execution.windows import Windows

_LEAST_ROOM: Final = 64


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
    window : int
        How many rows of a symbol are looked back at; 0 for none.
    marked : bool
        Whether there is a place for the equity after each row.
    not_before : int
        ns; the first row may not be earlier.
    checked : bool
        The rows were made for so many symbols by what makes them right: they are not looked at.

    Attributes
    ----------
    rows : Rows
        What is held: the newest ones that were forgotten, then those that were not.
    equity : FloatArray
        One for each of ``rows``, or none; NaN until the row was matched.
    windows : Rows
        The window that ends with each of ``rows``, or none.
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
    windows: Rows

    def __init__(
        self,
        kind: Kind,
        rows: Rows,
        symbols: int,
        *,
        marked: bool,
        window: int = 0,
        not_before: int = -1,
        checked: bool = False,
    ) -> None:
        rows = laid_out(kind, rows)
        if not checked:
            check_numbers(kind, rows, symbols)
        if len(rows):
            check_order(kind, rows[:1], not_before)
        self.kind, self.symbols, self.marked = kind, symbols, marked
        self.forgotten = self.reached = 0
        self._now_ns = not_before
        self._looks_back = _looking_back(symbols, window)
        self._hold(rows, np.full(len(rows) if marked else 0, np.nan), self._windows_of(rows))
        self._kept = 0  # rows at the front that were forgotten
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
        rows = laid_out(self.kind, rows)
        size, count = len(self.rows), len(rows)
        if not count:
            return
        check_symbols(rows, self.symbols)
        check_values(self.kind, rows)
        newest_ns = int(self.rows[self.kind.time][-1]) if size else -1
        check_order(self.kind, rows, max(self._now_ns, newest_ns))
        self._make_room(size + count)
        self._room[size : size + count] = rows
        if self._looks_back:
            self._windows_room[size : size + count] = self._windows_of(rows)
        self._link(self._room[size : size + count], size)
        self.rows = self._room[: size + count]
        self.equity = self._equity_room[: size + count if self.marked else 0]
        self.windows = self._windows_room[: size + count if self._looks_back else 0]

    def forget(self, until: int) -> IntArray | None:
        """Let go of inputs before ``until``, once half of what is held was matched since last time.

        What is kept of them: of each symbol the newest bar, or trade, and the last one.

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
        kept = self._followed_on(end)
        self._kept = len(kept)
        kept = np.concatenate((kept, np.arange(end, len(self.rows))))
        if self._newest is None:
            self._newest = self._find_newest()
        self.forgotten += len(self.rows) - len(kept)
        rows = self.rows[kept]
        rows[self.kind.link] = moved(rows[self.kind.link], kept)
        self._newest = moved(self._newest, kept)
        self._hold(
            rows,
            self.equity[kept] if self.marked else self.equity,
            self.windows[kept] if self._looks_back else self.windows,
        )
        return kept

    def _hold(self, rows: Rows, equity: FloatArray, windows: Rows) -> None:
        self.rows = self._room = rows
        self.equity = self._equity_room = equity
        self.windows = self._windows_room = windows

    def _windows_of(self, rows: Rows) -> Rows:
        """Return the windows that end with new rows; what is no bar or trade has none."""
        if self._looks_back is None:
            return np.empty(0, WINDOW)
        if self.kind.dtype == BAR:
            return self._looks_back.add(rows["symbol"], rows["close"], rows["volume"])
        windows, trades = np.zeros(len(rows), WINDOW), rows[self._counts(rows)]
        windows[self._counts(rows)] = self._looks_back.add(
            trades["symbol"], trades["price"], trades["size"]
        )
        return windows

    def _make_room(self, size: int) -> None:
        if size <= len(self._room):
            return
        room = np.empty(max(2 * size, _LEAST_ROOM), self.kind.dtype)
        room[: len(self.rows)] = self.rows
        self._room = room
        if self.marked:
            self._equity_room = np.full(len(room), np.nan)
            self._equity_room[: len(self.equity)] = self.equity
        if self._looks_back:
            self._windows_room = np.zeros(len(room), WINDOW)
            self._windows_room[: len(self.windows)] = self.windows

    def _counts(self, rows: Rows) -> Any:  # noqa: ANN401 - an array of bool
        """Return which rows are ones that others follow on: bars, and trades."""
        if self.kind.dtype == BAR:
            return np.ones(len(rows), np.bool_)
        return rows["kind"] == TickKind.TRADE

    def _find_newest(self, end: int | None = None) -> IntArray:
        """Return the newest row before ``end`` of each symbol that others follow on, or NONE."""
        newest = np.full(self.symbols, NONE, np.int64)
        places = np.flatnonzero(self._counts(self.rows[:end]))
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

    def _followed_on(self, end: int) -> IntArray:
        """Return the rows before ``end`` that are kept, in order."""
        newest = self._find_newest(end)
        return np.unique(np.concatenate((newest[newest != NONE], np.arange(max(end - 1, 0), end))))


def _looking_back(symbols: int, window: int) -> Windows | None:
    """Return what looks back; its code is loaded by those who do."""
    if window == 0:
        return None
    from tradelake.execution import windows

    return windows.Windows(symbols, window)


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
    refuse("instruments", (told < 0) | (steps < 0) | (steps > 1) | (told >= len(symbols)),
            f"symbols from 0 to {len(symbols) - 1} in order, each at least once", told)  # fmt: skip
    refuse("instruments", same & (np.diff(rows["from_ns"], prepend=0) <= 0),
            "rising instants of a symbol", rows["from_ns"])  # fmt: skip
    refuse("instruments", (renamed < NONE) | (renamed >= len(symbols)) | (renamed == told),
            f"another symbol from 0 to {len(symbols) - 1}, or {NONE}", renamed)  # fmt: skip
    refuse("instruments", ~((unit > 0.0) & (unit < np.inf)), "a unit above 0", unit)
    refuse("instruments", same & (unit != np.roll(unit, 1)), "the same unit at all dates", unit)
    refuse("instruments", ~np.isin(rows["trading"], list(Trading)),
            f"one of {[one.value for one in Trading]}", rows["trading"])  # fmt: skip
    for name in ("increment", "minimum", "minimum_value", "tick"):
        refuse("instruments", ~(rows[name] >= 0), f"{name} of 0 or more", rows[name])
    if not len(told) or told[-1] != len(symbols) - 1:
        raise InvalidData(
            "instruments", f"expected rows of {len(symbols)} symbols; found {len(set(told))}"
        )
    return rows
