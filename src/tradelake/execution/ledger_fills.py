"""Fills as a venue reports them, and in units: what makes no sense is refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from tradelake.errors import InvalidData
from tradelake.execution.layout import CASH_DIGITS, CASH_UNITS, LEAST_PRICE, MOST_PRICE, Side
from tradelake.execution.state import DAY_NS

AHEAD_NS: Final = DAY_NS
"""How far the venue's clock may be ahead of the caller's: a day that is wrong by no more passes."""
MOST: Final = 4 * 10**18
"""Units of a fill, and cash units that it is worth (O2)."""
_MOST_NS: Final = 2**63 - 1
_EXPONENTS: Final = range(-40, 41)


class VenueFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as a venue reports it.

    Parameters
    ----------
    id : str
        The venue's own; what it reports twice is booked once.
    symbol : str
        ``BASE/QUOTE``.
    side : int
        :class:`~tradelake.execution.layout.Side`.
    quantity : Decimal
        Base units, before a fee in base; whole in the instrument's unit (M1).
    price : float
        Quote units.
    ts_ns : int
        ns since 1970 UTC.
    maker : bool
        Whose fee is charged where ``fee`` is not told.
    fee : Decimal or None
        As the venue says, of ``fee_asset``, below 0 where it was paid to us; rounded half to even
        to the asset's unit. None: by the terms' tiers (C4).
    fee_asset : str
        Base or quote of the symbol.
    """

    id: str
    symbol: str
    side: int
    quantity: Decimal
    price: float
    ts_ns: int
    maker: bool = False
    fee: Decimal | None = None
    fee_asset: str = ""


class Told(NamedTuple):
    """A fill in units; ``fee`` None: by the terms."""

    symbol: int
    side: int
    quantity: int
    price: float
    ts_ns: int
    maker: bool
    fee: int | None
    in_base: bool

    @property
    def taken(self) -> int:
        """What a fee in base takes: of a buy from what arrives, of a sell from what is held."""
        return self.fee if self.in_base and self.fee is not None else 0


class Assets(NamedTuple):
    """What the symbols of an account are called and counted in."""

    symbols: Mapping[str, int]
    bases: Sequence[str]
    quote: str
    units: Sequence[Fraction]
    """Base units in one unit of each symbol's quantities (M1)."""

    def told(self, fill: VenueFill, now_ns: int) -> Told:
        """Return a fill in units, heard of at an instant, ns since 1970 UTC.

        Raises
        ------
        InvalidData
            Names the fill. Rules ``fill``, ``id``, ``symbol``, ``side``, ``quantity``, ``price``,
            ``time``, ``maker``, ``fee``, ``fee_asset``: it makes no sense by itself; ``time`` also:
            it is still to come.
        """
        if not isinstance(fill, VenueFill):
            raise InvalidData("fill", f"expected a VenueFill; found {fill!r:.80}")
        require(_is_text(fill.id), fill, "id", "a text", fill.id)
        known = _is_text(fill.symbol) and fill.symbol in self.symbols
        require(known, fill, "symbol", f"one of {', '.join(self.symbols)}", fill.symbol)
        number = self.symbols[fill.symbol]
        sided = _is_whole(fill.side) and fill.side in tuple(Side)
        require(sided, fill, "side", "1 or -1", fill.side)
        timed = _is_whole(fill.ts_ns) and 0 <= fill.ts_ns <= _MOST_NS
        require(timed, fill, "time", "ns since 1970", fill.ts_ns)
        latest = now_ns + AHEAD_NS
        require(fill.ts_ns <= latest, fill, "time", f"no later than {latest} ns", fill.ts_ns)
        require(isinstance(fill.maker, bool), fill, "maker", "True or False", fill.maker)
        priced = _is_real(fill.price) and LEAST_PRICE <= fill.price <= MOST_PRICE
        require(priced, fill, "price", "a price above 0", fill.price)
        price, unit = float(fill.price), self.units[number]
        require(_is_number(fill.quantity), fill, "quantity", "a Decimal above 0", fill.quantity)
        units = Fraction(fill.quantity) / unit
        whole = units > 0 and units.denominator == 1
        require(whole, fill, "quantity", f"a multiple of {float(unit)} above 0", fill.quantity)
        quantity = units.numerator
        bounded = quantity < MOST and quantity * float(unit) * price * CASH_UNITS < MOST
        require(bounded, fill, "quantity", "less than 4e18 units and cash units", fill.quantity)
        fee, in_base = self._fee(fill, number, quantity)
        return Told(
            number, int(fill.side), quantity, price, int(fill.ts_ns), fill.maker, fee, in_base
        )

    def _fee(self, fill: VenueFill, number: int, quantity: int) -> tuple[int | None, bool]:
        """Return the fee that a venue told, in units, and whether it is in base."""
        if fill.fee is None:
            require(fill.fee_asset == "", fill, "fee", "a fee of that asset", None)
            return None, False
        base = self.bases[number]
        asset = fill.fee_asset in (base, self.quote)
        require(asset, fill, "fee_asset", f"{base} or {self.quote}", fill.fee_asset)
        require(_is_number(fill.fee), fill, "fee", "None or a Decimal", fill.fee)
        in_base = fill.fee_asset == base
        most, unit = quantity, self.units[number]
        if not in_base:
            worth = quantity * float(unit) * float(fill.price) * CASH_UNITS  # as M2 says
            most, unit = round(worth), Fraction(1, 10**CASH_DIGITS)
        fee = round(Fraction(fill.fee) / unit)
        require(abs(fee) <= most, fill, "fee", "no more than the fill is worth", fill.fee)
        return fee, in_base


def assets_of(symbols: Sequence[str], units: Iterable[float]) -> Assets:
    """Return what the symbols are called and counted in.

    Raises
    ------
    InvalidData
        Rule ``symbols``: a name is not ``BASE/QUOTE``, or their quote currencies differ.
    """
    parts = [name.partition("/") for name in symbols]
    bases, quotes = [part[0] for part in parts], {part[2] for part in parts}
    if len(quotes) != 1 or "" in quotes or "" in bases:
        found = ", ".join(symbols)
        raise InvalidData(
            "symbols", f"expected BASE/QUOTE of one quote currency; found {found!r:.200}"
        )
    numbers = {name: number for number, name in enumerate(symbols)}
    return Assets(numbers, bases, quotes.pop(), [Fraction(repr(float(unit))) for unit in units])


def require(valid: bool, fill: VenueFill, rule: str, expected: str, found: object) -> None:
    """Refuse a fill.

    Raises
    ------
    InvalidData
        ``valid`` is false.
    """
    if not valid:
        raise InvalidData(rule, f"fill {fill.id!r:.60}: expected {expected}; found {found!r:.200}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    """Return whether it is a finite Decimal of a size that can be reckoned with."""
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    return value.as_tuple().exponent in _EXPONENTS and len(value.as_tuple().digits) <= len(
        _EXPONENTS
    )
