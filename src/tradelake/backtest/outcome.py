"""What a run gives: its figures, and the tables, picture and page made of them when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tradelake.backtest import drawing, frames, page
from tradelake.backtest.figures import Books, Figures
from tradelake.backtest.screen import Finding
from tradelake.backtest.setting import Identity, Setting
from tradelake.execution.instruments import InstrumentHistory
from tradelake.execution.machine import Machine
from tradelake.execution.realism import describe
from tradelake.market.arrays import BarArrays, IntArray

if TYPE_CHECKING:
    import pandas as pd


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


def backtest_of(
    machine: Machine,
    who: Identity,
    setting: Setting,
    *,
    style: str,
    timeframe: str,
    start_ns: int,
    event_ns: IntArray,
    findings: Iterable[Finding],
    code_version: str,
    bars: Sequence[BarArrays] = (),
    ticks: Mapping[str, str] | None = None,
) -> Backtest:
    """Return the result of a run that has ended.

    Parameters
    ----------
    machine : Machine
        Its venue.
    who : Identity
        Its strategy.
    setting : Setting
        Everything else that was asked for.
    style, timeframe, start_ns, findings, code_version
        As of :class:`~tradelake.backtest.figures.Figures`.
    event_ns : IntArray, shape (m,)
        When each input was known; the last ends the run.
    bars : sequence of BarArrays
        What it was run on.
    ticks : mapping, optional
        What it was run on: hashes by name.
    """
    symbols, history, end_ns = tuple(machine.symbols), setting.history, int(event_ns[-1])
    realism = describe(
        setting.broker,
        setting.costs,
        setting.rung,
        history=history,
        symbols=symbols,
        start_ns=start_ns,
        end_ns=end_ns,
    )
    state = machine.state
    return Backtest(
        strategy=who.name,
        style=style,
        parameters=who.parameters,
        symbols=symbols,
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=end_ns,
        cash=setting.cash,
        rung=int(setting.rung),
        realism=f"{realism} {_stated(history, symbols)}",
        findings=tuple(findings),
        settings={
            "broker": setting.broker.name,
            "costs": asdict(setting.costs),
            "seed": setting.seed,
            "instruments": _digest_of(history, symbols),
            "code_version": code_version,
            **({} if ticks is None else {"data": ticks}),
        },
        data=tuple(bars),
        books=Books(
            machine.orders,
            machine.fills,
            state.positions,
            state.account,
            state.instruments,
            event_ns,
            machine.equity,
        ),
    )


def _stated(history: InstrumentHistory, symbols: Sequence[str]) -> str:
    """Return what a run's records of instruments are, to follow what its fills assume."""
    known = [symbol for symbol in symbols if symbol in history.terms]
    if not known:
        return "No records of instruments were given: nothing changes by date."
    told = [f"{symbol} {len(history.terms[symbol])}" for symbol in known]
    return f"Increments, halts and names change by date; records: {', '.join(told)}."


def _digest_of(history: InstrumentHistory, symbols: Sequence[str]) -> str:
    """Return a hash of what is known of the symbols; empty for nothing."""
    known = {symbol: history.terms[symbol] for symbol in symbols if symbol in history.terms}
    if not known:
        return ""
    return f"blake2b:{hashlib.blake2b(repr(known).encode(), digest_size=8).hexdigest()}"
