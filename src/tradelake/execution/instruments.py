"""What an instrument's orders must look like, by date: increments, minima, halts, new names.

An :class:`InstrumentHistory` comes from the lake's table ``instruments`` or is written by hand; a
run takes from it the INSTRUMENT rows of its symbols (rules M1, I1, I2). Decimals are exact: they
are read as the venue wrote them, and become whole counts of a power of ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.instrument_terms import (
    InstrumentTerms,
    MinimumNotional,
    record_of,
    terms_of,
)
from tradelake.execution.layout import CASH_UNITS, NONE
from tradelake.execution.terms import INSTRUMENT, Trading
from tradelake.execution.units import MOST_UNITS, unit_exponent, whole_steps
from tradelake.market.records import Instrument

Rows: TypeAlias = npt.NDArray[Any]
"""A structured array: one record a row."""

DEFAULT_INCREMENT: Final = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class InstrumentHistory:
    """What is known of instruments, by symbol and date.

    Before the first date of a symbol its first terms are taken to have held, and it to have been
    open; of a symbol without any, increments of 1e-9 and neither tick nor minimum are assumed.

    Parameters
    ----------
    terms : mapping of str to tuple of InstrumentTerms
        By rising ``from_ns``.

    Raises
    ------
    ConfigError
        Dates of a symbol do not rise.
    """

    terms: Mapping[str, tuple[InstrumentTerms, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for symbol, dated in self.terms.items():
            dates = [one.from_ns for one in dated]
            if not dates or any(b <= a for a, b in pairwise(dates)):
                raise ConfigError(
                    f"instruments of {symbol}: expected rising from_ns; found {dates}"
                )

    @classmethod
    def of(
        cls,
        symbol: str,
        *,
        min_order_size: str = "",
        min_trade_increment: str = "",
        price_increment: str = "",
    ) -> InstrumentHistory:
        """Return the history of one symbol whose terms, decimals as text, never change.

        >>> history = InstrumentHistory.of("BTC/USD", price_increment="0.5")
        >>> history.rows(["BTC/USD"], [60000.0])["tick"].tolist()
        [0.5]
        """
        record = Instrument(
            symbol, 0, 0, "listed", "active", True,
            min_order_size, min_trade_increment, price_increment,
        )  # fmt: skip
        return cls.from_records([record])

    @classmethod
    def from_records(
        cls, records: Iterable[Instrument], *, until_ns: int | None = None
    ) -> InstrumentHistory:
        """Return what records of the table ``instruments`` say, in any order.

        A record carries all that the venue says then; a text that is empty leaves the term as it
        was, an increment of 0 says that there is none. Of several records of one symbol and
        instant all count, in their order. ``until_ns`` is the end of a run: what is wrong from
        then on refuses nothing, the symbol's history ends before it.

        Raises
        ------
        InvalidData
            Rule ``decimal``: a term is not a decimal, or not one that can be counted
            (:mod:`tradelake.market.increments`); rule ``renamed_to``: a rename without a new
            symbol, or a new symbol without a rename; rule ``instrument_event``: an
            unknown event; rule ``negative_time``. Each names the record.
        """
        ordered = sorted(records, key=lambda record: (record.symbol, record.ts_event))
        terms = {}
        for symbol, of_symbol in groupby(ordered, key=lambda record: record.symbol):
            dated: list[InstrumentTerms] = []
            for record in of_symbol:
                try:
                    following = terms_of(record, dated[-1] if dated else None)
                except InvalidData:
                    if until_ns is None or record.ts_event < until_ns:
                        raise
                    break
                if dated and dated[-1].from_ns == following.from_ns:
                    dated.pop()
                dated.append(following)
            if dated:
                terms[symbol] = tuple(dated)
        return cls(terms)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, object]], *, until_ns: int | None = None
    ) -> InstrumentHistory:
        """Return what rows of the lake's table ``instruments`` say, each a mapping by column.

        ``renamed_to`` may be None; columns of transport are not looked at.

        Raises
        ------
        InvalidData
            Rule ``instrument_row``: a column is missing or of another type; rules of
            :meth:`from_records`.
        """
        try:
            return cls.from_records(map(record_of, rows), until_ns=until_ns)
        except InvalidData as error:
            raise InvalidData(error.rule, f"table instruments: {error.reason}") from error

    def with_symbol(self, symbol: str, *dated: InstrumentTerms) -> InstrumentHistory:
        """Return the history with ``symbol`` as given, for those who write it by hand."""
        return InstrumentHistory({**self.terms, symbol: tuple(dated)})

    def unknown(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """Return those of the symbols of which nothing is known, in their order."""
        return tuple(symbol for symbol in symbols if symbol not in self.terms)

    def unsaid(self, symbols: Iterable[str], until_ns: int | None = None) -> tuple[str, ...]:
        """Return those of which something is known, but at some time before the end no increment.

        That of quantities; one of 1e-9 is assumed then.
        """
        return tuple(
            symbol
            for symbol in symbols
            if symbol in self.terms
            and any(not one.min_trade_increment for one in self._from_start(symbol, until_ns))
        )

    def rows(
        self,
        symbols: Sequence[str],
        first_prices: Sequence[float],
        *,
        minimum_notional: Sequence[MinimumNotional] = (),
        enforce: bool = True,
        until_ns: int | None = None,
    ) -> Rows:
        """Return INSTRUMENT rows, sorted by symbol and instant; the first of a symbol is from 0.

        Parameters
        ----------
        symbols : sequence of str
            Of the run: a row's ``symbol`` counts them from 0.
        first_prices : sequence of float
            First price of each, quote units; it decides the quantity unit (M1).
        minimum_notional : sequence of MinimumNotional
            By rising date.
        enforce : bool
            False leaves increments, ticks and minima out.
        until_ns : int or None
            The run's end: what changes from then on is left out.

        Raises
        ------
        ConfigError
            As many prices as symbols, none twice, are needed; a symbol is renamed within the run
            to one that is not among its symbols, or to one with another quantity unit.
        InvalidData
            Rule ``price``: a first price is not a finite positive number; rule ``too_large``: a
            minimum or an increment does not fit 62 bits.
        """
        if len(first_prices) != len(symbols) or len(set(symbols)) != len(symbols):
            raise ConfigError(
                "instruments: expected symbols without repetition and one price for each; "
                f"found {list(symbols)} and {len(first_prices)} prices"
            )
        for symbol, price in zip(symbols, first_prices, strict=True):
            if not (math.isfinite(price) and price > 0.0):
                raise InvalidData("price", f"first of {symbol}: expected above 0; found {price}")
        places = {symbol: place for place, symbol in enumerate(symbols)}
        units = self._units(symbols, first_prices, enforce=enforce, until_ns=until_ns)
        rows: list[tuple[float, ...]] = []
        for place, symbol in enumerate(symbols):
            minima = _minima(symbol, minimum_notional) if enforce else []
            rows.extend(
                (place, *_row(one, units[symbol], minima, places, enforce=enforce))
                for one in _cut(self._from_start(symbol, until_ns), minima, until_ns)
            )
        return np.array(rows, dtype=INSTRUMENT)

    def _from_start(self, symbol: str, until_ns: int | None) -> tuple[InstrumentTerms, ...]:
        dated = self.terms.get(symbol, (InstrumentTerms(0),))
        if dated[0].from_ns > 0:
            before = replace(dated[0], from_ns=0, trading=Trading.OPEN, renamed_to="")
            dated = (before, *dated)
        return tuple(one for one in dated if until_ns is None or one.from_ns < max(until_ns, 1))

    def _units(
        self,
        symbols: Sequence[str],
        first_prices: Sequence[float],
        *,
        enforce: bool,
        until_ns: int | None,
    ) -> dict[str, int]:
        """Return each symbol's quantity unit as a power of ten; one for names that are joined."""
        exponents = {}
        following = []
        for symbol, price in zip(symbols, first_prices, strict=True):
            dated = self._from_start(symbol, until_ns)
            exponents[symbol] = unit_exponent(_increments(dated) if enforce else (), price)
            following += [(symbol, one.renamed_to) for one in dated if one.renamed_to]
        for symbol, new in following:
            if new not in exponents:
                raise ConfigError(
                    f"symbols: {symbol} is renamed to {new} within the run; "
                    f"expected {new} among the symbols; found {list(symbols)}"
                )
        for _ in following:
            for symbol, new in following:
                exponents[symbol] = exponents[new] = max(exponents[symbol], exponents[new])
        return exponents


