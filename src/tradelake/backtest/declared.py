"""Which strategies have a compiled kernel; needs no compiler to say so."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tradelake.strategies import library
from tradelake.strategies.api import Strategy

KERNELS: Final[Mapping[str, str]] = MappingProxyType(
    {"sma_cross": "tradelake.backtest.kernels:SMA_CROSS"}
)
"""Kernels of the library's rules."""


def kernel_name(strategy: Strategy) -> str:
    """Return the dotted name of a strategy's kernel, empty where it has none.

    A strategy names its own in ``kernel``. One that merely bears the name of a strategy of the
    library has not its kernel.
    """
    own = getattr(strategy, "kernel", "")
    if own:
        return str(own)
    rule, entry = getattr(strategy, "rule", None), library.STRATEGIES.get(strategy.name)
    if rule is None or entry is None or entry.rule is not rule:
        return ""
    return KERNELS.get(strategy.name, "")
