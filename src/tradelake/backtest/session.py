"""Runs a strategy over data through the matching core: one call, from data to result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from tradelake.backtest.clock import Clock
from tradelake.backtest.engine import panel_targets, refuse_trained_bars, targets_of
from tradelake.backtest.limits import Limits, OutOfTime, watched
from tradelake.backtest.outcome import Backtest, backtest_of
from tradelake.backtest.screen import Finding, Screen, screen_all
from tradelake.backtest.setting import (
    Setting,
    check_findings,
    identity_of,
    rung_of,
    setting_of,
)
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.execution.broker import BrokerRules, terms
from tradelake.execution.costs import Costs
from tradelake.execution.instruments import InstrumentHistory
from tradelake.execution.layout import CASH_UNITS
from tradelake.execution.machine import Machine
from tradelake.execution.terms import Rung
from tradelake.market.arrays import BarArrays
from tradelake.market.tape import TickArrays
from tradelake.market.ticks import BookArrays, QuoteArrays, TradeArrays
from tradelake.strategies.api import PanelStrategy, Strategy
from tradelake.strategies.compiled import CompiledStrategy

Data: TypeAlias = (
    BarArrays | Sequence[BarArrays] | Mapping[str, BarArrays] | TickArrays | Sequence[TickArrays]
)
TICKS: Final = (TradeArrays, QuoteArrays, BookArrays)


def run(
    data: Data,
    strategy: Any,  # noqa: ANN401 - any of the three styles
    *,
    broker: str | BrokerRules = "alpaca",
    costs: Costs | None = None,
    instruments: InstrumentHistory | None = None,
    rung: Rung | int | Literal["auto"] = "auto",
    cash: float = 100_000.0,
    seed: int = 0,
    limits: Limits | None = None,
    screen: Screen | None = None,
    screened: Sequence[Finding] | None = None,
    code_version: str = "",
) -> Backtest:
    """Return what ``strategy`` leaves on ``data``.

    A target of several symbols is a fraction of its symbol's equal share of the equity.

    Parameters
    ----------
    data : BarArrays, or a sequence or mapping of them; or a sequence of tick arrays
        Bars: one for each symbol, of equal timeframes. Quotes, trades and books of any symbols:
        for event-driven and compiled strategies; what is wrong in them is told as their ``bad``
        says.
    strategy : Strategy
        Vectorised (``signals``), event-driven (``on_bar``, ``on_quote``, ...) or compiled
        (:class:`~tradelake.strategies.compiled.CompiledStrategy`); the same one gives the same
        trades in any style.
    broker : str or BrokerRules
        Name of a broker, or its rules.
    costs : Costs, optional
        Everything else that trading costs; see its defaults.
    instruments : InstrumentHistory, optional
        Increments, halts, renames and delistings by date.
    rung : Rung or "auto"
        How real fills are; ``auto`` takes the highest that the data can carry: 2 for bars, 1 where
        these have no volume at all.
    cash : float
        Quote units at the start.
    seed : int
        Of every random draw, the strategy's too.
    limits : Limits, optional
        Seconds and orders after which the run is ended. A compiled callback that never returns
        is left behind at the end of its seconds, in a thread that burns its core until the process
        ends.
    screen : Screen, optional
        What is done about data that is not as it should be.
    screened : sequence of Finding, optional
        What was found in data that was screened before; it is not screened again.
    code_version : str
        For the manifest.

    Raises
    ------
    ConfigError
        Bad arguments, or a strategy that was trained on these bars.
    InsufficientData
        Fewer than two bars of a symbol.
    InvalidData
        Rule ``strategy``: it raised; ``signal``: a target is no fraction; ``limit``: it took too
        long or sent too many orders; rules of the screen. Each names strategy and time.
    """
    who = identity_of(strategy)
    check_findings(screen, screened)
    if is_ticks(data):
        from tradelake.backtest.ticking import run_ticks

        given = list(data) if isinstance(data, list | tuple) else [data]
        chosen = _tick_rung(given, rung)
        setting = setting_of(broker, costs, instruments, chosen, cash, seed, limits)
        return run_ticks(given, strategy, who, setting, code_version)  # type: ignore[arg-type]
    columns = _listed(data)
    findings = tuple(screened or ())
    if screened is None:
        columns, findings = screen_all(columns, screen or Screen())
    _check(columns, who.name, strategy)
    setting = setting_of(broker, costs, instruments, _rung(columns, rung), cash, seed, limits)
    machine, clock = prepare(columns, setting)
    style = _play(machine, clock, columns, strategy, who.name, setting)
    machine.finish(int(clock.bars["close_ns"][-1]))
    return backtest_of(
        machine,
        who,
        setting,
        style=style,
        timeframe=columns[0].timeframe,
        start_ns=min(int(bars.ts_event_ns[0]) for bars in columns),
        event_ns=clock.bars["close_ns"],
        findings=findings,
        code_version=code_version,
        bars=columns,
    )


def is_ticks(data: Data) -> bool:
    """Whether data is quotes, trades or books."""
    given = list(data) if isinstance(data, list | tuple) else [data]
    return bool(given) and all(isinstance(one, TICKS) for one in given)


def _tick_rung(data: Sequence[object], asked: object) -> Rung:
    booked = any(isinstance(one, BookArrays) for one in data)
    return rung_of(asked, Rung.QUOTES, Rung.BOOK if booked else Rung.QUOTES, "ticks")


def prepare(columns: Sequence[BarArrays], setting: Setting) -> tuple[Machine, Clock]:
    """Return a venue with the bars loaded and nothing matched, and the clock."""
    clock = Clock(columns)
    names = [bars.symbol for bars in columns]
    rows = setting.broker.instruments(
        setting.history,
        names,
        [float(bars.open[0]) for bars in columns],
        int(clock.bars["close_ns"][-1]) + 1,
    )
    told = terms(setting.broker, setting.costs, setting.rung, setting.seed)
    machine = Machine(names, rows, told, round(setting.cash * CASH_UNITS))
    machine.load(clock.bars, checked=True)
    return machine, clock


def _listed(data: Any) -> list[BarArrays]:  # noqa: ANN401 - checked here
    if isinstance(data, BarArrays):
        return [data]
    wanted = "data: expected BarArrays, one for each symbol, or tick arrays alone"
    if not isinstance(data, Iterable):
        raise ConfigError(f"{wanted}; found {data!r:.80}")
    listed = list(data.values()) if isinstance(data, Mapping) else list(data)
    strange = [type(bars).__name__ for bars in listed if not isinstance(bars, BarArrays)]
    if strange or not listed:
        raise ConfigError(f"{wanted}; found {strange[0] if strange else 'none'}")
    if isinstance(data, Mapping):
        for key, bars in data.items():
            if key != bars.symbol:
                raise ConfigError(f"data: expected the bars of {key}; found those of {bars.symbol}")
    return listed


def _check(columns: Sequence[BarArrays], name: str, strategy: Any) -> None:  # noqa: ANN401
    names = [bars.symbol for bars in columns]
    if len(set(names)) != len(names):
        raise ConfigError(f"data: expected every symbol once; found {', '.join(names)}")
    if len({bars.timeframe for bars in columns}) != 1:
        found = ", ".join(f"{bars.symbol} {bars.timeframe}" for bars in columns)
        raise ConfigError(f"data: expected one timeframe; found {found}")
    for bars in columns:
        if len(bars) < 2:
            raise InsufficientData(
                f"{name} on {bars.symbol} {bars.timeframe}: "
                f"expected at least 2 bars; found {len(bars)}"
            )
        refuse_trained_bars(bars, strategy)


def _rung(columns: Sequence[BarArrays], asked: object) -> Rung:
    volumes = all(bool(bars.volume.any()) for bars in columns)
    highest = Rung.INTRABAR if volumes else Rung.NEXT_OPEN
    what = "bars" if volumes else "bars without volume"
    return rung_of(asked, Rung.NEXT_OPEN, highest, what)


def _play(
    machine: Machine,
    clock: Clock,
    columns: Sequence[BarArrays],
    strategy: Any,  # noqa: ANN401
    name: str,
    setting: Setting,
) -> str:
    """Run the strategy in its style, watched; return the style."""
    where = f"{name} on {', '.join(machine.symbols)}"
    machine.prepare()  # the compiler's seconds are not the strategy's
    try:
        with watched(setting.limits.seconds):
            return _styled(machine, clock, columns, strategy, setting)
    except OutOfTime:
        raise InvalidData(
            "limit",
            f"{where}: expected an end within {setting.limits.seconds:g} s; "
            f"found it at work after {_reached(machine)}, {machine.last_order()}",
        ) from None


def _styled(
    machine: Machine,
    clock: Clock,
    columns: Sequence[BarArrays],
    strategy: Any,  # noqa: ANN401
    setting: Setting,
) -> str:
    if isinstance(strategy, PanelStrategy | Strategy):
        from tradelake.backtest import vectors

        if isinstance(strategy, PanelStrategy):
            targets = panel_targets(columns, strategy)
        else:
            share = 1.0 / len(columns)
            targets = [targets_of(bars, strategy) * share for bars in columns]
        vectors.follow(machine, clock, list(machine.symbols), targets, setting.limits.orders)
        return "vectorised"
    if isinstance(strategy, CompiledStrategy):
        from tradelake.backtest import coded  # the compiler: loaded by those who run only

        coded.play_compiled(machine, strategy, setting.limits)
        return "compiled"
    from tradelake.backtest import events

    events.play(
        machine,
        clock,
        columns,
        strategy,
        cash=setting.cash,
        seed=setting.seed,
        most_orders=setting.limits.orders,
    )
    return "event"


def _reached(machine: Machine) -> str:
    known = np.flatnonzero(~np.isnan(machine.equity))
    if not len(known):
        return "no bar"
    close_ns = int(machine.bars["close_ns"][known[-1]])
    return f"the bar that closes at {close_ns} ns"