def _minima(symbol: str, minima: Iterable[MinimumNotional]) -> list[MinimumNotional]:
    quote = symbol.partition("/")[2]
    return [minimum for minimum in minima if minimum.quote in ("", quote)]


def _increments(dated: Iterable[InstrumentTerms]) -> list[Decimal]:
    return [one.min_trade_increment or DEFAULT_INCREMENT for one in dated]


def _cut(
    dated: Sequence[InstrumentTerms], minima: Sequence[MinimumNotional], until_ns: int | None
) -> list[InstrumentTerms]:
    """Return the terms, with one more wherever the smallest notional changes."""
    dates = {one.from_ns for one in dated}
    for minimum in minima:
        if until_ns is None or minimum.valid_from_ns < until_ns:
            dates.add(minimum.valid_from_ns)
    cut = []
    for date in sorted(dates):
        holds = [one for one in dated if one.from_ns <= date][-1]
        cut.append(replace(holds, from_ns=date))
    return cut


def _row(
    one: InstrumentTerms,
    exponent: int,
    minima: Sequence[MinimumNotional],
    places: Mapping[str, int],
    *,
    enforce: bool,
) -> tuple[int, int, int, int, int, int, float, float]:
    """Return all columns of a row but the first."""
    unit = Fraction(10) ** exponent
    notional = [m.notional for m in minima if m.valid_from_ns <= one.from_ns] or [0.0]
    increment = minimum = 0
    tick = 0.0
    if enforce:
        increment = whole_steps(one.min_trade_increment or DEFAULT_INCREMENT, unit)
        minimum = math.ceil(Fraction(one.min_order_size or 0) / unit)
        tick = float(one.price_increment or 0)
    if max(increment, minimum) >= MOST_UNITS:
        raise InvalidData(
            "too_large",
            f"expected increment and minimum below 2**62 units of 1e{exponent}; found {one}",
        )
    return (
        one.from_ns,
        int(one.trading),
        places[one.renamed_to] if one.renamed_to else NONE,
        increment,
        minimum,
        round(notional[-1] * CASH_UNITS),
        tick,
        float(f"1e{exponent}"),
    )


__all__ = ["InstrumentHistory", "InstrumentTerms", "MinimumNotional", "Rows"]
