"""From one style to another, with the same trades."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NoReturn, Protocol

import numpy as np

from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.layout import Sizing
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import PanelStrategy, Strategy, Value, trained_until
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import (
    Context,
    EventStrategy,
    History,
    OrderRequest,
    WorkingOrder,
)
from tradelake.strategies.panel import Panel
from tradelake.strategies.tape import Tape


class VectorEvents(EventStrategy):
    """A vectorised strategy, asked at each bar for the newest target of all bars known by then.

    It sends a target wherever the target of a symbol changes, as the driver of vectorised
    strategies does, and so trades the same; with several symbols a target is a fraction of its
    symbol's equal share of the equity. Each call takes as long as ``signals`` of the whole
    history: this style is for tests, small data and live trading on bars.
    """

    state_names: ClassVar[tuple[str, ...]] = ("last", "begun")

    def __init__(self, strategy: Strategy) -> None:
        self.name = strategy.name
        self.parameters: Mapping[str, Value] = strategy.parameters
        self.last: dict[str, float] = {}
        self.begun: list[str] = []
        self.train_end_ns = trained_until(strategy)
        self._strategy = strategy

    def on_bar(self, ctx: Context) -> None:
        """Aim at the newest target."""
        targets = self._strategy.signals(ctx.bars(ctx.symbol))
        self._aim(ctx, ctx.symbol, float(targets[-1]), 1.0 / len(ctx.symbols))

    def _aim(self, ctx: Context, symbol: str, target: float, share: float = 1.0) -> None:
        if target != target and symbol not in self.begun:
            return
        if not -1.0 <= target <= 1.0:
            raise InvalidData(
                "signal",
                f"{self.name} on {symbol}: expected a target in [-1, 1]; found {target} "
                f"at {ctx.now_ns} ns",
            )
        if symbol not in self.begun:
            self.begun.append(symbol)
        target *= share
        if target != self.last.get(symbol, 0.0):
            self.last[symbol] = target
            ctx.target(symbol, target)


class PanelEvents(VectorEvents):
    """A strategy of several symbols, asked once at each instant, when all its bars are known."""

    state_names: ClassVar[tuple[str, ...]] = ("last", "begun", "fresh")

    def __init__(self, strategy: PanelStrategy) -> None:
        self.name = strategy.name
        self.parameters = strategy.parameters
        self.last = {}
        self.begun = []
        self.fresh: list[str] = []
        self.train_end_ns = trained_until(strategy)
        self._panel_strategy = strategy

    def on_bar(self, ctx: Context) -> None:
        """Remember the symbol; after the last of the instant aim at the newest targets."""
        self.fresh.append(ctx.symbol)
        if not ctx.instant_over:
            return
        panel = Panel.of([ctx.bars(symbol) for symbol in ctx.symbols])
        targets = self._panel_strategy.signals_of(panel)[-1]
        for place, symbol in enumerate(ctx.symbols):
            if symbol in self.fresh:
                self._aim(ctx, symbol, float(targets[place]))
        self.fresh.clear()


def as_events(strategy: Strategy | PanelStrategy) -> VectorEvents:
    """Return a vectorised strategy as an event-driven one with the same trades."""
    if isinstance(strategy, PanelStrategy):
        return PanelEvents(strategy)
    return VectorEvents(strategy)


class EventSignals:
    """An event-driven strategy that only aims at targets when bars close, as a vectorised one.

    ``signals`` starts from the state that the strategy has at that time, and leaves it as it was.

    Parameters
    ----------
    strategy : EventStrategy
        It may read bars, history and features. There is no account: to ask for it, to send orders
        other than targets, or to set a timer is refused, and ``held`` is NaN.
    """

    def __init__(self, strategy: EventStrategy) -> None:
        self._strategy = strategy

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self._strategy.name

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Parameters of the strategy."""
        return self._strategy.parameters

    @property
    def train_end_ns(self) -> int:
        """End of the last training that the strategy saw."""
        return trained_until(self._strategy)

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,); 0 before the first.

        Raises
        ------
        InvalidData
            Rule ``signal``: the strategy asked for something that targets cannot say.
        """
        strategy, tape = copy.deepcopy(self._strategy), Tape([bars])
        desk = TargetDesk(strategy.name, tape)
        ctx = EventContext([bars.symbol], desk)
        ctx.held = float("nan")
        strategy.on_start(ctx)
        targets = np.empty(len(bars))
        for row, ctx.now_ns in enumerate(bars.close_ns.tolist()):
            tape.known[0] = row + 1
            show_bar(ctx, bars, row)
            strategy.on_bar(ctx)
            targets[row] = desk.targets.get(bars.symbol, 0.0)
        strategy.on_stop(ctx)
        return targets


class DecidedSignals:
    """A compiled strategy's decisions as a vectorised one, without the compiler.

    For live trading and tests: the function runs as the plain Python that it is.

    Parameters
    ----------
    strategy : CompiledStrategy
        Of style ``decide``.

    Raises
    ------
    ConfigError
        It sends orders itself, or there is no such function.
    """

    def __init__(self, strategy: CompiledStrategy) -> None:
        self._strategy = strategy
        if not strategy.decide:
            raise ConfigError(
                f"strategy {strategy.name}: expected decide; found {strategy.style} {strategy.path}"
            )
        module, _, name = strategy.decide.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"strategy {strategy.name}: {strategy.decide}: {error}") from error
        self._decide: Callable[..., float] = getattr(function, "py_func", function)

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self._strategy.name

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Parameters of the strategy."""
        return self._strategy.parameters

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,); 0 before the first."""
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        params, memory = self._strategy.params(), np.zeros(self._strategy.memory)
        targets, last = np.empty(len(bars)), 0.0
        for row in range(len(bars)):
            target = float(self._decide(*columns, row, params, memory))
            last = last if target != target else target
            targets[row] = last
        return targets


def show_bar(ctx: EventContext, bars: BarArrays, row: int) -> None:
    """Put a bar into a context's fields; the instant is the driver's."""
    ctx.symbol = bars.symbol
    ctx.open_ns = int(bars.ts_event_ns[row])
    ctx.open, ctx.high = float(bars.open[row]), float(bars.high[row])
    ctx.low, ctx.close = float(bars.low[row]), float(bars.close[row])
    ctx.volume = float(bars.volume[row])


class Known(Protocol):
    """Who knows bars; a :class:`~tradelake.strategies.tape.Tape` does."""

    def history(self, symbol: str, n: int) -> History:
        """Return the newest bars known."""
        ...

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars known."""
        ...

    def feature(self, symbol: str, name: str) -> float:
        """Return a feature of the newest bar known."""
        ...


