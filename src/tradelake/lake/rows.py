"""Turns records into the columns of their lake tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from tradelake.errors import InvalidData
from tradelake.lake.schemas import arrow_schema
from tradelake.market.channels import HISTORY
from tradelake.market.records import (
    Bar,
    BookSnapshot,
    BookUpdate,
    Derived,
    Instrument,
    Quote,
    Record,
    Rejected,
    Trade,
)
from tradelake.market.timeframes import bar_over_ns
from tradelake.stream.envelope import Batch
from tradelake.topology import tables

_ENCODER: Final = msgspec.msgpack.Encoder()


def table_of(record: Record) -> tables.Table:
    """Return the lake table a record belongs to.

    Raises
    ------
    InvalidData
        Rule ``table``: an unreadable message has no table; validation turns it into a rejected
        record first.
    """
    try:
        return _TABLES[type(record)]
    except KeyError:
        raise InvalidData("table", f"no lake table holds a {type(record).__name__}") from None


def to_arrow(table: tables.Table, columns: dict[str, Sequence[Any]]) -> pa.Table:
    """Return an Arrow table with the columns of ``table``; missing optional columns are null.

    Raises
    ------
    InvalidData
        Rule ``columns``: a required column is missing, has the wrong type, or holds a null.
    """
    schema = arrow_schema(table)
    count = len(next(iter(columns.values())))
    arrays = []
    for field in schema:
        if field.name in columns:
            values: Sequence[Any] = columns[field.name]
        elif field.nullable:
            values = [None] * count
        else:
            raise InvalidData("columns", f"{table.name}.{field.name} is required and was not given")
        try:
            arrays.append(pa.array(values, type=field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InvalidData("columns", f"{table.name}.{field.name}: {error}") from error
        if not field.nullable and arrays[-1].null_count:
            raise InvalidData("columns", f"{table.name}.{field.name} holds a null and may not")
    return pa.Table.from_arrays(arrays, schema=schema)


def records_to_arrow(table: tables.Table, batches: Iterable[Batch]) -> pa.Table:
    """Return the rows of ``batches`` that belong to ``table``, in order, with transport stamp."""
    render = _RENDER[table.name]
    flagged = "flags" in table.column_names()
    rows: list[tuple[Any, ...]] = []
    for batch in batches:
        stamp = (batch.lane, batch.epoch, batch.bucket, batch.seq)
        venue = batch.venue
        rows.extend(
            (venue, *render(record), *stamp, getattr(record, "flags", "") or None)
            if flagged
            else (venue, *render(record), *stamp)
            for record in batch.records
            if _TABLES.get(type(record)) is table
        )
    names = table.column_names()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return to_arrow(table, dict(zip(names, columns, strict=True)))


def _micros(ts_ns: int) -> int:
    return ts_ns // 1000


def _trade(record: Trade) -> tuple[Any, ...]:
    return (
        record.symbol,
        _micros(record.ts_event),
        record.ts_event,
        record.ts_ingest,
        record.trade_id,
        record.price,
        record.size,
        record.taker_side or None,
    )


def _quote(record: Quote) -> tuple[Any, ...]:
    return (
        record.symbol,
        _micros(record.ts_event),
        record.ts_event,
        record.ts_ingest,
        record.bid,
        record.bid_size,
        record.ask,
        record.ask_size,
        record.occurrence,
    )


def _book(record: BookUpdate) -> tuple[Any, ...]:
    return (
        record.symbol,
        _micros(record.ts_event),
        record.ts_event,
        record.ts_ingest,
        [{"price": price, "size": size} for price, size in record.bids],
        [{"price": price, "size": size} for price, size in record.asks],
        record.reset,
        content_hash(record),
        record.occurrence,
    )


def content_hash(record: BookUpdate) -> int:
    """Signed 64-bit hash of an update's levels, the same on every machine and for ever."""
    body = _ENCODER.encode((record.bids, record.asks, record.reset))
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big", signed=True)


def _bar(record: Bar) -> tuple[Any, ...]:
    return (
        record.symbol,
        record.source,
        record.channel,
        record.timeframe,
        _micros(record.ts_event),
        record.ts_event,
        _available_ns(record),
        record.open,
        record.high,
        record.low,
        record.close,
        record.volume,
        record.vwap or None,
        record.trades if record.trades >= 0 else None,
        record.revision,
        record.status,
    )


def _available_ns(record: Bar) -> int:
    """A bar may be used when it is over and we have it; history was there at the bar's end."""
    end_ns = bar_over_ns(record.timeframe, record.ts_event, record.ts_ingest)
    return end_ns if record.channel == HISTORY else max(end_ns, record.ts_ingest)


def _snapshot(record: BookSnapshot) -> tuple[Any, ...]:
    return (
        record.symbol,
        _micros(record.ts_event),
        record.ts_event,
        record.ts_ingest,
        [{"price": price, "size": size} for price, size in record.bids],
        [{"price": price, "size": size} for price, size in record.asks],
        record.updates,
    )


def _instrument(record: Instrument) -> tuple[Any, ...]:
    return (
        record.symbol,
        _micros(record.ts_event),
        record.ts_event,
        record.ts_ingest,
        record.event,
        record.status,
        record.tradable,
        record.min_order_size,
        record.min_trade_increment,
        record.price_increment,
        record.renamed_to or None,
    )


def _derived(record: Derived) -> tuple[Any, ...]:
    return (
        record.symbol,
        _micros(record.ts_event),
        record.ts_event,
        record.ts_ingest,
        record.transform,
        record.fields,
        record.ordinal,
    )


def _rejected(record: Rejected) -> tuple[Any, ...]:
    believable = record.ts_event if record.ts_event > 0 else record.ts_ingest
    return (
        record.symbol,
        record.channel,
        _micros(believable),
        believable,
        record.ts_ingest,
        record.rule,
        record.reason,
        record.raw,
        record.position,
    )


_TABLES: Final[dict[type, tables.Table]] = {
    Trade: tables.TRADES,
    Quote: tables.QUOTES,
    BookUpdate: tables.BOOKS,
    Bar: tables.BARS,
    BookSnapshot: tables.BOOK_SNAPSHOTS,
    Instrument: tables.INSTRUMENTS,
    Derived: tables.DERIVED,
    Rejected: tables.QUARANTINE,
}
_RENDER: Final[dict[str, Callable[[Any], tuple[Any, ...]]]] = {
    "trades": _trade,
    "quotes": _quote,
    "books": _book,
    "bars": _bar,
    "book_snapshots": _snapshot,
    "instruments": _instrument,
    "derived": _derived,
    "quarantine": _rejected,
}
