"""What each rung of realism costs: one compiled strategy, rung by rung.

The strategy buys when it is flat and nothing works, with a stop and a target that a random walk
reaches after some 150 inputs, be they bars, ticks or updates of a book: so all rungs trade about
as often, and ratios tell of matching. Timed are runs over inputs that are one table already, by a
new machine each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from bench.engine_events import START_NS, SYMBOL, TICK_NS, bar_machine, tape_of, tick_machine, ticks
from bench.engine_strategies import BRACKETS, TICK_BRACKETS
from bench.engine_works import market, turns
from tradelake.backtest.compiled import load_compiled, run_compiled
from tradelake.execution.brokers import IDEAL
from tradelake.execution.clock import merged
from tradelake.execution.costs import (
    Costs,
    FixedSlippage,
    Latencies,
    Latency,
    Participation,
    SquareRootImpact,
    VolumeShareSlippage,
)
from tradelake.execution.machine import Machine
from tradelake.execution.terms import Rung
from tradelake.market.tape import Tape, merged_ticks
from tradelake.market.ticks import BookArrays

CASH: Final = 100_000.0
NOTIONAL: Final = 1_000.0
MOVES: Final = 12.5
"""Standard moves of an input to stop and target: a random walk needs their square."""
BAR_MOVE, TICK_MOVE, BOOK_MOVE = 8e-4, 0.5 / 30_000.0, 0.82 / 30_000.0
DEPTH: Final = 10
PLAIN: Final = Costs(slippage=FixedSlippage(5.0), participation=Participation(0.0))
SHARE: Final = Costs(slippage=VolumeShareSlippage(), participation=Participation())
LATENCY: Final = Latencies(
    Latency.uniform(1.0, 5.0), Latency.exponential(20.0, 10.0), Latency.constant(20.0)
)
LADDER: Final[dict[str, tuple[Rung, Costs]]] = {
    "rung1": (Rung.NEXT_OPEN, PLAIN),
    "rung2": (Rung.INTRABAR, PLAIN),
    "rung2_volume_share": (Rung.INTRABAR, SHARE),
    "rung2_impact": (Rung.INTRABAR, replace(PLAIN, impact=SquareRootImpact())),
    "rung2_latency": (Rung.INTRABAR, replace(PLAIN, latency=LATENCY)),
    "rung3": (Rung.QUOTES, Costs.none()),
    "rung3_latency": (Rung.QUOTES, replace(Costs.none(), latency=LATENCY)),
    "rung4": (Rung.BOOK, Costs.none()),
}


def book_tape(count: int, seed: int = 1) -> Tape:
    """Updates of a book of ten levels a side, a unit apart, whose mid walks by whole units.

    Each update that moves the mid is four rows: the level that left, the one that came in its
    place on the other side, and those at both far ends. One that does not tells the size of a
    level anew. ``count`` rows, the first of them the book itself.
    """
    drawn = np.random.default_rng(seed)
    steps = drawn.choice((-1, 0, 1), count)
    rows = [(0, 0, 0.0, 0.0, True, False)]
    first = [(side, 30_000 - side * level) for side in (1, -1) for level in range(1, DEPTH + 1)]
    rows += [(0, side, float(price), 1.0, False, False) for side, price in first]
    rows[-1] = (*rows[-1][:-1], True)
    mid, sizes = 30_000, drawn.exponential(0.5, count) + 0.01
    for at, step in enumerate(steps.tolist(), 1):
        if len(rows) >= count:
            break
        size = float(sizes[at - 1])
        changes = [(1 if at % 2 else -1, mid - (1 if at % 2 else -1) * (1 + at % DEPTH), size)]
        if step:
            new = mid + step
            changes = [
                (-step, new, 0.0),
                (step, mid, size),
                (-step, new + step * DEPTH, size),
                (step, mid - step * DEPTH, 0.0),
            ]
            mid = new
        rows += [(at, side, float(price), told, False, False) for side, price, told in changes]
        rows[-1] = (*rows[-1][:-1], True)
    stamp, side, price, size_of, reset, last = zip(*rows, strict=True)
    stamps = START_NS + np.array(stamp, np.int64) * TICK_NS
    book = BookArrays(
        SYMBOL,
        stamps,
        np.array(side, np.int64),
        np.array(price),
        np.array(size_of),
        np.array(reset),
        np.array(last),
    )
    return merged_ticks([(0, book)])


def machine_of(rung: Rung, costs: Costs, inputs: Tape) -> Machine:
    if rung <= Rung.INTRABAR:
        return bar_machine(inputs, IDEAL, costs, rung, CASH)
    return tick_machine(inputs, IDEAL, costs, rung)


def climb(rung: Rung, costs: Costs, inputs: Tape) -> Machine:
    """Run the strategy over all inputs at a rung."""
    move = {Rung.QUOTES: TICK_MOVE, Rung.BOOK: BOOK_MOVE}.get(rung, BAR_MOVE)
    path, style = (BRACKETS, "on_bar") if rung <= Rung.INTRABAR else (TICK_BRACKETS, "on_event")
    machine = machine_of(rung, costs, inputs)
    params = np.array([MOVES * move, MOVES * move, NOTIONAL])
    run_compiled(load_compiled(path, style), machine, params)  # type: ignore[arg-type]
    return machine


def inputs_of(size: int) -> dict[Rung, Tape]:
    """Bars, ticks and updates of a book, as many rows of each."""
    bars = merged([market(size).bars()])
    given = {Rung.NEXT_OPEN: bars, Rung.INTRABAR: bars}
    return given | {Rung.QUOTES: tape_of(ticks(size)), Rung.BOOK: book_tape(size)}


def ladder(size: int, repeats: int) -> dict[str, tuple[float, int]]:
    """Inputs a second and fills, by rung and costs."""
    given = inputs_of(size)

    def work(rung: Rung, costs: Costs) -> Callable[[], Machine]:
        return lambda: climb(rung, costs, given[rung])

    works = {name: work(*told) for name, told in LADDER.items()}
    fills = {name: len(run().fills) for name, run in works.items()}
    seconds = turns(works, repeats)
    return {name: (len(given[LADDER[name][0]]) / seconds[name], fills[name]) for name in works}
