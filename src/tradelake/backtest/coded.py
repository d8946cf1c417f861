"""Compiled strategies within a run: loaded, limited, and told by name where they fail."""

from __future__ import annotations

import threading

from tradelake.backtest import compiled
from tradelake.backtest.limits import Limits, aside
from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.machine import Machine
from tradelake.strategies.compiled import CompiledStrategy


def play_compiled(machine: Machine, strategy: CompiledStrategy, limits: Limits) -> None:
    """Run a compiled strategy over all that a machine has loaded.

    Its code runs in a thread beside the caller's (:func:`tradelake.backtest.limits.aside`).

    Raises
    ------
    ConfigError
        A decision for several symbols, a style for other data, or code that does not compile.
    InvalidData
        Rules ``limit``, ``signal`` and ``strategy``: each names strategy, time and order.
    """
    if strategy.decide and len(machine.symbols) > 1:
        raise ConfigError(
            f"strategy {strategy.name}: a compiled decision is for one symbol; "
            f"found {', '.join(machine.symbols)}"
        )
    loaded = compiled.load_compiled(strategy.path, strategy.style)

    def work(ended: threading.Event) -> None:
        compiled.run_compiled(
            loaded,
            machine,
            strategy.params(),
            memory=max(strategy.memory, 1),
            most_orders=limits.orders,
            ended=ended,
        )

    try:
        aside(work)
    except InvalidData as error:
        where = f"{strategy.name} in {strategy.style} of {', '.join(machine.symbols)}"
        raise InvalidData(error.rule, f"{where} {error.reason}") from error
