"""A portfolio of strategies: each has a share of the equity, and every symbol one target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tradelake.errors import ConfigError
from tradelake.features.rolling import rolling_std
from tradelake.market.arrays import FloatArray
from tradelake.strategies.api import PanelStrategy, Strategy, Value, trained_until
from tradelake.strategies.compose import nested_name
from tradelake.strategies.panel import Panel


@dataclass(frozen=True, slots=True)
class Member:
    """A strategy and the symbols it trades; one symbol where it decides from one symbol's bars."""

    strategy: Strategy | PanelStrategy
    symbols: tuple[str, ...]


class Allocation(Protocol):
    """How the equity is shared between members."""

    @property
    def name(self) -> str:
        """In the portfolio's name."""
        ...

    @property
    def parameters(self) -> Mapping[str, Value]:
        """In the portfolio's parameters."""
        ...

    def weights(self, returns: FloatArray) -> FloatArray:
        """Return shares, shape (n, m), not negative, each row summing to 1 or less.

        Of the members' markets' log returns of shape (n, m), NaN before the first; row i sees rows
        0 to i alone.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same shares at all times."""

    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        valid = all(math.isfinite(one) and one >= 0.0 for one in self.shares)
        if not valid or not 0.0 < math.fsum(self.shares) <= 1.0 + 1e-12:
            raise ConfigError(
                f"portfolio: expected shares of 0 or more that sum to 1 or less; "
                f"found {self.shares}"
            )

    @property
    def name(self) -> str:
        """In the portfolio's name."""
        return "fixed"

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Shares, counted from 1."""
        return {f"share_{place}": share for place, share in enumerate(self.shares, 1)}

    def weights(self, returns: FloatArray) -> FloatArray:
        """Return the shares in every row."""
        if returns.shape[1] != len(self.shares):
            raise ConfigError(
                f"portfolio: expected {returns.shape[1]} shares; found {len(self.shares)}"
            )
        return np.tile(np.array(self.shares), (len(returns), 1))


@dataclass(frozen=True, slots=True)
class InverseVolatility:
    """Shares in proportion to 1 / volatility of the member's market (naive risk parity).

    Members whose volatility is not known yet, or 0, have no share. Shares are taken at every
    ``every``-th instant, counted from the first, and kept in between.

    References
    ----------
    Maillard, Roncalli, Teiletche 2010, section 3: equal risk contributions where all correlations
    are equal.
    """

    window: int = 240
    every: int = 60

    def __post_init__(self) -> None:
        if self.window < 2 or self.every < 1:
            raise ConfigError(
                f"portfolio: expected a window of 2 or more and every 1 or more; "
                f"found {self.window}, {self.every}"
            )

    @property
    def name(self) -> str:
        """In the portfolio's name."""
        return "inverse_volatility"

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Window and every, instants."""
        return {"window": self.window, "every": self.every}

    def weights(self, returns: FloatArray) -> FloatArray:
        """Return the shares."""
        calm = np.zeros(returns.shape)
        for place in range(returns.shape[1]):
            known = np.flatnonzero(~np.isnan(returns[:, place]))
            deviation = rolling_std(returns[known, place], self.window)
            moved = deviation > 0.0
            calm[known[moved], place] = 1.0 / deviation[moved]
        total = calm.sum(axis=1, keepdims=True)
        shares = np.divide(calm, total, out=np.zeros(calm.shape), where=total > 0.0)
        rows = np.arange(len(shares)) // self.every * self.every
        held: FloatArray = shares[rows]
        return held


class Portfolio:
    """Members on their symbols, each with its share: one target for each symbol.

    A symbol's target is the sum over members of share times target, so opposite wishes cancel and
    cost nothing. Symbols that no member trades have target 0.

    Parameters
    ----------
    members : sequence of Member
        At least one.
    allocation : Allocation
        Shares of the equity.

    Raises
    ------
    ConfigError
        No member, or one with a number of symbols that it cannot trade.
    """

    def __init__(self, members: Sequence[Member], allocation: Allocation) -> None:
        self.members = tuple(members)
        self.allocation = allocation
        if not self.members:
            raise ConfigError("portfolio: expected at least one member")
        for one in self.members:
            several = isinstance(one.strategy, PanelStrategy)
            if not one.symbols or (len(one.symbols) > 1 and not several):
                raise ConfigError(
                    f"portfolio: expected {'symbols' if several else 'one symbol'} for "
                    f"{one.strategy.name}; found {one.symbols}"
                )

    @property
    def name(self) -> str:
        """Allocation, and members with their symbols."""
        inner = [f"{one.strategy.name} {' '.join(one.symbols)}" for one in self.members]
        return nested_name(self.allocation.name, inner)

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Those of the allocation, and the members' behind their place and name."""
        outer = self.allocation
        found = {f"{outer.name}.{name}": value for name, value in outer.parameters.items()}
        for place, one in enumerate(self.members, 1):
            for name, value in one.strategy.parameters.items():
                found[f"{place}.{one.strategy.name}.{name}"] = value
        return found

    @property
    def train_end_ns(self) -> int:
        """End of the last training that any part saw."""
        return trained_until(*(one.strategy for one in self.members))

    def signals_of(self, panel: Panel) -> FloatArray:
        """Targets, shape (n, k).

        Raises
        ------
        ConfigError
            A member's symbol is not in the panel, or shares do not fit the members.
        """
        places = {symbol: place for place, symbol in enumerate(panel.symbols)}
        missing = [s for one in self.members for s in one.symbols if s not in places]
        if missing:
            raise ConfigError(
                f"portfolio: expected {missing[0]} among {list(panel.symbols)}; found it not"
            )
        logs = np.log(panel.carried(panel.close))
        moves = np.full(logs.shape, np.nan)
        moves[1:] = logs[1:] - logs[:-1]
        columns = [[places[symbol] for symbol in one.symbols] for one in self.members]
        markets = np.column_stack([moves[:, mine].mean(axis=1) for mine in columns])
        shares = self.allocation.weights(markets)
        targets = np.zeros(panel.close.shape)
        for number, (one, mine) in enumerate(zip(self.members, columns, strict=True)):
            targets[:, mine] += shares[:, number : number + 1] * _targets(one, panel, mine)
        return np.clip(targets, -1.0, 1.0)


def _targets(member: Member, panel: Panel, columns: Sequence[int]) -> FloatArray:
    """Targets of a member's symbols at all instants, kept where there is no bar, 0 before."""
    bars = [panel.bars[place] for place in columns]
    if isinstance(member.strategy, PanelStrategy):
        inner = Panel.of(bars)
        known, rows = member.strategy.signals_of(inner), inner.close_ns
    else:
        known, rows = member.strategy.signals(bars[0])[:, None], bars[0].close_ns
    before = np.searchsorted(rows, panel.close_ns, side="right")
    return np.concatenate((np.zeros((1, len(columns))), np.nan_to_num(known)))[before]
