"""Strategies made of strategies. Names and parameters nest, so that a trial record tells all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tradelake.errors import ConfigError
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies import state
from tradelake.strategies.adapters import TargetDesk, VectorEvents
from tradelake.strategies.api import Strategy, Value, trained_until
from tradelake.strategies.combine import Combination, Filter, Switch, Vote, WeightedMean
from tradelake.strategies.context import EventContext
from tradelake.strategies.event import Context, EventStrategy, History


class Composite:
    """Vectorised strategies as one.

    Parameters
    ----------
    rule : Combination
        Makes one target of the members' targets.
    members : sequence of Strategy
        At least one; a composite may be one of them.
    name : str
        Empty for ``rule(first, second)``.

    Raises
    ------
    ConfigError
        A number of members that the rule does not take.
    """

    def __init__(self, rule: Combination, members: Sequence[Strategy], name: str = "") -> None:
        check_members(rule, len(members))
        self.rule = rule
        self.members = tuple(members)
        self._name = name or nested_name(rule.name, [one.name for one in members])

    @property
    def name(self) -> str:
        """Name in trial records."""
        return self._name

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Those of the rule, and the members' behind their place and name."""
        return nested_parameters(self.rule, self.members)

    @property
    def train_end_ns(self) -> int:
        """End of the last training that any part saw."""
        return trained_until(self.rule, *self.members)

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,)."""
        return self.rule.combine(member_signals(self.members, bars))


def member_signals(members: Sequence[Strategy], bars: BarArrays) -> FloatArray:
    """Return the members' targets, shape (n, m), 0 where one has no position yet."""
    columns = [np.nan_to_num(one.signals(bars)) for one in members]
    return np.column_stack(columns) if columns else np.zeros((len(bars), 0))


def check_members(rule: Combination, count: int) -> None:
    """Raise ConfigError where a rule does not take so many members."""
    if count < 1 or rule.members not in (None, count):
        raise ConfigError(
            f"strategy {rule.name}: expected {rule.members or '1 or more'} members; found {count}"
        )


def nested_name(outer: str, inner: Sequence[str]) -> str:
    """Return ``outer(first, second)``."""
    return f"{outer}({', '.join(inner)})"


def nested_parameters(
    rule: Combination, members: Sequence[Strategy | EventStrategy]
) -> Mapping[str, Value]:
    """Return ``rule.parameter`` and ``place.member.parameter`` with their values."""
    found = {f"{rule.name}.{name}": value for name, value in rule.parameters.items()}
    for place, member in enumerate(members, 1):
        for name, value in member.parameters.items():
            found[f"{place}.{member.name}.{name}"] = value
    return found


def vote(members: Sequence[Strategy], quorum: float = 0.5) -> Composite:
    """Return the members' majority vote; see :class:`~tradelake.strategies.combine.Vote`."""
    return Composite(Vote(quorum), members)


def weighted(members: Sequence[Strategy], weights: Sequence[float]) -> Composite:
    """Return the members' weighted mean."""
    return Composite(WeightedMean(tuple(float(one) for one in weights)), members)


def filtered(member: Strategy, condition: Strategy) -> Composite:
    """Return ``member`` while ``condition`` is long, flat while it is not."""
    return Composite(Filter(), (member, condition))


def regime_switch(
    regime: Strategy, up: Strategy, down: Strategy, flat: Strategy | None = None
) -> Composite:
    """Return ``up`` while ``regime`` is long, ``down`` while it is short.

    While it is flat: ``flat``, or ``down`` where that is not given.
    """
    if flat is None:
        return Composite(Switch(2), (regime, up, down))
    return Composite(Switch(3), (regime, up, flat, down))


class EventComposite(EventStrategy):
    """Event-driven strategies as one: each only aims at targets, and the rule aims for them.

    Parameters
    ----------
    rule : Combination
        Makes one target of the members' targets.
    members : sequence of EventStrategy
        Told of bars; each believes that the bar's symbol is the only one, sees no account
        (``held`` is NaN) and may send targets alone. With several symbols the target is a fraction
        of its symbol's equal share of the equity, as of vectorised strategies.
    name : str
        Empty for ``rule(first, second)``.

    Raises
    ------
    ConfigError
        A number of members that the rule does not take.
    """

    state_version: ClassVar[int] = 1

    def __init__(self, rule: Combination, members: Sequence[EventStrategy], name: str = "") -> None:
        check_members(rule, len(members))
        self.rule = rule
        self.members = tuple(members)
        self.name = name or nested_name(rule.name, [one.name for one in members])
        self.parameters = nested_parameters(rule, members)
        self.targets: list[dict[str, float]] = [{} for _ in members]
        self.last: dict[str, float] = {}

    @property
    def train_end_ns(self) -> int:
        """End of the last training that any part saw."""
        return trained_until(self.rule, *self.members)

    def on_start(self, ctx: Context) -> None:
        """Start the members."""
        for place, member in enumerate(self.members):
            member.on_start(self._view(place, ctx))

    def on_bar(self, ctx: Context) -> None:
        """Tell the members, and aim at what the rule makes of their targets."""
        row = np.zeros((1, len(self.members)))
        for place, member in enumerate(self.members):
            member.on_bar(self._view(place, ctx))
            row[0, place] = self.targets[place].get(ctx.symbol, 0.0)
        target = float(self.rule.combine(row)[0]) * (1.0 / len(ctx.symbols))
        if target != self.last.get(ctx.symbol, 0.0):
            self.last[ctx.symbol] = target
            ctx.target(ctx.symbol, target)

    def on_stop(self, ctx: Context) -> None:
        """Stop the members."""
        for place, member in enumerate(self.members):
            member.on_stop(self._view(place, ctx))

    def save(self) -> state.State:
        """Return the members' states and targets."""
        values = {
            "members": [member.save() for member in self.members],
            "targets": self.targets,
            "last": self.last,
        }
        return state.pack(self.name, self.state_version, self.parameters, values)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up a state; raises as :meth:`EventStrategy.restore`."""
        values = state.unpack(self.name, self.state_version, self.parameters, saved)
        for member, inner in zip(self.members, values["members"], strict=True):
            member.restore(inner)
        self.targets, self.last = values["targets"], values["last"]

    def _view(self, place: int, ctx: Context) -> EventContext:
        desk = TargetDesk(self.members[place].name, _Bars(ctx))
        desk.targets = self.targets[place]
        view = EventContext([ctx.symbol], desk)
        view.now_ns, view.open_ns = ctx.now_ns, ctx.open_ns
        view.open, view.high, view.low = ctx.open, ctx.high, ctx.low
        view.close, view.volume = ctx.close, ctx.volume
        view.held = math.nan
        return view


class _Bars:
    """What a context knows of bars."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def history(self, symbol: str, n: int) -> History:
        return self._ctx.history(symbol, n)

    def bars(self, symbol: str) -> BarArrays:
        return self._ctx.bars(symbol)

    def feature(self, symbol: str, name: str) -> float:
        return self._ctx.feature(name, symbol)


def composite_events(composite: Composite) -> EventComposite:
    """Return a composite of event-driven members with the same trades; composites nest."""
    members: list[EventStrategy] = [
        composite_events(one) if isinstance(one, Composite) else VectorEvents(one)
        for one in composite.members
    ]
    return EventComposite(composite.rule, members, composite.name)
