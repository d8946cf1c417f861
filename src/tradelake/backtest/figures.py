"""What a run leaves in numbers: orders, fills, the account at every instant, its measures."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tradelake.backtest import curve as cells
from tradelake.backtest.metrics import YEAR_NS, Metrics, from_curve, periods_per_year
from tradelake.backtest.screen import Finding
from tradelake.backtest.trips import round_trips
from tradelake.execution.layout import CASH_UNIT, NONE, Reason, Side, Sizing, Status
from tradelake.market.arrays import BarArrays, FloatArray, IntArray
from tradelake.market.timeframes import TIMEFRAMES, timeframe_ns

Rows = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Books:
    """The rows that a run ends with, as the matching core left them.

    Attributes
    ----------
    orders, fills, positions, account : Rows
        As in :mod:`tradelake.execution.layout`; an order's row is its id.
    instruments : Rows
        What held for the symbols, by date.
    event_ns : IntArray, shape (m,)
        When each input was known, not decreasing.
    equity : FloatArray, shape (m,)
        Quote units, after each input.
    """

    orders: Rows
    fills: Rows
    positions: Rows
    account: Rows
    instruments: Rows
    event_ns: IntArray
    equity: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Figures:
    """One run of one strategy, in numbers: numpy columns that follow from its orders and fills.

    Attributes
    ----------
    strategy, style : str
        Name, and how it was run: ``vectorised``, ``event`` or ``compiled``.
    parameters : mapping
        Every parameter in force.
    symbols : tuple of str
        In the order of their numbers.
    timeframe : str
        Of the bars; of ticks the spacing at which returns are taken.
    start_ns, end_ns : int
        First instant and last, ns since 1970 UTC.
    cash : float
        At the start, quote units.
    rung : int
        How real the fills are.
    realism : str
        What they assume, in words.
    findings : tuple of Finding
        What was wrong with the data, and masked or flagged.
    settings : mapping
        Broker, costs, seed, code version: what a manifest names beside the data.
    data : tuple of BarArrays
        What was run on; of ticks empty.
    books : Books
        Orders, fills, account.
    """

    strategy: str
    style: str
    parameters: Mapping[str, Any]
    symbols: tuple[str, ...]
    timeframe: str
    start_ns: int
    end_ns: int
    cash: float
    rung: int
    realism: str
    findings: tuple[Finding, ...]
    settings: Mapping[str, Any]
    data: tuple[BarArrays, ...]
    books: Books

    @cached_property
    def clock_ns(self) -> IntArray:
        """Instants at which the equity is known, ns since 1970 UTC, increasing, shape (n,)."""
        return self.books.event_ns[self._last_of_instant]

    @cached_property
    def equity_values(self) -> FloatArray:
        """Equity at each instant of the clock, quote units, shape (n,)."""
        return self.books.equity[self._last_of_instant]

    @cached_property
    def _last_of_instant(self) -> IntArray:
        stamps = self.books.event_ns
        if not len(stamps):
            return np.empty(0, np.int64)
        return np.flatnonzero(np.append(stamps[1:] != stamps[:-1], True))

    @cached_property
    def units(self) -> FloatArray:
        """Base units in one unit of each symbol's quantities."""
        units: FloatArray = self.books.positions["unit"]
        return units

    @cached_property
    def trips(self) -> Rows:
        """Round trips, :data:`~tradelake.backtest.trips.TRIP` rows."""
        names = np.arange(len(self.symbols))
        renamed = self.books.instruments[self.books.instruments["renamed_to"] != NONE]
        for row in renamed[np.argsort(renamed["from_ns"], kind="stable")]:
            names[names == row["symbol"]] = row["renamed_to"]
        prices = self.books.positions["price"]
        return round_trips(self.books.fills, self.units, names, prices, self.end_ns)

    @cached_property
    def held(self) -> FloatArray:
        """Base units of each symbol after each instant of the clock, shape (n, k)."""
        fills = self.books.fills
        received = np.where(
            (fills["fee_in_base"] == 1) & (fills["side"] == Side.BUY), fills["fee"], 0
        )
        moved = fills["side"] * (fills["quantity"] - received)
        held = np.zeros((len(self.clock_ns), len(self.symbols)))
        places = self._instant_of_fills()
        for number in range(len(self.symbols)):
            mine = fills["symbol"] == number
            after = np.concatenate(([0], np.cumsum(moved[mine])))
            at = np.searchsorted(places[mine], np.arange(len(held)), side="right")
            held[:, number] = after[at] * self.units[number]
        return held

    def _instant_of_fills(self) -> IntArray:
        """Place on the clock of the input that filled: a bar's open belongs to its close."""
        fills = self.books.fills
        instants = fills["ts_ns"].copy()
        for number, bars in enumerate(self.data):
            mine = (fills["symbol"] == number) & ~self._closed_by_venue()[fills["order"]]
            instants[mine] = bars.close_ns[fills["event"][mine]]
        return np.searchsorted(self.clock_ns, instants, side="left")

    def _closed_by_venue(self) -> npt.NDArray[np.bool_]:
        closed: npt.NDArray[np.bool_] = self.books.orders["reason"] == Reason.DELISTED
        return closed

    @cached_property
    def prices(self) -> FloatArray:
        """Last price of each symbol at each instant of the clock, shape (n, k); NaN before one.

        Of bars their closes; of ticks the price at the fills, and the last one at the end.
        """
        prices = np.full((len(self.clock_ns), len(self.symbols)), np.nan)
        for number, bars in enumerate(self.data):
            at = np.searchsorted(bars.close_ns, self.clock_ns, side="right") - 1
            known = at >= 0
            prices[known, number] = bars.close[at[known]]
        return prices

    def metrics(self) -> Metrics:
        """Return the measures of the equity curve and the closed round trips.

        Raises
        ------
        InvalidData
            Rule ``return``: a return is not finite.
        """
        from tradelake.backtest import measures  # compiled: loaded by those who summarise only

        equity, periods = self._even_curve()
        curve = cells.start(self.cash)
        measures.follow(curve, np.ascontiguousarray(equity))
        holding = (self.held != 0.0).any(axis=1)
        curve[cells.HELD] = len(equity) * (holding.mean() if len(holding) else 0.0)
        closed = self.trips[~self.trips["is_open"]]
        return from_curve(
            curve,
            lambda: np.diff(equity, prepend=self.cash) / np.concatenate(([self.cash], equity[:-1])),
            cash=self.cash,
            fees=float(self.books.account["fees_value"][0]) * CASH_UNIT,
            notional=float(self.books.account["turnover"][0]) * CASH_UNIT,
            trades=len(closed),
            wins=int(np.count_nonzero(closed["pnl"] > closed["fees"])),
            elapsed_ns=self.end_ns - self.start_ns,
            periods=periods,
        )

    def _even_curve(self) -> tuple[FloatArray, float]:
        """Equity at even distances, and how many of them make a year."""
        if self.timeframe not in TIMEFRAMES:
            years = max(self.end_ns - self.start_ns, 1) / YEAR_NS
            return self.equity_values, len(self.equity_values) / years
        periods = periods_per_year(self.timeframe)
        if self.data:
            return self.equity_values, periods
        step = timeframe_ns(self.timeframe)
        grid = np.arange(self.start_ns // step + 1, self.end_ns // step + 2) * step
        at = np.searchsorted(self.clock_ns, grid, side="right") - 1
        return np.where(at >= 0, self.equity_values[np.maximum(at, 0)], self.cash), periods

    @property
    def rejects(self) -> dict[str, int]:
        """Rejected orders by reason, short targets that were taken as flat among them."""
        orders = self.books.orders
        short = (orders["sizing"] == Sizing.TARGET) & (orders["amount"] < 0.0)
        flat = short & (orders["reason"] == Reason.INSUFFICIENT_QUANTITY)
        reasons = orders["reason"][flat | (orders["status"] == Status.REJECTED)].tolist()
        return {Reason(one).name.lower(): count for one, count in Counter(reasons).most_common()}

    @property
    def fees(self) -> dict[str, float]:
        """Fees by asset: units of each base asset, and of the quote currency."""
        fees: dict[str, float] = {}
        for number, symbol in enumerate(self.symbols):
            base = int(self.books.positions["fees_base"][number])
            if base:
                asset = symbol.partition("/")[0]
                fees[asset] = fees.get(asset, 0.0) + base * float(self.units[number])
        in_cash = float(self.books.account["fees_cash"][0]) * CASH_UNIT
        if in_cash:
            fees[self.currency] = in_cash
        return fees

    @property
    def currency(self) -> str:
        """The quote currency of the run."""
        return self.symbols[0].partition("/")[2] or "quote"

    @property
    def manifest(self) -> dict[str, Any]:
        """What the result follows from: the same manifest gives the same result."""
        return {
            "strategy": self.strategy,
            "style": self.style,
            "parameters": dict(self.parameters),
            "symbols": list(self.symbols),
            "timeframe": self.timeframe,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "cash": self.cash,
            "rung": self.rung,
            "data": {bars.symbol: bars.snapshot_id or digest(bars) for bars in self.data},
            **self.settings,
        }

    @property
    def title(self) -> str:
        """Strategy, parameters and symbols in one line."""
        values = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.strategy}({values}) on {', '.join(self.symbols)} {self.timeframe}"


def digest(bars: BarArrays) -> str:
    """Return a hash of the bars' content, for those that no snapshot names."""
    found = hashlib.blake2b(digest_size=8)
    for column in (bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume):
        found.update(column.tobytes())
    return f"blake2b:{found.hexdigest()}"
