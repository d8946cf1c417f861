"""A run on quotes, trades and books, from arrays to the result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from tradelake.backtest.limits import OutOfTime, watched
from tradelake.backtest.outcome import Backtest, backtest_of
from tradelake.backtest.replay import play_ticks
from tradelake.backtest.screen import Finding
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.execution.broker import terms
from tradelake.execution.layout import CASH_UNITS
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.tape import Tape, TickArrays, TickKind, merged_ticks
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.event import written

if TYPE_CHECKING:
    from tradelake.backtest.setting import Identity, Setting


def run_ticks(
    data: Sequence[TickArrays],
    strategy: Any,  # noqa: ANN401 - event-driven or compiled
    who: Identity,
    setting: Setting,
    code_version: str,
) -> Backtest:
    """Return what a strategy with callbacks, or a compiled one, leaves on ticks.

    Raises
    ------
    ConfigError
        The strategy has no callbacks, or compiled ones of bars.
    InsufficientData
        There are no ticks, or a symbol has no price.
    InvalidData
        As :func:`tradelake.backtest.session.run`.
    """
    if not isinstance(strategy, CompiledStrategy) and not written(strategy):
        raise ConfigError(f"strategy {strategy!r:.60}: expected callbacks, as ticks have no bars")
    symbols = tuple(dict.fromkeys(one.symbol for one in data))
    tape = merged_ticks([(symbols.index(one.symbol), one) for one in data])
    if not len(tape):
        raise InsufficientData(f"{who.name} on {', '.join(symbols)}: expected ticks")
    start_ns, end_ns = int(tape["ts_ns"][0]), int(tape["ts_ns"][-1])
    prices = [_first_price(tape, number, symbol) for number, symbol in enumerate(symbols)]
    rows = setting.broker.instruments(setting.history, symbols, prices, end_ns + 1)
    told = terms(setting.broker, setting.costs, setting.rung, setting.seed)
    machine = TickMachine(symbols, rows, told, round(setting.cash * CASH_UNITS))
    machine.load(tape, marked=True, checked=True)
    style = _play(machine, tape, strategy, who.name, setting)
    machine.finish(end_ns)
    return backtest_of(
        machine,
        who,
        setting,
        style=style,
        timeframe="1m",
        start_ns=start_ns,
        event_ns=tape["ts_ns"],
        findings=_findings(data),
        code_version=code_version,
        ticks={_name(one): _digest(one) for one in data},
    )


def _play(
    machine: TickMachine,
    tape: Tape,
    strategy: Any,  # noqa: ANN401
    name: str,
    setting: Setting,
) -> str:
    """Run the strategy in its style, watched; return the style."""
    limits = setting.limits
    machine.prepare()  # the compiler's seconds are not the strategy's
    try:
        with watched(limits.seconds):
            if isinstance(strategy, CompiledStrategy):
                from tradelake.backtest import coded  # the compiler: loaded by those who run only

                coded.play_compiled(machine, strategy, limits)
                return "compiled"
            play_ticks(
                machine,
                tape,
                strategy,
                cash=setting.cash,
                seed=setting.seed,
                most_orders=limits.orders,
            )
            return "event"
    except OutOfTime:
        known = np.flatnonzero(~np.isnan(machine.equity))
        reached = f"the tick at {int(tape['ts_ns'][known[-1]])} ns" if len(known) else "no tick"
        raise InvalidData(
            "limit",
            f"{name} on {', '.join(machine.symbols)}: expected an end within "
            f"{limits.seconds:g} s; found it at work after {reached}, "
            f"{machine.last_order()}",
        ) from None


def _first_price(tape: np.ndarray[Any, Any], number: int, symbol: str) -> float:
    priced = (tape["symbol"] == number) & (tape["kind"] != TickKind.RESET) & (tape["price"] > 0.0)
    if not priced.any():
        raise InsufficientData(f"{symbol}: expected a tick with a price")
    return float(tape["price"][int(np.argmax(priced))])


def _name(one: TickArrays) -> str:
    return f"{one.symbol} {type(one).__name__.removesuffix('Arrays').lower()}s"


def _digest(ticks: TickArrays) -> str:
    """Return a hash of the content of ticks, and of which of them are used."""
    found = hashlib.blake2b(digest_size=8)
    for field in fields(ticks):
        column = getattr(ticks, field.name)
        if isinstance(column, np.ndarray):
            found.update(column.tobytes())
    return f"blake2b:{found.hexdigest()}"


def _findings(data: Sequence[TickArrays]) -> list[Finding]:
    return [
        Finding(one.symbol, rule, one.bad, count, one.first[rule])
        for one in data
        for rule, count in one.found.items()
        if count
    ]
