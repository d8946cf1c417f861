"""Work units that place orders: brackets on bars (W3), a market maker on ticks (W4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import numpy as np

from bench import engine_floor as floor
from bench.engine_works import market, turns
from tradelake.backtest import session
from tradelake.strategies.event import Context, EventStrategy

STOP, TARGET = 0.01, 0.01
EVENTS: Final = 1_000_000


class Brackets(EventStrategy):
    """Buys when flat, with a stop and a target around the close."""

    name = "brackets"
    parameters: ClassVar[dict[str, float]] = {}

    def on_bar(self, ctx: Context) -> None:
        if ctx.held == 0.0 and not ctx.orders:
            price = ctx.close
            ctx.buy(
                ctx.symbol,
                notional=1_000.0,
                stop_exit=round(price * (1.0 - STOP), 2),
                target_exit=round(price * (1.0 + TARGET), 2),
            )


def w3(size: int, repeats: int) -> dict[str, float | None]:
    """Bars a second: buy when flat, with a stop and a target 1 % away."""
    given = market(size)
    columns, bars = given.columns, given.bars()

    def callback() -> None:
        session.run(bars, Brackets(), broker="ideal", cash=floor.CASH, rung=2)

    def empty() -> None:
        def told(_: int) -> None:
            return None

        for bar in range(size):
            told(bar)

    seconds = turns(
        {
            "floor": lambda: floor.brackets(
                columns["open"], columns["high"], columns["low"], columns["close"], STOP, TARGET
            ),
            "empty_call": empty,
            "callback": callback,
        },
        repeats,
    )
    return {
        "w3_floor_bars_s": size / seconds["floor"],
        "w3_empty_call_bars_s": size / seconds["empty_call"],
        "w3_bars_s": size / seconds["callback"],
        "w3_compiled_bars_s": None,
    }


def w4(size: int, repeats: int) -> dict[str, float | None]:
    """Events a second: a maker that keeps a bid and an offer around the mid."""
    count = EVENTS if size > EVENTS // 2 else size
    given = ticks(count)
    seconds = turns({"floor": lambda: floor.maker(*given, 2.0, 0.01, 1.0)}, repeats)
    return {"w4_floor_events_s": count / seconds["floor"], "w4_events_s": None}


def ticks(count: int, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Quotes, and a trade after every third: kind, bid, ask and their sizes."""
    drawn = np.random.default_rng(seed)
    middle = np.round(30_000.0 + np.cumsum(drawn.normal(0.0, 0.5, count)), 2)
    half = drawn.integers(1, 100, count) / 100
    kind = (np.arange(count) % 4 == 3).astype(np.int64)
    side = drawn.choice((-1.0, 1.0), count)
    bid = np.where(kind == 1, middle + side * half, middle - half)
    sizes = drawn.exponential(0.5, (2, count))
    return kind, bid, middle + half, sizes[0], sizes[1]


UNITS: Final[dict[str, Callable[[int, int], dict[str, float | None]]]] = {
    "W3 brackets when flat": w3,
    "W4 a market maker on quotes and trades": w4,
}
