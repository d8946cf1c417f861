"""State of strategies as plain data, so that a run can be cut in two anywhere."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from tradelake.errors import InvalidData
from tradelake.strategies.api import Value

State: TypeAlias = dict[str, Any]
"""``strategy``, ``version``, ``parameters`` and ``values``: what msgspec encodes as JSON."""


class Stateful(Protocol):
    """What :func:`save` reads."""

    name: str
    parameters: Mapping[str, Value]

    @property
    def state_names(self) -> tuple[str, ...]:
        """Attributes that change."""
        ...

    @property
    def state_version(self) -> int:
        """Of their meaning."""
        ...


def save(strategy: Stateful) -> State:
    """Return the attributes that a strategy names as its state, copied.

    Raises
    ------
    InvalidData
        Rule ``strategy_state``: one of them is not plain data.
    """
    values = {}
    for name in strategy.state_names:
        try:
            values[name] = msgspec.to_builtins(getattr(strategy, name))
        except TypeError as error:
            raise _invalid(strategy.name, "plain data", f"{name}: {error}") from error
    return pack(strategy.name, strategy.state_version, strategy.parameters, values)


def pack(
    name: str, version: int, parameters: Mapping[str, Value], values: Mapping[str, Any]
) -> State:
    """Return a state from its parts."""
    return {
        "strategy": name,
        "version": version,
        "parameters": dict(parameters),
        "values": copy.deepcopy(dict(values)),
    }


def restore(strategy: Stateful, saved: Mapping[str, Any]) -> None:
    """Set the attributes that a strategy names as its state.

    Lists stay lists: a strategy that keeps a tuple or an array makes it in its own ``restore``.

    Raises
    ------
    InvalidData
        Rule ``strategy_state``: of another strategy, version or other parameters, or incomplete.
    """
    values = unpack(strategy.name, strategy.state_version, strategy.parameters, saved)
    if set(values) != set(strategy.state_names):
        raise _invalid(strategy.name, f"values of {list(strategy.state_names)}", sorted(values))
    for name, value in values.items():
        setattr(strategy, name, value)


def unpack(
    name: str, version: int, parameters: Mapping[str, Value], saved: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a copy of a state's values.

    Raises
    ------
    InvalidData
        Rule ``strategy_state``: of another strategy, version or other parameters, or incomplete.
    """
    expected = {"strategy": name, "version": version, "parameters": dict(parameters)}
    for key, value in expected.items():
        if saved.get(key) != value:
            raise _invalid(name, f"{key} {value!r}", saved.get(key))
    values = saved.get("values")
    if not isinstance(values, Mapping):
        raise _invalid(name, "values", values)
    return copy.deepcopy(dict(values))


def _invalid(name: str, expected: str, found: object) -> InvalidData:
    return InvalidData("strategy_state", f"{name}: expected {expected}; found {found!r}")
