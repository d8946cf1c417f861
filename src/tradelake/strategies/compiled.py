"""Compiled strategies: what they declare. Their code is in modules that only a run imports.

So a strategy can be built, listed, swept and sent to a live function without a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tradelake.errors import ConfigError
from tradelake.market.arrays import FloatArray
from tradelake.strategies.api import Value


@dataclass(frozen=True, slots=True)
class CompiledStrategy:
    """A strategy that is a function in numba's subset of Python; plain Python, compiled when run.

    Exactly one of ``decide``, ``on_bar`` and ``on_event`` is given: the dotted name
    ``module:function`` of a function at the top of a module.

    Parameters
    ----------
    name : str
        In trial records.
    parameters : mapping
        Every parameter with its value: numbers and bools, in the order in which the code reads
        them as ``params``.
    decide : str
        ``decide(open, high, low, close, volume, i, params, memory) -> target``: columns of shape
        (n,), the bar that has just closed, parameters and memory as float64 of shape (p,) and
        (m,). It may read rows 0 to ``i`` alone, and returns the target position, a fraction of
        equity in [-1, 1]; NaN keeps the last one.
    on_bar, on_event : str
        A function that sends orders, after each bar or each quote, trade and book, as
        :mod:`tradelake.backtest.compiled` calls it.
    memory : int
        Cells that it keeps from call to call, 0.0 before the first.

    Raises
    ------
    ConfigError
        None or several functions, no dotted name, a parameter that is text, or memory below 0.
    """

    name: str
    parameters: Mapping[str, Value]
    decide: str = ""
    on_bar: str = ""
    on_event: str = ""
    memory: int = 0

    def __post_init__(self) -> None:
        given = [path for path in (self.decide, self.on_bar, self.on_event) if path]
        if len(given) != 1 or not isinstance(given[0], str):
            raise ConfigError(
                f"strategy {self.name}: expected one of decide, on_bar and on_event; found {given}"
            )
        module, _, function = self.path.partition(":")
        if not (module and function.isidentifier()):
            raise ConfigError(
                f"strategy {self.name}: expected a function as module:function; found {self.path!r}"
            )
        if type(self.memory) is not int or self.memory < 0:
            raise ConfigError(
                f"strategy {self.name}: expected memory of 0 or more cells; found {self.memory!r}"
            )
        for name, value in self.parameters.items():
            if not isinstance(value, int | float | np.number):
                raise ConfigError(
                    f"strategy {self.name}: parameter {name}: compiled code takes numbers; "
                    f"found {value!r}"
                )

    @property
    def style(self) -> Literal["decide", "on_bar", "on_event"]:
        """Which function it is."""
        if self.decide:
            return "decide"
        return "on_bar" if self.on_bar else "on_event"

    @property
    def path(self) -> str:
        """Dotted name of the function."""
        return self.decide or self.on_bar or self.on_event

    def params(self) -> FloatArray:
        """Return the parameters as the code reads them, shape (p,)."""
        return np.array([float(value) for value in self.parameters.values()])
