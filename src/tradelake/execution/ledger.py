"""The account of fills that a venue reports: a live account, booked as backtests book theirs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np

from tradelake.errors import InvalidData
from tradelake.execution.inputs import check_instruments
from tradelake.execution.layout import CASH_DIGITS, CASH_UNITS, LEAST_PRICE, MOST_PRICE, NONE
from tradelake.execution.ledger_fills import Told, VenueFill, assets_of, require
from tradelake.execution.ledger_state import LedgerState, SavedPosition, checked
from tradelake.execution.state import Record, Rows, new_state, plain
from tradelake.execution.terms import Terms

_MOST_HELD: Final = 2**63 - 1


class Holding(NamedTuple):
    """What is held of a symbol, and what it brought."""

    quantity: Decimal
    """Base units; below 0 where short."""
    average_price: float
    """Quote units paid, or received, for one base unit; NaN where flat."""
    cost: Decimal
    """Quote units paid for what is held, or received of a short: negative (M5)."""
    realised: Decimal
    """Quote units."""
    turnover: float
    """Quote units."""


class Exposure(NamedTuple):
    """What positions are worth, quote units."""

    gross: Decimal
    net: Decimal


class Ledger:
    """One account whose fills happen elsewhere.

    Fills are booked by the functions that book those of the matching core, in the order in which
    they are given: the fills of a backtest make the backtest's account. What is refused leaves
    everything as it was. Nothing here grows but the ids of fills.

    Parameters
    ----------
    symbols : sequence of str
        Names, in the order of the symbols' numbers; all of one quote currency.
    instruments : Rows
        :data:`~tradelake.execution.terms.INSTRUMENT` rows, as of
        :class:`~tradelake.execution.machine.Machine`. Only their units count.
    terms : Terms
        Fees where the venue tells none, and whether positions may be negative.
    cash : int
        At the start, cash units.

    Raises
    ------
    InvalidData
        As :func:`tradelake.execution.inputs.check_instruments`; rule ``symbols``: a name is not
        ``BASE/QUOTE``, or their quote currencies differ.
    """

    def __init__(self, symbols: Sequence[str], instruments: Rows, terms: Terms, cash: int) -> None:
        from tradelake.execution import ledger_calls, views  # compiled: loaded by those who run
        from tradelake.execution.handles import Header

        self._calls = ledger_calls
        self._state = new_state(check_instruments(symbols, instruments), int(cash), 4)
        self._state.counters["event"] = NONE
        self._assets = assets_of(symbols, self._state.positions["unit"])
        self._terms = plain(terms)
        self._known: dict[str, int] = {}
        self._headers = Header(views.STATE, self._state), Header(views.TERMS, self._terms)
        self._state_at, self._terms_at = (header.address for header in self._headers)

    def prepare(self) -> None:
        """Compile what this calls, or load it from disk; once a process."""
        self._calls.prepare()

    def book(self, fill: VenueFill, now_ns: int) -> bool:
        """Book a fill; False where it was booked before.

        Parameters
        ----------
        fill : VenueFill
            As reported; one that comes late counts for its own day, or the one before the newest.
        now_ns : int
            By the caller's clock, ns since 1970 UTC. A fill that lies more than
            :data:`~tradelake.execution.ledger_fills.AHEAD_NS` later is refused: its day would be
            the newest for ever, and no other be charged its own tier (C4).

        Raises
        ------
        InvalidData
            Names the fill; nothing is booked. Rules ``id``, ``symbol``, ``side``, ``quantity``,
            ``price``, ``time``, ``maker``, ``fee``, ``fee_asset``: it makes no sense.
            ``oversold``: more is sold than held, and the terms allow no shorts. ``overflow``: the
            account would not fit 63 bits. ``changed``: its id was reported with other contents.
        """
        told = self._assets.told(fill, now_ns)
        digest = int.from_bytes(
            hashlib.blake2b(repr(tuple(told)).encode(), digest_size=8).digest(), "big"
        )
        if fill.id in self._known:
            same = self._known[fill.id] == digest
            require(same, fill, "changed", "what was reported before", fill)
            return False
        self._check_room(fill, told)
        state = self._state
        state.orders[0] = np.zeros((), state.orders.dtype)
        state.orders["symbol"][0], state.counters["fills"] = told.symbol, 0
        if told.fee is None:
            self._calls.book(
                self._state_at,
                self._terms_at,
                told.side,
                told.quantity,
                told.price,
                told.maker,
                told.ts_ns,
            )
        else:
            self._book_paid(told, told.fee)
        self._known[fill.id] = digest
        return True

    def rename(self, symbol: str, to: str) -> None:
        """Carry a position over to the name that goes on (I2).

        Raises
        ------
        InvalidData
            Rule ``symbol``: one of them is unknown, or both are one. Rule ``unit``: they are
            counted in different units. Rule ``overflow``: both together would not fit 63 bits.
        """
        for name in (symbol, to):
            if name not in self._assets.symbols or symbol == to:
                raise InvalidData("symbol", f"expected two known names; found {symbol!r}, {to!r}")
        number, other = self._assets.symbols[symbol], self._assets.symbols[to]
        if self._assets.units[number] != self._assets.units[other]:
            raise InvalidData("unit", f"expected {symbol} and {to} in one unit; found two")
        rows = self._state.positions[[number, other]]
        for name in ("quantity", "cost", "realised"):
            if sum(abs(int(each)) for each in rows[name]) >= _MOST_HELD:
                raise InvalidData("overflow", f"expected {symbol} and {to} to fit 63 bits together")
        self._calls.rename(self._state_at, number, other)

    @property
    def cash(self) -> Decimal:
        """Quote units."""
        return _money(self._state.account["cash"][0])

    @property
    def turnover(self) -> float:
        """Quote units, of all fills."""
        return float(self._state.account["turnover"][0]) / CASH_UNITS

    @property
    def fills(self) -> int:
        """How many were booked; one that crosses flat counts twice (M5)."""
        return int(self._state.account["fills"][0])

    def holdings(self) -> dict[str, Holding]:
        """Return what is held of each symbol, flat ones too."""
        return {name: self._holding(number) for name, number in self._assets.symbols.items()}

    def fees(self) -> dict[str, Decimal]:
        """Return the fees paid by asset; those in which none was paid are left out."""
        paid = dict.fromkeys((self._assets.quote, *self._assets.bases), Decimal(0))
        paid[self._assets.quote] += _money(self._state.account["fees_cash"][0])
        for number, base in enumerate(self._assets.bases):
            paid[base] += self._amount(number, self._state.positions["fees_base"][number])
        return {asset: fee for asset, fee in paid.items() if fee}

    def unrealised(self, prices: Mapping[str, float]) -> dict[str, Decimal]:
        """Return what each position would bring beyond its cost, without fees, quote units.

        Raises
        ------
        InvalidData
            Rule ``price``: what is held has none above 0.
        """
        costs = self._state.positions["cost"]
        return {
            name: worth - _money(costs[self._assets.symbols[name]])
            for name, worth in self._worths(prices).items()
        }

    def exposure(self, prices: Mapping[str, float]) -> Exposure:
        """Return what positions are worth at prices; raises as :meth:`unrealised`."""
        worths = list(self._worths(prices).values())
        return Exposure(sum(map(abs, worths), Decimal(0)), sum(worths, Decimal(0)))

    def equity(self, prices: Mapping[str, float]) -> Decimal:
        """Return cash and what positions are worth at prices; raises as :meth:`unrealised`."""
        return self.cash + self.exposure(prices).net

    def saved(self) -> LedgerState:
        """Return all that :meth:`restore` needs, as plain numbers and texts."""
        account, counters = self._state.account[0], self._state.counters[0]
        rows = self._state.positions
        return LedgerState(
            cash=int(account["cash"]),
            fees_cash=int(account["fees_cash"]),
            fees_value=int(account["fees_value"]),
            turnover=float(account["turnover"]),
            fills=int(account["fills"]),
            day=int(counters["newest_day"]),
            maker=float(counters["maker"]),
            taker=float(counters["taker"]),
            notional=self._state.notional.tolist(),
            positions={
                name: SavedPosition(**{each: rows[each][number].item() for each in _SAVED})
                for name, number in self._assets.symbols.items()
            },
            known=dict(self._known),
        )

    def restore(self, state: LedgerState, now_ns: int) -> None:
        """Go on from what was saved; symbols that were not known then are flat.

        Parameters
        ----------
        state : LedgerState
            As :meth:`saved`.
        now_ns : int
            By the caller's clock, ns since 1970 UTC, as for :meth:`book`.

        Raises
        ------
        InvalidData
            Rule ``state``: it makes no sense, its newest day is still to come, or a symbol of it
            is unknown or counted in another unit. Rule ``cost``: that of a position that is flat,
            or of the other sign than its quantity. Everything stays as it was.
        """
        state = checked(state, now_ns)
        for name, position in state.positions.items():
            number = self._assets.symbols.get(name, NONE)
            unit = None if number == NONE else float(self._state.positions["unit"][number])
            if unit != position.unit:
                raise InvalidData(
                    "state", f"expected {name} in units of {position.unit}; found {unit}"
                )
        account, counters = self._state.account, self._state.counters
        for name in ("cash", "fees_cash", "fees_value", "turnover", "fills"):
            account[name] = getattr(state, name)
        counters["day"], counters["newest_day"] = NONE, state.day  # its tier is found anew
        for name in ("maker", "taker"):
            counters[name] = getattr(state, name)
        self._state.notional[:] = state.notional
        for name, number in self._assets.symbols.items():
            unit = float(self._state.positions["unit"][number])
            position = state.positions.get(name, SavedPosition(unit=unit))
            for each in _SAVED:
                self._state.positions[each][number] = getattr(position, each)
        self._known = dict(state.known)

    def _book_paid(self, told: Told, fee: int) -> None:
        """Book with a given fee: as two where it crosses flat, the fee by their share (M5)."""
        held = int(self._state.positions["quantity"][told.symbol])
        moved = told.quantity - told.side * told.taken
        parts = [(told.quantity, fee)]
        if held * told.side < 0 and moved > abs(held):
            first = round(Fraction(fee * abs(held), moved))
            closing = abs(held) + (told.side * first if told.in_base else 0)
            parts = [(closing, first), (told.quantity - closing, fee - first)]
        for quantity, paid in parts:
            self._calls.book_paid(
                self._state_at,
                self._terms_at,
                told.side,
                quantity,
                told.price,
                told.maker,
                told.ts_ns,
                paid,
                told.in_base,
            )

    def _check_room(self, fill: VenueFill, told: Told) -> None:
        """Refuse what the account cannot take."""
        position, account = self._state.positions[told.symbol], self._state.account[0]
        held = int(position["quantity"])
        if told.side < 0 and not self._terms.allow_short:
            enough = told.quantity + told.taken <= held
            at_most = f"no more than the {self._amount(told.symbol, held)} held"
            require(enough, fill, "oversold", at_most, fill.quantity)
        value = self._value(told.symbol, told.quantity, told.price)
        worst = max(
            _size(account, "cash"),
            _size(position, "realised") + _size(position, "cost"),
            _size(account, "fees_cash"),
            _size(account, "fees_value"),
        )
        units = max(abs(held), _size(position, "fees_base")) + 2 * told.quantity
        fits = worst + 2 * value < _MOST_HELD and units < _MOST_HELD
        require(fits, fill, "overflow", "an account that fits 63 bits", fill.quantity)

    def _holding(self, number: int) -> Holding:
        row = self._state.positions[number]
        quantity, cost = int(row["quantity"]), int(row["cost"])
        average = float("nan")
        if quantity:
            average = float(
                Fraction(cost, 10**CASH_DIGITS) / (quantity * self._assets.units[number])
            )
        return Holding(
            self._amount(number, quantity),
            average,
            _money(cost),
            _money(row["realised"]),
            float(row["turnover"]) / CASH_UNITS,
        )

    def _worths(self, prices: Mapping[str, float]) -> dict[str, Decimal]:
        worths = {}
        for name, number in self._assets.symbols.items():
            held = int(self._state.positions["quantity"][number])
            price = prices.get(name, math.nan) if held else 1.0
            if not LEAST_PRICE <= price <= MOST_PRICE:
                raise InvalidData("price", f"expected a price of {name} above 0; found {price!r}")
            worths[name] = _money(self._value(number, held, price))
        return worths

    def _value(self, number: int, quantity: int, price: float) -> int:
        """Return what units are worth, cash units, in the order of M2."""
        unit = float(self._state.positions["unit"][number])
        return int(np.rint(quantity * unit * price * CASH_UNITS))

    def _amount(self, number: int, units: int) -> Decimal:
        return Decimal(int(units)) * Decimal(repr(float(self._assets.units[number])))


_SAVED: Final = SavedPosition.__struct_fields__


def _size(row: Record, name: str) -> int:
    return abs(int(row[name]))


def _money(units: int) -> Decimal:
    return Decimal(int(units)).scaleb(-CASH_DIGITS)