class TargetDesk:
    """A desk that takes targets and knows bars, and refuses everything else.

    Parameters
    ----------
    name : str
        Of the strategy, for messages.
    known : Known
        Who knows the bars.

    Attributes
    ----------
    targets : dict of str to float
        Newest target of each symbol.
    """

    def __init__(self, name: str, known: Known) -> None:
        self.targets: dict[str, float] = {}
        self._name = name
        self._known = known

    def send(self, request: OrderRequest) -> int:
        """Take a target or a close down."""
        if request.sizing not in (Sizing.TARGET, Sizing.CLOSE):
            self._refuse("an order that is no target")
        self.targets[request.symbol] = request.amount
        return 0

    def works(self, order: int) -> bool:
        """Return whether an order still works: no target does, a later one takes its place."""
        return order < 0

    def history(self, symbol: str, n: int) -> History:
        """Return the newest bars known."""
        return self._known.history(symbol, n)

    def bars(self, symbol: str) -> BarArrays:
        """Return all bars known."""
        return self._known.bars(symbol)

    def feature(self, symbol: str, name: str) -> float:
        """Return a feature of the newest bar known."""
        return self._known.feature(symbol, name)

    def cancel(self, order: int) -> bool:
        """Refuse."""
        self._refuse(f"a cancel of {order}")

    def replace(self, order: int, quantity: float, limit: float, stop: float, trail: float) -> int:
        """Refuse."""
        self._refuse(f"a replacement of {order} by {(quantity, limit, stop, trail)}")

    def working(self) -> Sequence[WorkingOrder]:
        """Refuse."""
        self._refuse("its orders")

    def cash(self) -> float:
        """Refuse."""
        self._refuse("its cash")

    def equity(self) -> float:
        """Refuse."""
        self._refuse("its equity")

    def position(self, symbol: str) -> float:
        """Refuse."""
        self._refuse(f"its position in {symbol}")

    def timer(self, name: str, at_ns: int, every_ns: int) -> None:
        """Refuse."""
        self._refuse(f"a timer {name} at {at_ns} ns, every {every_ns} ns")

    def _refuse(self, what: str) -> NoReturn:
        raise InvalidData(
            "signal",
            f"{self._name}: expected targets decided from bars alone; found a wish for {what}",
        )
