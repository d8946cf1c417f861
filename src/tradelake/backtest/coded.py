"""Compiled strategies within a run: loaded, limited, and told by name where they fail."""

from __future__ import annotations

import threading

from tradelake.backtest import compiled
from tradelake.backtest.failure import rule_of, said
from tradelake.backtest.limits import Limits, aside
from tradelake.errors import ConfigError, InvalidData, TradelakeError
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
    where = f"{strategy.name} in {strategy.style} of {', '.join(machine.symbols)}"
    try:
        loaded = compiled.load_compiled(strategy.path, strategy.style)
    except TradelakeError:
        raise
    except BaseException as error:  # what the strategy's module raises where it is imported
        rule_of(error)
        raise ConfigError(f"strategy {strategy.name}: {strategy.path}: {said(error)}") from error

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
        raise InvalidData(error.rule, f"{where} {error.reason}") from error
    except TradelakeError:
        raise
    except BaseException as error:  # an exit: an exception is told with its bar already
        told = f"after {machine.last_order()}: {said(error)}"
        raise InvalidData(rule_of(error), f"{where} {told}") from error
