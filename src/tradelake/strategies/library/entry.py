"""What an entry of the library is, and the strategies that rules make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from tradelake.errors import ConfigError
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.api import (
    PanelStrategy,
    Parameter,
    Predictor,
    Regressor,
    Strategy,
    Value,
    resolve,
)
from tradelake.strategies.event import EventStrategy
from tradelake.strategies.panel import Panel

Values: TypeAlias = Mapping[str, Value]
Rule: TypeAlias = Callable[[BarArrays, Values], FloatArray]
PanelRule: TypeAlias = Callable[[Panel, Values], FloatArray]
Events: TypeAlias = Callable[[str, Values], EventStrategy]
Learned: TypeAlias = Callable[[str, Values, Any], Strategy]
AnyStrategy: TypeAlias = Strategy | PanelStrategy | EventStrategy

LONGEST: Final = 100_000
"""Bars of the longest window."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy of the library: how to build it and what it can be told.

    Exactly one of ``rule``, ``panel_rule``, ``events`` and ``learned`` is given.

    Parameters
    ----------
    name : str
        Name in the library.
    doc : str
        What it does, one line.
    parameters : tuple of Parameter
        What it can be told.
    rule : callable, optional
        Targets of bars under parameters.
    ascending : tuple of str
        Parameters each of which must be less than the next.
    panel_rule : callable, optional
        Targets of a panel under parameters.
    events : callable, optional
        Makes an event-driven strategy of name and parameters.
    learned : callable, optional
        Makes a strategy of name, parameters and a trained model.
    model : type, optional
        What the model must be, where one decides.
    assumes : str
        What it takes for granted, in a sentence or two.
    """

    name: str
    doc: str
    parameters: tuple[Parameter, ...] = ()
    rule: Rule | None = None
    ascending: tuple[str, ...] = ()
    panel_rule: PanelRule | None = None
    events: Events | None = None
    learned: Learned | None = None
    model: type[Predictor] | type[Regressor] | None = None
    assumes: str = ""

    @property
    def style(self) -> str:
        """``signals``, ``panel`` (several symbols) or ``events``."""
        if self.panel_rule is not None:
            return "panel"
        return "signals" if self.events is None else "events"

    def check(self, given: Mapping[str, object]) -> Values:
        """Return all parameters, defaults filled in.

        Raises
        ------
        ConfigError
            Unknown name, value out of range, or values out of order.
        """
        values = resolve(self.name, self.parameters, given)
        for lower, upper in zip(self.ascending, self.ascending[1:], strict=False):
            if not float(values[lower]) < float(values[upper]):
                raise ConfigError(
                    f"strategy {self.name}: parameter {lower}: expected less than {upper} = "
                    f"{values[upper]}; found {values[lower]}"
                )
        return MappingProxyType(values)

    def build(self, given: Mapping[str, object], model: object = None) -> AnyStrategy:
        """Return the strategy.

        Raises
        ------
        ConfigError
            Unknown parameter, bad value, or a model absent, of the wrong kind or not wanted.
        """
        values = self.check(given)
        self._check_model(model)
        if self.rule is not None:
            return RuleStrategy(self.name, values, self.rule)
        if self.panel_rule is not None:
            return PanelRuleStrategy(self.name, values, self.panel_rule)
        if self.events is not None:
            return self.events(self.name, values)
        assert self.learned is not None
        return self.learned(self.name, values, model)

    def _check_model(self, model: object) -> None:
        found = "none" if model is None else type(model).__name__
        if self.model is None:
            if model is not None:
                raise ConfigError(f"strategy {self.name}: takes no model; found {found}")
        elif model is None:
            raise ConfigError(f"strategy {self.name}: needs a model; found {found}")
        elif not isinstance(model, self.model):
            raise ConfigError(
                f"strategy {self.name}: expected a {self.model.__name__}; found {found}"
            )


@dataclass(frozen=True, slots=True)
class RuleStrategy:
    """A strategy whose targets are a function of bars and parameters."""

    name: str
    parameters: Values
    rule: Rule

    def signals(self, bars: BarArrays) -> FloatArray:
        """Targets, shape (n,)."""
        return self.rule(bars, self.parameters)


@dataclass(frozen=True, slots=True)
class PanelRuleStrategy:
    """A strategy whose targets are a function of a panel and parameters."""

    name: str
    parameters: Values
    panel_rule: PanelRule

    def signals_of(self, panel: Panel) -> FloatArray:
        """Targets, shape (n, k)."""
        return self.panel_rule(panel, self.parameters)
