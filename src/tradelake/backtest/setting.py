"""The arguments of a run, checked once: a refusal names the argument, the rule and what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, NamedTuple, TypeAlias

from tradelake.backtest.failure import rule_of, said
from tradelake.backtest.limits import Limits
from tradelake.backtest.screen import Finding, Screen
from tradelake.errors import ConfigError
from tradelake.execution.broker import BrokerRules
from tradelake.execution.brokers import broker as broker_named
from tradelake.execution.costs import Costs
from tradelake.execution.instruments import InstrumentHistory
from tradelake.execution.layout import CASH_UNIT, MOST_CASH
from tradelake.execution.terms import Rung
from tradelake.execution.validation import instance, require
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.event import written

_STYLES: Final = ("signals", "signals_of")
_MOST_SEED: Final = 2**63 - 1

Given: TypeAlias = Any
"""As a caller gave it: checked here."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything of a run but data and strategy, resolved."""

    broker: BrokerRules
    costs: Costs
    history: InstrumentHistory
    rung: Rung
    cash: float
    seed: int
    limits: Limits


class Identity(NamedTuple):
    """What a strategy is called and which parameters it has, as told before it runs."""

    name: str
    parameters: dict[str, Any]


def setting_of(
    broker: Given,
    costs: Given,
    instruments: Given,
    rung: Rung,
    cash: Given,
    seed: Given,
    limits: Given,
) -> Setting:
    """Return the setting of a run; None stands for the default.

    Raises
    ------
    ConfigError
        An argument is of another class or out of its range.
    """
    require(isinstance(broker, str | BrokerRules), "broker", "a name or BrokerRules", broker)
    costs = Costs() if costs is None else costs
    instruments = InstrumentHistory() if instruments is None else instruments
    limits = Limits() if limits is None else limits
    instance("costs", costs, Costs)
    instance("instruments", instruments, InstrumentHistory)
    _check_renames(instruments)
    instance("limits", limits, Limits)
    enough = f"a number from {CASH_UNIT:g} to {MOST_CASH:g}"
    require(_is(Real, cash) and CASH_UNIT <= cash <= MOST_CASH, "cash", enough, cash)
    drawn = _is(Integral, seed) and 0 <= seed <= _MOST_SEED
    require(drawn, "seed", f"a whole number from 0 to {_MOST_SEED}", seed)
    return Setting(
        broker_named(broker),
        costs,
        instruments,
        rung,
        float(cash),
        int(seed),
        limits,
    )


def rung_of(asked: Given, lowest: Rung, highest: Rung, what: str) -> Rung:
    """Return the rung that was asked for, the highest one for ``auto``.

    Parameters
    ----------
    asked : Given
        As a caller gave it.
    lowest, highest : Rung
        What the data can carry.
    what : str
        The data, for the message.

    Raises
    ------
    ConfigError
        It is none of these.
    """
    if isinstance(asked, str) and asked == "auto":
        return highest
    known = _is(Integral, asked) and lowest <= asked <= highest
    require(known, "rung", f"auto or {lowest:d} to {highest:d} for {what}", asked)
    return Rung(int(asked))


def check_findings(screen: Given, screened: Given) -> None:
    """Refuse a screen, or findings of one, that are none.

    Raises
    ------
    ConfigError
        They are of another class.
    """
    instance("screen", screen, (Screen, type(None)))
    if screened is not None:
        listed = isinstance(screened, Sequence) and all(isinstance(o, Finding) for o in screened)
        require(listed, "screened", "a sequence of findings", screened)


def identity_of(strategy: Given) -> Identity:
    """Return name and parameters of a strategy as they are before it runs.

    Raises
    ------
    ConfigError
        It is a class instead of an instance, of none of the styles, or has no name or parameters.
    """
    if isinstance(strategy, type):
        raise ConfigError(
            f"strategy: expected an instance; found the class {strategy.__name__}: call it"
        )
    try:
        style = isinstance(strategy, CompiledStrategy) or any(
            callable(getattr(strategy, method, None)) for method in _STYLES
        )
        name, parameters = getattr(strategy, "name", None), getattr(strategy, "parameters", None)
        told = style or written(strategy)
    except BaseException as error:
        rule_of(error)
        raise ConfigError(f"strategy {type(strategy).__name__}: {said(error)}") from error
    if not told:
        raise ConfigError(
            f"strategy: expected signals, signals_of or callbacks; found {strategy!r:.60}"
        )
    what = f"strategy {type(strategy).__name__}"
    lacking = [each for each in ("name", "parameters") if not hasattr(strategy, each)]
    if lacking:
        raise ConfigError(
            f"{what}: expected a name, text, and parameters, a mapping; "
            f"found no {' and no '.join(lacking)}"
        )
    require(isinstance(name, str) and bool(name), f"{what}: name", "text", name)
    require(isinstance(parameters, Mapping), f"{what}: parameters", "a mapping", parameters)
    return Identity(str(name), dict(parameters or {}))


def _check_renames(history: InstrumentHistory) -> None:
    """Refuse a rename to the same symbol: what is held would be carried nowhere."""
    for symbol, dated in history.terms.items():
        for one in dated:
            require(
                one.renamed_to != symbol,
                f"instruments of {symbol} from {one.from_ns} ns: renamed_to",
                "another symbol",
                one.renamed_to,
            )


def _is(kind: type, value: Given) -> bool:
    """Whether it is such a number; numpy's count, truth values do not."""
    return isinstance(value, kind) and not isinstance(value, bool)
