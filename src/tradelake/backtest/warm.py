"""Compiles the matching core ahead of time: what an image's build runs, so that no job has to.

``python -m tradelake.backtest.warm`` runs a strategy of each kind over a few bars; with ``--ticks``
it compiles what runs on ticks instead. numba keeps the machine code where it finds room
(:func:`tradelake.execution.compiled.compiled`): a second time takes a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
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


def main() -> None:
    """Compile what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tradelake.backtest.warm", description=__doc__)
    parser.add_argument("--ticks", action="store_true", help="quotes, trades and books, not bars")
    if parser.parse_args().ticks:
        warm_ticks()
    else:
        warm()


if __name__ == "__main__":
    main()
