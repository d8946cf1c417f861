"""What holds for one instrument from an instant on, read exactly from what the venue said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from tradelake.decoding import convert
from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.terms import Trading
from tradelake.execution.validation import number, whole
from tradelake.market.increments import DECIMALS, expected, is_countable
from tradelake.market.records import Instrument

_COLUMNS: Final = ("symbol", "event", "status", "tradable", *DECIMALS)


@dataclass(frozen=True, slots=True)
class MinimumNotional:
    """Smallest notional of an order from an instant on.

    Parameters
    ----------
    valid_from_ns : int
        ns since 1970 UTC.
    notional : float
        Quote units.
    quote : str
        Quote currency of the symbols it holds for; empty for all.
    """

    valid_from_ns: int
    notional: float
    quote: str = ""

    def __post_init__(self) -> None:
        whole("minimum_notional.valid_from_ns", self.valid_from_ns)
        number("minimum_notional.notional", self.notional, 0.0, 9e10)


@dataclass(frozen=True, slots=True)
class InstrumentTerms:
    """What holds for one symbol from ``from_ns`` on.

    Parameters
    ----------
    from_ns : int
        ns since 1970 UTC.
    min_order_size, min_trade_increment, price_increment : Decimal or None
        Base units, base units, quote units; None or 0 where the venue says nothing.
    trading : Trading
        What the venue does with it.
    renamed_to : str
        The symbol that carries on from here; empty for none.
    """

    from_ns: int
    min_order_size: Decimal | None = None
    min_trade_increment: Decimal | None = None
    price_increment: Decimal | None = None
    trading: Trading = Trading.OPEN
    renamed_to: str = ""

    def __post_init__(self) -> None:
        whole("instrument.from_ns", self.from_ns)
        for name in DECIMALS:
            value = getattr(self, name)
            valid = value is None or (
                isinstance(value, Decimal) and value.is_finite() and value >= 0
            )
            if not valid:
                raise ConfigError(
                    f"instrument.{name}: expected None or a Decimal of 0 or more; found {value!r}"
                )


def record_of(row: Mapping[str, object]) -> Instrument:
    """Return a row of the lake's table ``instruments`` as a record.

    Raises
    ------
    InvalidData
        Rule ``instrument_row``: a column is missing or of another type.
    """
    ts_ns = row.get("ts_event_ns")
    values = {name: row.get(name) for name in _COLUMNS}
    values |= {"ts_event": ts_ns, "ts_ingest": row.get("ts_ingest_ns", ts_ns)}
    values["renamed_to"] = row.get("renamed_to") or ""
    fields = [6, *(values[name] for name in Instrument.__struct_fields__ if name in values)]
    try:
        return convert(fields, Instrument)
    except msgspec.ValidationError as error:
        found = {name: value for name, value in values.items() if name != "ts_ingest"}
        raise InvalidData("instrument_row", f"{error}; found {found}") from error


def terms_of(record: Instrument, before: InstrumentTerms | None) -> InstrumentTerms:
    """Return what a record says, with what it leaves empty as it was before.

    Raises
    ------
    InvalidData
        As :meth:`tradelake.execution.instruments.InstrumentHistory.from_records` says.
    """
    values = {name: _decimal(record, name) for name in DECIMALS}
    if before is not None:
        values = {name: getattr(before, name) if v is None else v for name, v in values.items()}
    if record.ts_event < 0:
        raise _invalid("negative_time", "ts_event of 0 or more", record.ts_event, record)
    if (record.event == "renamed") != bool(record.renamed_to):
        rule = "a new symbol of a rename, and of nothing else"
        raise _invalid("renamed_to", rule, record.renamed_to, record)
    if record.renamed_to == record.symbol:
        raise _invalid("renamed_to", "another symbol", record.renamed_to, record)
    return InstrumentTerms(
        record.ts_event,
        values["min_order_size"],
        values["min_trade_increment"],
        values["price_increment"],
        _trading(record),
        record.renamed_to,
    )


def _trading(record: Instrument) -> Trading:
    match record.event:
        case "delisted":
            return Trading.DELISTED
        case "halted":
            return Trading.HALTED
        case "resumed":
            return Trading.OPEN
        case "listed" | "changed" | "renamed":
            return Trading.OPEN if record.tradable else Trading.HALTED
    raise _invalid("instrument_event", "a known event", record.event, record)


def _decimal(record: Instrument, name: str) -> Decimal | None:
    text = getattr(record, name)
    if text == "":
        return None
    if not isinstance(text, str):
        raise _invalid("decimal", f"{name} as text", text, record)
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _invalid("decimal", f"{name} a decimal", text, record) from None
    if not is_countable(name, value):
        raise _invalid("decimal", expected(name), text, record)
    return value


def _invalid(rule: str, expected: str, found: object, record: Instrument) -> InvalidData:
    where = f"{record.event} {record.symbol} at {record.ts_event}"
    return InvalidData(rule, f"expected {expected}; found {found!r:.60} in Instrument {where}")
