"""Overrides of moto 5.2.5's private parts: what the server pretends, made real.

Everything here leans on undocumented names, so moto is pinned exactly and every override has a test
in ``tests/emulator`` that fails without it. They are applied once, in the emulator's own process.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from tradelake.errors import ConfigError
from tradelake.local.emulator.functions import FunctionRunner
from tradelake.local.emulator.jobs import JobRunner

MOTO: Final = "5.2.5"


def apply(jobs: JobRunner, functions: FunctionRunner) -> None:
    """Apply every override to this process.

    Raises
    ------
    ConfigError
        Another version of moto is installed.
    """
    check_version(version("moto"))
    from tradelake.local.emulator.overrides import batch, lambdas, states

    batch.apply(jobs)
    lambdas.apply(functions)
    states.apply()


def check_version(found: str) -> None:
    """Refuse every version of moto but the one that the overrides were written for.

    Raises
    ------
    ConfigError
        It is another.
    """
    if found != MOTO:
        raise ConfigError(f"the emulator needs moto {MOTO} exactly, found {found}")
