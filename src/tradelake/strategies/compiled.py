"""Compiled strategies: what they declare. Their code is in modules that only a run imports.

So a strategy can be built, listed, swept and sent to a live function without a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tradelake.errors import ConfigError
from tradelake.market.arrays import FloatArray
from tradelake.strategies.api import Value


@dataclass(frozen=True, slots=True)
class CompiledStrategy:
    """A strategy whose decisions are a function in numba's subset of Python.

    Parameters
    ----------
    name : str
        In trial records.
    parameters : mapping
        Every parameter with its value: numbers and bools, in the order in which the code reads
        them as ``params``.
    decide : str
        Dotted name ``module:function`` of
        ``decide(open, high, low, close, volume, i, params, memory) -> target``: columns of shape
        (n,), the bar that has just closed, parameters and memory as float64 of shape (p,) and
        (m,); it returns the target position, a fraction of equity in [-1, 1], and may read rows 0
        to ``i`` alone. Plain Python; the driver compiles it. Empty where ``on_event`` is given.
    on_event : str
        Dotted name of an order kernel, as :mod:`tradelake.backtest.compiled` calls it. Empty where
        ``decide`` is given.
    memory : int
        Cells that it keeps from bar to bar, 0.0 before the first.

    Raises
    ------
    ConfigError
        Neither or both functions, no dotted name, a parameter that is text, or memory below 0.
    """

    name: str
    parameters: Mapping[str, Value]
    decide: str = ""
    on_event: str = ""
    memory: int = 0

    def __post_init__(self) -> None:
        if bool(self.decide) == bool(self.on_event):
            raise ConfigError(
                f"strategy {self.name}: expected decide or on_event; "
                f"found {self.decide!r} and {self.on_event!r}"
            )
        module, _, function = (self.decide or self.on_event).partition(":")
        if not (module and function.isidentifier()):
            raise ConfigError(
                f"strategy {self.name}: expected a function as module:function; "
                f"found {self.decide or self.on_event!r}"
            )
        if self.memory < 0:
            raise ConfigError(f"strategy {self.name}: expected memory of 0 or more cells")
        for name, value in self.parameters.items():
            if isinstance(value, str):
                raise ConfigError(
                    f"strategy {self.name}: parameter {name}: compiled code takes numbers; "
                    f"found {value!r}"
                )

    def params(self) -> FloatArray:
        """Return the parameters as the code reads them, shape (p,)."""
        return np.array([float(value) for value in self.parameters.values()])
