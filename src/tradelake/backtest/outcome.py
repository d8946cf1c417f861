"""What a run gives: its figures, and the tables, picture and page made of them when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tradelake.backtest import drawing, frames, page
from tradelake.backtest.figures import Figures

if TYPE_CHECKING:
    import pandas as pd

    from tradelake.execution.instruments import InstrumentHistory


@dataclass(frozen=True, eq=False, repr=False)
class Backtest(Figures):
    """One run of one strategy, as people look at it.

    ``trades``, ``orders``, ``fills``, ``equity`` and ``positions`` are DataFrames; ``books``,
    ``trips``, ``clock_ns`` and ``equity_values`` the numpy columns behind them
    (:class:`~tradelake.backtest.figures.Figures`, whose attributes it has).
    """

    @property
    def trades(self) -> pd.DataFrame:
        """Round trips from flat to flat."""
        return frames.trades(self)

    @property
    def orders(self) -> pd.DataFrame:
        """Every order that was sent, by its id."""
        return frames.orders(self)

    @property
    def fills(self) -> pd.DataFrame:
        """Every fill, in order of happening."""
        return frames.fills(self)

    @property
    def equity(self) -> pd.DataFrame:
        """Equity, cash and the worth of each symbol at each instant."""
        return frames.equity(self)

    @property
    def positions(self) -> pd.DataFrame:
        """Base units of each symbol after each instant."""
        return frames.positions(self)

    def plot(self) -> drawing.Picture:
        """Return equity and drawdown as a picture that a notebook shows; ``str`` is its SVG."""
        return page.picture(self)

    def report(self, path: str | Path) -> Path:
        """Write the result as one HTML page that asks nothing of the network; return its path."""
        target = Path(path)
        target.write_text(page.html(self), encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return page.fragment(self)

    def __repr__(self) -> str:
        last = float(self.equity_values[-1]) if len(self.equity_values) else self.cash
        return (
            f"<Backtest {self.title}: {self.cash:,.2f} -> {last:,.2f} {self.currency}, "
            f"{len(self.trips)} trips, {len(self.books.orders)} orders, rung {self.rung}>"
        )


def stated(history: InstrumentHistory, symbols: Sequence[str]) -> str:
    """Return what a run's records of instruments are, to follow what its fills assume."""
    known = [symbol for symbol in symbols if symbol in history.terms]
    if not known:
        return "No records of instruments were given: nothing changes by date."
    told = [f"{symbol} {len(history.terms[symbol])}" for symbol in known]
    return f"Increments, halts and names change by date; records: {', '.join(told)}."


def digest_of(history: InstrumentHistory, symbols: Sequence[str]) -> str:
    """Return a hash of what is known of the symbols; empty for nothing."""
    known = {symbol: history.terms[symbol] for symbol in symbols if symbol in history.terms}
    if not known:
        return ""
    return f"blake2b:{hashlib.blake2b(repr(known).encode(), digest_size=8).hexdigest()}"
