"""Trades, quotes and books of one symbol as columns, checked once, for backtests on ticks.

What is bad (NaN, negative sizes, crossed quotes, times that go back) is refused, masked or flagged,
as ``bad`` says: refused is an :class:`~tradelake.errors.InvalidData` that names the first bad row;
masked rows are left out of every tape; flagged rows are counted and used. Rows that no matching
core could read sense into (NaN, prices not above 0, negative sizes, times that go back) cannot be
flagged: they are masked then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.errors import ConfigError, InvalidData
from tradelake.market.arrays import FloatArray, IntArray
from tradelake.market.records import BookUpdate, Quote, Trade

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Treatment = Literal["refuse", "mask", "flag"]
"""What becomes of a bad row."""
TREATMENTS = ("refuse", "mask", "flag")
_SIDES = {"buy": 1, "sell": -1, "": 0}


@dataclass(frozen=True, slots=True, eq=False)
class TradeArrays:
    """Trades of one symbol as read-only columns of equal length, oldest first.

    Parameters
    ----------
    symbol : str
        Pair, for instance ``BTC/USD``.
    ts_ns : IntArray
        When each happened, ns since 1970 UTC, not decreasing.
    price, size : FloatArray
        Quote units, finite and positive; base units, finite and not negative.
    side : IntArray
        The taker's: 1 bought, -1 sold, 0 not told.
    bad : {"refuse", "mask", "flag"}
        What becomes of bad rows.

    Attributes
    ----------
    usable : BoolArray
        Rows that go into a tape.
    found : dict
        How many rows broke each rule; empty where all are good.
    first : dict
        When the first of them was, ns since 1970 UTC, as its row says.

    Raises
    ------
    InvalidData
        Rules ``shape``, ``order``, ``price``, ``size`` and ``side``; the message names the first
        bad row.
    """

    symbol: str
    ts_ns: IntArray
    price: FloatArray
    size: FloatArray
    side: IntArray
    bad: Treatment = "refuse"
    usable: BoolArray = field(init=False)
    found: dict[str, int] = field(init=False)
    first: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        _freeze(self, integers=("ts_ns", "side"), floats=("price", "size"))
        check = _Check(self.symbol, "trade", self.bad, self.ts_ns)
        check.order()
        check.rule("price", ~_positive(self.price), "a finite positive price", self.price)
        check.rule("size", ~_not_negative(self.size), "a finite size of 0 or more", self.size)
        check.rule("side", np.abs(self.side) > 1, "a side of 1, -1 or 0", self.side)
        check.finish(self)

    def __len__(self) -> int:
        return len(self.ts_ns)

    @classmethod
    def of(cls, symbol: str, trades: Sequence[Trade], bad: Treatment = "refuse") -> TradeArrays:
        """Return the columns of records, for instance of ``LakeTicks.trades``."""
        return cls(
            symbol,
            _ints(trade.ts_event for trade in trades),
            _floats(trade.price for trade in trades),
            _floats(trade.size for trade in trades),
            _ints(_SIDES[trade.taker_side] for trade in trades),
            bad,
        )


@dataclass(frozen=True, slots=True, eq=False)
class QuoteArrays:
    """Best bids and asks of one symbol as read-only columns of equal length, oldest first.

    Parameters
    ----------
    symbol, ts_ns, bad
        As of :class:`TradeArrays`.
    bid, ask : FloatArray
        Quote units, finite and positive, ``bid < ask``. Locked and crossed quotes break the rule
        ``crossed``; flagged they are used as they are.
    bid_size, ask_size : FloatArray
        Base units, finite and not negative.

    Raises
    ------
    InvalidData
        Rules ``shape``, ``order``, ``price``, ``size`` and ``crossed``.
    """

    symbol: str
    ts_ns: IntArray
    bid: FloatArray
    bid_size: FloatArray
    ask: FloatArray
    ask_size: FloatArray
    bad: Treatment = "refuse"
    usable: BoolArray = field(init=False)
    found: dict[str, int] = field(init=False)
    first: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        _freeze(self, integers=("ts_ns",), floats=("bid", "bid_size", "ask", "ask_size"))
        check = _Check(self.symbol, "quote", self.bad, self.ts_ns)
        check.order()
        for name in ("bid", "ask"):
            prices, sizes = getattr(self, name), getattr(self, f"{name}_size")
            check.rule("price", ~_positive(prices), f"a finite positive {name}", prices)
            check.rule("size", ~_not_negative(sizes), f"a finite {name} size of 0 or more", sizes)
        check.rule("crossed", self.bid >= self.ask, "a bid below the ask", self.bid, flagged=True)
        check.finish(self)

    def __len__(self) -> int:
        return len(self.ts_ns)

    @classmethod
    def of(cls, symbol: str, quotes: Sequence[Quote], bad: Treatment = "refuse") -> QuoteArrays:
        """Return the columns of records, for instance of ``LakeTicks.quotes``."""
        return cls(
            symbol,
            _ints(quote.ts_event for quote in quotes),
            _floats(quote.bid for quote in quotes),
            _floats(quote.bid_size for quote in quotes),
            _floats(quote.ask for quote in quotes),
            _floats(quote.ask_size for quote in quotes),
            bad,
        )


@dataclass(frozen=True, slots=True, eq=False)
class BookArrays:
    """Changes of one symbol's order book as read-only columns of equal length, oldest first.

    Parameters
    ----------
    symbol, ts_ns, bad
        As of :class:`TradeArrays`.
    side : IntArray
        1 of a bid, -1 of an ask, 0 of a reset.
    price, size : FloatArray
        Quote units, finite and positive; base units, finite and not negative; 0 removes the level.
    reset : BoolArray
        The row says that the book is empty, and nothing else.
    last : BoolArray
        The row is the last of its update. A book is matched when an update is whole.

    Raises
    ------
    InvalidData
        Rules ``shape``, ``order``, ``price``, ``size`` and ``side``.

    Notes
    -----
    Whether a book is crossed is known only where it is built: the run counts it
    (``docs/explanation/matching.md``, L1).
    """

    symbol: str
    ts_ns: IntArray
    side: IntArray
    price: FloatArray
    size: FloatArray
    reset: BoolArray
    last: BoolArray
    bad: Treatment = "refuse"
    usable: BoolArray = field(init=False)
    found: dict[str, int] = field(init=False)
    first: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        _freeze(self, ("ts_ns", "side"), ("price", "size"), ("reset", "last"))
        check = _Check(self.symbol, "level", self.bad, self.ts_ns)
        check.order()
        told = ~self.reset
        check.rule("price", told & ~_positive(self.price), "a finite positive price", self.price)
        check.rule("size", told & ~_not_negative(self.size), "a size of 0 or more", self.size)
        check.rule("side", told & (np.abs(self.side) != 1), "a side of 1 or -1", self.side)
        check.finish(self)
        if len(self) and not self.usable.all():
            object.__setattr__(self, "last", _ends(self.last, self.usable))

    def __len__(self) -> int:
        return len(self.ts_ns)

    @classmethod
    def of(
        cls, symbol: str, updates: Iterable[BookUpdate], bad: Treatment = "refuse"
    ) -> BookArrays:
        """Return the columns of records: a row for each reset and each level."""
        rows: list[tuple[int, int, float, float, bool, bool]] = []
        for update in updates:
            first = len(rows)
            if update.reset:
                rows.append((update.ts_event, 0, 0.0, 0.0, True, False))
            for side, levels in ((1, update.bids), (-1, update.asks)):
                rows.extend((update.ts_event, side, *level, False, False) for level in levels)
            if len(rows) > first:
                rows[-1] = (*rows[-1][:-1], True)
        columns = list(zip(*rows, strict=True)) or [()] * 6
        return cls(
            symbol,
            _ints(columns[0]),
            _ints(columns[1]),
            _floats(columns[2]),
            _floats(columns[3]),
            np.array(columns[4], np.bool_),
            np.array(columns[5], np.bool_),
            bad,
        )


class _Check:
    """The rules of one set of columns: refuses at the first bad row, or remembers it."""

    def __init__(self, symbol: str, noun: str, bad: str, ts_ns: IntArray) -> None:
        if bad not in TREATMENTS:
            raise ConfigError(f"bad: expected one of {', '.join(TREATMENTS)}; found {bad!r}")
        self._symbol, self._noun, self._bad, self._ts_ns = symbol, noun, bad, ts_ns
        self._usable = np.ones(len(ts_ns), np.bool_)
        self._found: dict[str, int] = {}
        self._first: dict[str, int] = {}

    def order(self) -> None:
        """A time below one that came before goes back."""
        newest = np.maximum.accumulate(self._ts_ns) if len(self._ts_ns) else self._ts_ns
        self.rule("order", self._ts_ns < newest, "times that do not go back", self._ts_ns)

    def rule(
        self,
        rule: str,
        broken: BoolArray,
        expected: str,
        column: npt.NDArray[np.generic],
        *,
        flagged: bool = False,
    ) -> None:
        """Apply a rule; ``flagged`` says that a row that breaks it can still be used."""
        if not broken.any():
            return
        where = int(np.argmax(broken))
        if self._bad == "refuse":
            raise InvalidData(
                rule,
                f"expected {expected}; found {column[where]} in {self._symbol} {self._noun} "
                f"{where} at {self._ts_ns[where]} ns",
            )
        self._found[rule] = self._found.get(rule, 0) + int(broken.sum())
        at = int(self._ts_ns[where])
        self._first[rule] = min(at, self._first.get(rule, at))
        if self._bad == "mask" or not flagged:
            self._usable &= ~broken

    def finish(self, owner: TradeArrays | QuoteArrays | BookArrays) -> None:
        """Give the owner what was found."""
        self._usable.flags.writeable = False
        object.__setattr__(owner, "usable", self._usable)
        object.__setattr__(owner, "found", self._found)
        object.__setattr__(owner, "first", self._first)


def _ends(last: BoolArray, usable: BoolArray) -> BoolArray:
    """Let the last usable row of each update end it."""
    update: IntArray = np.cumsum(last) - last
    ends = np.zeros_like(last)
    places = np.flatnonzero(usable)
    if places.size:
        changes = np.append(np.diff(update[places]) != 0, last[update == update[places[-1]]].any())
        ends[places[changes]] = True
    ends.flags.writeable = False
    return ends


def _freeze(
    owner: TradeArrays | QuoteArrays | BookArrays,
    integers: tuple[str, ...],
    floats: tuple[str, ...],
    flags: tuple[str, ...] = (),
) -> None:
    """Make the columns read-only views of one type and length."""
    for names, kind in ((integers, np.int64), (floats, np.float64), (flags, np.bool_)):
        for name in names:
            given = np.asarray(getattr(owner, name))
            if kind is np.int64 and given.size and given.dtype.kind not in "iu":
                raise InvalidData("shape", f"expected whole numbers in {name}; found {given.dtype}")
            column = np.ascontiguousarray(given, kind).view()
            column.flags.writeable = False
            object.__setattr__(owner, name, column)
    shapes = {name: getattr(owner, name).shape for name in (*integers, *floats, *flags)}
    if len(set(shapes.values())) != 1 or owner.ts_ns.ndim != 1:
        raise InvalidData(
            "shape", f"expected columns of one equal length; found {shapes} for {owner.symbol}"
        )


def _positive(values: FloatArray) -> BoolArray:
    return np.isfinite(values) & (values > 0.0)


def _not_negative(values: FloatArray) -> BoolArray:
    return np.isfinite(values) & (values >= 0.0)


def _ints(values: Iterable[int]) -> IntArray:
    return np.fromiter(values, np.int64)


def _floats(values: Iterable[float]) -> FloatArray:
    return np.fromiter(values, np.float64)
