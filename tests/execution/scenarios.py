"""Random scenarios for a matching core: markets, instruments, terms and orders as plain data.

A scenario is a list of steps in the order of time, each ``(name, arguments)`` with the method of a
core and what it is called with; :func:`feed` sends them to anything that has the methods of
:class:`tradelake.execution.twin.Twin`. The same seed gives the same scenario.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tradelake.execution.layout import NONE, OrderType, Side, Sizing, TimeInForce
from tradelake.execution.terms import (
    INSTRUMENT,
    Draw,
    Impact,
    Rung,
    Slippage,
    Terms,
    Trading,
)

NAN = math.nan
START_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
ALL_TYPES = (1 << len(OrderType)) - 1
ALL_TIFS = (1 << len(TimeInForce)) - 1
SILLY = (NAN, math.inf, -math.inf, -1.0, 0.0, 1e300, 5e-324, 1e18, -0.0)


def terms(**changes: Any) -> Terms:
    """An ideal broker at rung 2: no fee, no cost, no delay."""
    plain: dict[str, Any] = {
        "rung": int(Rung.INTRABAR),
        "seed": 7,
        "allow_short": False,
        "fee_in_quote": False,
        "halt_waits": True,
        "types_offered": ALL_TYPES,
        "tifs_offered": ALL_TIFS,
        "cap": 0,
        "tiers": np.array([[0.0, 0.0, 0.0, 0.0]]),
        "latency": np.zeros((3, 3), np.int64),
        "half_spread": 0.0,
        "slippage_kind": int(Slippage.FIXED),
        "slippage": 0.0,
        "participation": 0.0,
        "touch": False,
        "beyond_top": False,
        "own_trades_stay": False,
        "queue_pro_rata": True,
        "partial_probability": 0.0,
        "impact_kind": int(Impact.NONE),
        "impact": 0.0,
        "impact_power": 0.6,
        "impact_permanent": 0.0,
        "impact_half_life_ns": 0.0,
        "impact_window": 0,
        "delisting_haircut": 0.0,
    }
    return Terms(**{**plain, **changes})


def instrument(symbol: int = 0, from_ns: int = 0, **changes: Any) -> tuple[Any, ...]:
    """A row of ``INSTRUMENT`` that trades in units of 1e-8 at any price."""
    plain: dict[str, Any] = {
        "symbol": symbol,
        "from_ns": from_ns,
        "trading": int(Trading.OPEN),
        "renamed_to": NONE,
        "increment": 1,
        "minimum": 0,
        "minimum_value": 0,
        "tick": 0.0,
        "unit": 1e-8,
    }
    return tuple({**plain, **changes}.values())


def instruments(*rows: tuple[Any, ...]) -> Any:
    """Rows as the array a core wants; one plain symbol where none are given."""
    return np.array(list(rows or [instrument()]), INSTRUMENT)


@dataclass
class Scenario:
    """What is sent to a core; ``steps`` are ``(method, arguments)`` in the order of time."""

    symbols: tuple[str, ...]
    instruments: Any
    terms: Terms
    cash_units: int
    steps: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def feed(core: Any, scenario: Scenario) -> None:
    """Send all steps of a scenario to a core; cancels and replaces name orders by their id."""
    for name, arguments in scenario.steps:
        getattr(core, name)(**arguments)


def random_terms(draw: random.Random, rung: int) -> Terms:
    """Terms in which every option is taken now and then."""
    kinds = [int(kind) for kind in Draw]
    scale = draw.choice([0, MINUTE_NS // 7, 3 * MINUTE_NS])
    latency = np.array(
        [[draw.choice(kinds), draw.choice([0, 1, MINUTE_NS // 3]), scale] for _ in range(3)],
        np.int64,
    )
    if draw.random() < 0.5:
        latency[:] = 0
    tiers = [[0.0, 0.0, 0.0015, 0.0025], [0.0, 2e12, 0.0012, 0.0022]]
    if draw.random() < 0.3:
        tiers.append([float(START_NS // 10**18 * 10**18), 0.0, 0.001, 0.002])
    if draw.random() < 0.2:
        tiers = [[0.0, 0.0, 0.0, 0.0]]
    return terms(
        rung=rung,
        seed=draw.getrandbits(32),
        allow_short=draw.random() < 0.4,
        fee_in_quote=draw.random() < 0.4,
        halt_waits=draw.random() < 0.5,
        types_offered=ALL_TYPES if draw.random() < 0.8 else draw.randrange(1, ALL_TYPES + 1),
        tifs_offered=ALL_TIFS if draw.random() < 0.9 else 1,
        cap=draw.choice([0, 0, 20_000 * 10**8]),
        tiers=np.array(tiers),
        latency=latency,
        half_spread=draw.choice([0.0, 0.0005]),
        slippage_kind=draw.choice([int(kind) for kind in Slippage]),
        slippage=draw.choice([0.0, 0.0003, 0.1]),
        participation=draw.choice([0.0, 0.025, 0.5]),
        touch=draw.random() < 0.5,
        beyond_top=draw.random() < 0.3,
        own_trades_stay=draw.random() < 0.3,
        queue_pro_rata=draw.random() < 0.5,
        partial_probability=draw.choice([0.0, 0.0, 0.1, 0.6]),
        impact_kind=draw.choice([0, 0, *(int(kind) for kind in Impact)]),
        impact=draw.choice([0.1, 0.8]),
        impact_power=0.6,
        impact_permanent=draw.choice([0.0, 0.05]),
        impact_half_life_ns=draw.choice([0.0, 10.0 * MINUTE_NS]),
        impact_window=draw.choice([0, 1, 5]),
        delisting_haircut=draw.choice([0.0, 0.1]),
    )


def random_instruments(draw: random.Random, symbols: int, steps: int) -> list[tuple[Any, ...]]:
    """Dated rows: increments that change, halts, a delisting, a rename."""
    rows = []
    for symbol in range(symbols):
        base = {
            "unit": draw.choice([1e-8, 1e-9, 1e-6]),
            "increment": draw.choice([1, 100, 10_000]),
            "minimum": draw.choice([0, 1_000]),
            "minimum_value": draw.choice([0, 10**8]),
            "tick": draw.choice([0.0, 0.01]),
        }
        rows.append(instrument(symbol, 0, **base))
        for at in sorted(draw.sample(range(1, steps), draw.choice([0, 0, 1, 2, 3]))):
            base["increment"] = draw.choice([1, 100, 10_000])
            trading = draw.choice([0, 0, 0, 1, 1, 2])
            renamed = NONE
            if draw.random() < 0.1 and symbols > 1 and base["unit"] == rows[0][8] and symbol > 0:
                renamed = 0
            ts_ns = START_NS + at * MINUTE_NS + draw.choice([0, 0, MINUTE_NS // 2])
            rows.append(instrument(symbol, ts_ns, trading=trading, renamed_to=renamed, **base))
            if trading == Trading.DELISTED or renamed != NONE:
                break
    return rows


def random_price(draw: random.Random, near: float, tick: float = 0.01) -> float:
    """A price near another, mostly on the tick, now and then silly."""
    if draw.random() < 0.02:
        return draw.choice(SILLY)
    price = near * (1.0 + draw.gauss(0.0, 0.01))
    return round(price / tick) * tick if draw.random() < 0.95 else price


def random_amount(draw: random.Random, sizing: int, price: float) -> float:
    """An amount that a small account could order, now and then far too much or silly."""
    if draw.random() < 0.04:
        return draw.choice(SILLY)
    worth = draw.choice([5.0, 500.0, 3_000.0, 9_000.0, 50_000.0]) * draw.uniform(0.2, 1.0)
    if sizing == Sizing.QUANTITY:
        return worth / price
    if sizing == Sizing.NOTIONAL:
        return worth
    return draw.choice([0.0, 0.5, 1.0, -0.5, 0.3, 2.0, -1.0])


def random_order(draw: random.Random, now_ns: int, symbol: int, price: float) -> dict[str, Any]:
    """The arguments of ``place``."""
    type_ = draw.choice([0, 0, *(int(kind) for kind in OrderType)])
    side = draw.choice([Side.BUY, Side.BUY, Side.SELL])
    sizing = draw.choice([0, 0, 0, *(int(kind) for kind in Sizing)])
    order: dict[str, Any] = {
        "now_ns": now_ns,
        "symbol": symbol,
        "side": int(side),
        "type": type_,
        "tif": int(draw.random() < 0.15),
        "sizing": sizing,
        "amount": random_amount(draw, sizing, price),
    }
    if type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        order["limit"] = random_price(draw, price)
    if type_ in (OrderType.STOP, OrderType.STOP_LIMIT):
        order["stop"] = random_price(draw, price)
    if type_ == OrderType.TRAILING_STOP:
        order["trail"] = draw.choice([-0.01, -0.002, price * 0.005, price * 0.02, NAN, 0.0])
    if draw.random() < 0.25 and sizing in (Sizing.QUANTITY, Sizing.NOTIONAL):
        order["tif"] = 0
        if draw.random() < 0.8:
            order["stop_exit"] = random_price(draw, price * (1.0 - 0.01 * side))
        if draw.random() < 0.8:
            order["target_exit"] = random_price(draw, price * (1.0 + 0.01 * side))
    return order


def random_bar(draw: random.Random, previous: float) -> tuple[float, float, float, float, float]:
    """Open, high, low, close and volume: with gaps, spikes and bars without volume."""
    gap = draw.choice([0.0, 0.0, 0.0, draw.gauss(0.0, 0.01)])
    start = round(previous * (1.0 + gap), 2)
    close = round(start * (1.0 + draw.gauss(0.0, 0.006)), 2)
    reach = draw.choice([0.0, 0.003, 0.003, 0.03])
    high = round(max(start, close) * (1.0 + reach * draw.random()), 2)
    low = round(min(start, close) * (1.0 - reach * draw.random()), 2)
    volume = draw.choice([0.0, draw.uniform(0.1, 2.0), draw.uniform(5.0, 500.0)])
    return start, max(high, start, close), min(low, start, close), close, volume


class _Writer:
    """Writes the steps of one random scenario."""

    def __init__(self, seed: int, rung: int, symbols: int, length: int) -> None:
        self.draw = random.Random(seed)
        rows = random_instruments(self.draw, symbols, length)
        self.scenario = Scenario(
            tuple(f"S{number}/USD" for number in range(symbols)),
            instruments(*rows),
            random_terms(self.draw, rung),
            10_000 * 10**8,
        )
        self.prices = [self.draw.choice([0.5, 97.0, 40_000.0]) for _ in range(symbols)]
        self.count = 0
        self.length = length

    def add(self, name: str, **arguments: Any) -> None:
        self.scenario.steps.append((name, arguments))

    def decide(self, now_ns: int) -> None:
        """Sometimes place, cancel or replace something."""
        draw = self.draw
        while draw.random() < 0.4:
            symbol = draw.randrange(len(self.prices))
            order = random_order(draw, now_ns, symbol, self.prices[symbol])
            if draw.random() < 0.01:
                order["symbol"] = len(self.prices) + 3
            self.add("place", **order)
            self.count += 1
            self.count += "stop_exit" in order and not math.isnan(order["stop_exit"])
            self.count += "target_exit" in order and not math.isnan(order["target_exit"])
        if self.count and draw.random() < 0.12:
            self.add("cancel", now_ns=now_ns, order=self.recent())
        if self.count and draw.random() < 0.12:
            self.replace(now_ns)

    def recent(self) -> int:
        return max(self.count - 1 - int(self.draw.expovariate(0.3)), 0)

    def replace(self, now_ns: int) -> None:
        draw, price = self.draw, self.draw.choice(self.prices)
        changes: dict[str, Any] = {}
        if draw.random() < 0.4:
            changes["amount"] = random_amount(draw, Sizing.QUANTITY, price)
        if draw.random() < 0.4:
            changes["limit"] = random_price(draw, price)
        if draw.random() < 0.3:
            changes["stop"] = random_price(draw, price)
        self.add("replace", now_ns=now_ns, order=self.recent(), **changes)
        self.count += 1

    def bars(self) -> Scenario:
        for step in range(self.length):
            open_ns = START_NS + step * MINUTE_NS
            for symbol in range(len(self.prices)):
                bar = random_bar(self.draw, self.prices[symbol])
                if self.draw.random() < 0.05:
                    continue
                self.prices[symbol] = bar[3]
                names = ("open", "high", "low", "close", "volume")
                self.add(
                    "bar",
                    symbol=symbol,
                    open_ns=open_ns,
                    close_ns=open_ns + MINUTE_NS,
                    **dict(zip(names, bar, strict=True)),
                    event=step,
                )
            self.decide(open_ns + MINUTE_NS)
        self.add("advance", now_ns=START_NS + (self.length + 20) * MINUTE_NS)
        return self.scenario

    def ticks(self) -> Scenario:
        """Quotes, trades and books: one symbol after the other at instants of their own."""
        draw, now_ns = self.draw, START_NS
        kinds = ["quotes", "book", "both", "none"]
        weights = [6, 1, 1, 1] if self.scenario.terms.rung == Rung.QUOTES else [1, 6, 1, 1]
        shown = draw.choices(kinds, weights, k=len(self.prices))
        for step in range(self.length):
            now_ns += draw.choice([0, 1, MINUTE_NS // 4])
            symbol = draw.randrange(len(self.prices))
            self.prices[symbol] = round(self.prices[symbol] * (1.0 + draw.gauss(0.0, 0.003)), 2)
            now_ns = self.tick(symbol, now_ns, shown[symbol], step)
            if draw.random() < 0.3:
                self.decide(now_ns)
        self.add("advance", now_ns=now_ns + HOUR_NS)
        return self.scenario

    def tick(self, symbol: int, now_ns: int, shown: str, event: int) -> int:
        """Write a tick, of a book all levels of an update; return its instant, or its last."""
        draw, price = self.draw, self.prices[symbol]
        where: dict[str, Any] = {"symbol": symbol, "ts_ns": now_ns}
        size = draw.choice([0.01, 0.5, 20.0, draw.uniform(0.0, 300.0)])
        if shown == "none" or draw.random() < 0.3:
            side = draw.choice([0, 1, -1])
            self.add("trade", **where, price=price, size=size, side=side, event=event)
        elif shown == "book" or (shown == "both" and draw.random() < 0.6):
            return self.book(symbol, now_ns, price, event)
        else:
            gap = draw.choice([0.01, 0.05])
            sizes = {"bid_size": size, "ask_size": draw.choice([0.0, 1.0, 50.0])}
            self.add("quote", **where, bid=price, ask=price + gap, **sizes, event=event)
        return now_ns

    def book(self, symbol: int, now_ns: int, price: float, event: int) -> int:
        """A few levels, or the whole book: mostly at one instant and mostly to the end."""
        draw, levels = self.draw, []
        is_snapshot = draw.random() < 0.2 or event < len(self.prices)
        for depth in range(1, 5) if is_snapshot else draw.choices(range(4), k=draw.choice([1, 3])):
            for side in (1, -1) if is_snapshot else (draw.choice([1, -1]),):
                size = draw.choice([0.0, 0.01, 0.5, 20.0, draw.uniform(0.1, 300.0)])
                levels.append((side, round(price - side * 0.01 * depth, 2), size))
        if is_snapshot:
            self.add("book_reset", symbol=symbol, ts_ns=now_ns)
        if draw.random() < 0.05:
            levels = levels[: draw.randrange(len(levels) + 1)]
        is_torn, ends_at = draw.random() < 0.1, len(levels) - (draw.random() > 0.05)
        for place, (side, at, size) in enumerate(levels):
            told = {"side": side, "price": at, "size": size, "last": place == ends_at}
            self.add("book_level", symbol=symbol, ts_ns=now_ns, **told, event=event)
            if is_torn:
                self.decide(now_ns)
                now_ns += draw.choice([0, MINUTE_NS // 9])
        return now_ns


def bar_scenario(seed: int, length: int = 40, symbols: int | None = None) -> Scenario:
    """A random scenario on bars, rungs 1 and 2."""
    rung = int(Rung.NEXT_OPEN) if seed % 3 == 0 else int(Rung.INTRABAR)
    return _Writer(seed, rung, symbols or 1 + seed % 3, length).bars()


def tick_scenario(seed: int, length: int = 80) -> Scenario:
    """A random scenario on quotes, trades and books: rungs 3 and 4."""
    rung = int(Rung.QUOTES) if seed % 2 == 0 else int(Rung.BOOK)
    return _Writer(seed, rung, 1 + seed // 2 % 3, length).ticks()


bar_scenarios = st.builds(bar_scenario, st.integers(0, 2**32 - 1), st.integers(5, 60))
tick_scenarios = st.builds(tick_scenario, st.integers(0, 2**32 - 1), st.integers(5, 120))
