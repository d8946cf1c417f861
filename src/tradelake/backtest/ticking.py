"""A run on quotes, trades and books, from arrays to the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tradelake.backtest.limits import OutOfTime, watched
from tradelake.backtest.outcome import Backtest, Books
from tradelake.backtest.replay import play_ticks
from tradelake.backtest.screen import Finding
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.execution.broker import terms
from tradelake.execution.layout import CASH_UNITS
from tradelake.execution.realism import describe
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.tape import TickArrays, TickKind, merged_ticks
from tradelake.strategies.event import written

if TYPE_CHECKING:
    from tradelake.backtest.session import Setting


def run_ticks(
    data: Sequence[TickArrays],
    strategy: Any,  # noqa: ANN401 - an event strategy
    setting: Setting,
    code_version: str,
) -> Backtest:
    """Return what an event strategy leaves on ticks.

    Raises
    ------
    ConfigError
        The strategy has no callbacks.
    InsufficientData
        There are no ticks, or a symbol has no price.
    InvalidData
        As :func:`tradelake.backtest.session.run`.
    """
    if not written(strategy):
        raise ConfigError(f"strategy {strategy!r:.60}: expected callbacks, as ticks have no bars")
    symbols = tuple(dict.fromkeys(one.symbol for one in data))
    tape = merged_ticks([(symbols.index(one.symbol), one) for one in data])
    if not len(tape):
        raise InsufficientData(f"{strategy.name} on {', '.join(symbols)}: expected ticks")
    start_ns, end_ns = int(tape["ts_ns"][0]), int(tape["ts_ns"][-1])
    prices = [_first_price(tape, number, symbol) for number, symbol in enumerate(symbols)]
    rows = setting.broker.instruments(setting.history, symbols, prices, end_ns + 1)
    told = terms(setting.broker, setting.costs, setting.rung, setting.seed)
    machine = TickMachine(symbols, rows, told, round(setting.cash * CASH_UNITS))
    machine.load(tape, marked=True)
    seconds = setting.limits.seconds
    try:
        with watched(seconds):
            play_ticks(
                machine,
                tape,
                strategy,
                cash=setting.cash,
                seed=setting.seed,
                most_orders=setting.limits.orders,
            )
    except OutOfTime:
        raise InvalidData(
            "limit",
            f"{strategy.name} on {', '.join(symbols)}: expected an end within {seconds:g} s; "
            f"found it at work at order {len(machine.orders)}",
        ) from None
    machine.finish(end_ns)
    state = machine.state
    return Backtest(
        strategy=strategy.name,
        style="event",
        parameters=dict(strategy.parameters),
        symbols=symbols,
        timeframe="1m",
        start_ns=start_ns,
        end_ns=end_ns,
        cash=setting.cash,
        rung=int(setting.rung),
        realism=describe(
            setting.broker,
            setting.costs,
            setting.rung,
            history=setting.history,
            symbols=symbols,
            start_ns=start_ns,
            end_ns=end_ns,
        ),
        findings=tuple(_findings(data)),
        settings={
            "broker": setting.broker.name,
            "costs": asdict(setting.costs),
            "seed": setting.seed,
            "code_version": code_version,
        },
        data=(),
        books=Books(
            machine.orders,
            machine.fills,
            state.positions,
            state.account,
            state.instruments,
            tape["ts_ns"],
            machine.equity,
        ),
    )


def _first_price(tape: np.ndarray[Any, Any], number: int, symbol: str) -> float:
    priced = (tape["symbol"] == number) & (tape["kind"] != TickKind.RESET) & (tape["price"] > 0.0)
    if not priced.any():
        raise InsufficientData(f"{symbol}: expected a tick with a price")
    return float(tape["price"][int(np.argmax(priced))])


def _findings(data: Sequence[TickArrays]) -> list[Finding]:
    return [
        Finding(one.symbol, rule, one.bad, count, int(one.ts_ns[0]))
        for one in data
        for rule, count in one.found.items()
        if count
    ]
