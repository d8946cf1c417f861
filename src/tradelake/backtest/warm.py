"""Compiles the matching core ahead of time: what an image's build runs, so that no job has to.

``python -m tradelake.backtest.warm`` runs a strategy of each kind over a few bars; with ``--all``
what runs on ticks is compiled too, beside it in a process of its own. numba keeps the machine code
where it finds room (:func:`tradelake.execution.compiled.compiled`): a second time takes a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from tradelake.backtest import engine, metrics, session
from tradelake.execution import tick_calls
from tradelake.market.arrays import BarArrays
from tradelake.strategies.api import Value
from tradelake.strategies.library import build, make

BARS: Final = 64
MINUTE_NS: Final = 60_000_000_000
STRATEGIES: Final[tuple[tuple[str, Mapping[str, Value]], ...]] = (
    ("sma_cross", {"fast": 2, "slow": 5}),  # targets, by a kernel
    ("grid", {}),  # orders, placed, cancelled and replaced
)


def bars() -> BarArrays:
    """Return bars that go up and down enough for orders to fill."""
    close = 100.0 * (1.0 + 0.02 * np.sin(np.arange(BARS)))
    open_ = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    opens_ns = np.arange(BARS) * MINUTE_NS
    return BarArrays("BTC/USD", "1m", opens_ns, open_, high, low, close, np.ones(BARS))


def warm() -> None:
    """Compile what runs on bars."""
    given = bars()
    metrics.summarise(engine.run(given, make("sma_cross", {"fast": 2, "slow": 5})))
    for name, parameters in STRATEGIES:
        session.run(given, build(name, parameters))


def warm_ticks() -> None:
    """Compile what runs on quotes, trades and order books."""
    tick_calls.prepare()


KINDS: Final[Mapping[str, Callable[[], None]]] = {"bars": warm, "ticks": warm_ticks}


def main(arguments: list[str]) -> int:
    """Compile what is asked for; returns 0, or the exit code of a kind that failed."""
    parser = argparse.ArgumentParser(prog="python -m tradelake.backtest.warm", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default="bars", help="of inputs, default bars")
    parser.add_argument("--all", action="store_true", help="every kind, side by side")
    given = parser.parse_args(arguments)
    if not given.all:
        KINDS[given.kind]()
        return 0
    command = [sys.executable, "-m", "tradelake.backtest.warm", "--kind"]
    others = [subprocess.Popen([*command, kind]) for kind in KINDS]
    return max(abs(other.wait()) for other in others)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
