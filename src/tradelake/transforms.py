"""Users' transforms: filter, enrich or derive from the clean records of a channel.

A transform is a function of one record, in a module of the user's own::

    from tradelake.market.records import Trade
    from tradelake.transforms import transform

    @transform(channel="trades", name="large_trades", symbols=("BTC/USD",))
    def large_trades(trade: Trade) -> dict[str, float] | None:
        value = trade.price * trade.size
        return {"value": value} if value > 100_000 else None

What it returns goes to the table ``derived``, with the record's symbol and times:

- ``None``: nothing, the record is filtered;
- a record of the same kind: its fields, so what was enriched;
- a dictionary of JSON values: itself; NaN and infinities are stored as null;
- an iterable of these: each of them.

A transform should be a pure function of its record: records are handed over again after a failure,
and its results must be the same then. What it raises sends the record, not the stream, away.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tradelake.errors import ConfigError, InvalidData
from tradelake.market.channels import CHANNELS, INSTRUMENTS, SNAPSHOTS
from tradelake.market.records import (
    Bar,
    BookSnapshot,
    BookUpdate,
    Derived,
    Instrument,
    Quote,
    Record,
    Trade,
    channel_of,
)
from tradelake.stream.quality_rules import TRANSFORM_RULE

TRANSFORMABLE: Final = (*CHANNELS, SNAPSHOTS, INSTRUMENTS)
"""Channels whose records a transform may be registered for."""
MAX_FIELDS_BYTES: Final = 64 * 1024
"""Bytes of one result as JSON."""
MAX_RESULTS: Final = 1_000
"""Results of one record."""
_MAX_NAME: Final = 64
_OWN_COLUMNS: Final = frozenset({"symbol", "ts_event", "ts_ingest", "flags"})
Kept = Trade | Quote | BookUpdate | Bar | BookSnapshot | Instrument
"""What a transform may be given."""

Result = Record | Mapping[str, Any] | None
"""One result of a transform."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A registered transform; calling it calls the function.

    Parameters
    ----------
    name : str
        Name under which its results are stored; unique.
    channel : str
        Records of which channel it is given.
    symbols : frozenset of str
        Of which symbols; empty: of all.
    function : callable
        The user's.
    """

    name: str
    channel: str
    symbols: frozenset[str]
    function: Callable[[Any], Result | Iterable[Result]]

    def __call__(self, record: Any) -> Result | Iterable[Result]:  # noqa: ANN401 - any kind
        """Return what the user's function makes of a record."""
        return self.function(record)

    def wants(self, record: Record) -> bool:
        """Whether the record is of its channel and symbols."""
        return channel_of(record) == self.channel and (
            not self.symbols or record.symbol in self.symbols
        )


def transform(
    *, channel: str, name: str, symbols: Iterable[str] = ()
) -> Callable[[Callable[[Any], Result | Iterable[Result]]], Transform]:
    """Register a function as a transform.

    Parameters
    ----------
    channel : str
        Channel of the records it is given, for instance ``"trades"``.
    name : str
        Name under which its results are stored.
    symbols : iterable of str, optional
        Symbols of the records; by default all.

    Raises
    ------
    ConfigError
        There is no such channel, or the name cannot be stored.

    Examples
    --------
    >>> @transform(channel="trades", name="notional")
    ... def notional(trade):
    ...     return {"usd": trade.price * trade.size}
    >>> results(notional, Trade("BTC/USD", 1, 2, 3, 100.0, 0.5), 0)[0].fields
    '{"usd":50.0}'
    """
    if channel not in TRANSFORMABLE:
        raise ConfigError(
            f"transform {name!r}: expected a channel of {', '.join(TRANSFORMABLE)};"
            f" found {channel!r}"
        )
    if not name or len(name) > _MAX_NAME or not name.isprintable() or "," in name:
        raise ConfigError(
            f"transform: expected a name of 1 to {_MAX_NAME} printable characters without a comma;"
            f" found {name!r}"
        )
    if isinstance(symbols, str):
        raise ConfigError(f"transform {name!r}: expected several symbols, found {symbols!r}")
    chosen = frozenset(symbols)

    def register(function: Callable[[Any], Result | Iterable[Result]]) -> Transform:
        return Transform(name, channel, chosen, function)

    return register


def load(modules: str) -> tuple[Transform, ...]:
    """Import modules, named and separated by commas; return their transforms in order.

    A transform that a module only imported from another named one counts once.

    Raises
    ------
    ConfigError
        A module cannot be imported or holds no transform, or two transforms have one name.
    """
    found: dict[str, Transform] = {}
    for module_name in (part.strip() for part in modules.split(",")):
        if not module_name:
            continue
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(f"transforms: {module_name} cannot be imported: {reason}") from error
        there = [one for one in vars(module).values() if isinstance(one, Transform)]
        if not there:
            raise ConfigError(f"transforms: {module_name} holds none: use @transform")
        for one in there:
            if found.setdefault(one.name, one) is not one:
                raise ConfigError(f"transforms: two are named {one.name!r}, one in {module_name}")
    return tuple(found.values())


def results(one: Transform, record: Kept, ordinal: int) -> list[Derived]:
    """Return what a transform makes of a record, numbered from ``ordinal``.

    Raises
    ------
    InvalidData
        Rule ``transform:<name>``: it answers what cannot be stored.
    Exception
        Whatever the user's function raises.
    """
    answer = one(record)
    if answer is None:
        return []
    several: Iterable[object]
    if isinstance(answer, Mapping | msgspec.Struct | str | bytes) or not isinstance(
        answer, Iterable
    ):
        several = (answer,)
    else:
        several = answer
    made: list[Derived] = []
    for result in several:
        if result is None:
            continue
        if len(made) >= MAX_RESULTS:
            raise _wrong(one, f"at most {MAX_RESULTS} results of a record")
        fields = _fields(one, record, result)
        made.append(
            Derived(
                record.symbol,
                record.ts_event,
                record.ts_ingest,
                one.name,
                fields,
                ordinal + len(made),
                record.flags,
            )
        )
    return made


def rule_of(one: Transform) -> str:
    """Name of the rule under which a record is quarantined that a transform cannot deal with."""
    return f"{TRANSFORM_RULE}{one.name}"


def _fields(one: Transform, record: Kept, result: object) -> str:
    content: object
    if isinstance(result, type(record)):
        given = msgspec.structs.asdict(result)
        content = {name: value for name, value in given.items() if name not in _OWN_COLUMNS}
    elif isinstance(result, Mapping):
        content = dict(result)
    else:
        raise _wrong(one, f"a {type(record).__name__}, a dict or None", type(result).__name__)
    try:
        encoded = msgspec.json.encode(content)
        text = encoded.decode()
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise _wrong(one, "JSON values", str(error)) from error
    if len(encoded) > MAX_FIELDS_BYTES:
        raise _wrong(one, f"at most {MAX_FIELDS_BYTES} bytes of JSON", f"{len(encoded)}")
    return text


def _wrong(one: Transform, expected: str, found: str = "more") -> InvalidData:
    return InvalidData(rule_of(one), f"expected {expected}; found {found}")
