"""Turns records into the columns of their lake tables, a column at a time.

A row of Python objects for every record would cost more than all the rest of a delivery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tradelake.errors import InvalidData
from tradelake.lake.schemas import LEVELS, arrow_schema
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


def to_arrow(table: tables.Table, columns: dict[str, Any]) -> pa.Table:
    """Return an Arrow table with the columns of ``table``; missing optional columns are null.

    Parameters
    ----------
    table : Table
        Says which columns.
    columns : dict of str to sequence or pyarrow.Array
        Values by column, all of one length.

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
            values = columns[field.name]
        elif field.nullable:
            values = [None] * count
        else:
            raise InvalidData("columns", f"{table.name}.{field.name} is required and was not given")
        try:
            if isinstance(values, pa.Array):
                arrays.append(values.cast(field.type))
            else:
                arrays.append(pa.array(values, type=field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InvalidData("columns", f"{table.name}.{field.name}: {error}") from error
        if not field.nullable and arrays[-1].null_count:
            raise InvalidData("columns", f"{table.name}.{field.name} holds a null and may not")
    return pa.Table.from_arrays(arrays, schema=schema)


def records_to_arrow(table: tables.Table, batches: Sequence[Batch]) -> pa.Table:
    """Return the rows of ``batches`` that belong to ``table``, in order, with transport stamp.

    Raises
    ------
    InvalidData
        Rule ``columns``: a value does not fit its column.
    """
    return rows_by_batch(table, batches)[0]


def rows_by_batch(
    table: tables.Table, batches: Sequence[Batch]
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Return the rows as :func:`records_to_arrow`, and for each the index of its batch.

    Raises
    ------
    InvalidData
        Rule ``columns``: a value does not fit its column.
    """
    kind = _KINDS[table.name]
    records: list[Any] = []
    counts = []
    for batch in batches:
        before = len(records)
        records.extend(record for record in batch.records if type(record) is kind)
        counts.append(len(records) - before)
    origin = np.repeat(np.arange(len(batches)), counts)
    columns = {name: make(records) for name, make in _COLUMNS[kind].items()}
    schema = arrow_schema(table)
    try:
        for name in _STAMP:
            values = pa.array([getattr(batch, name) for batch in batches], schema.field(name).type)
            columns[name] = values.take(pa.array(origin))
    except (pa.ArrowInvalid, OverflowError) as error:
        raise InvalidData("columns", f"{table.name}: the stamp of a batch: {error}") from error
    return to_arrow(table, columns), origin


Column = Callable[[Sequence[Any]], Any]
"""Makes a column of records, as a sequence or an Arrow array."""

_STAMP: Final = ("venue", "lane", "origin", "epoch", "bucket", "seq")


def _attribute(name: str) -> Column:
    get = attrgetter(name)
    return lambda records: list(map(get, records))


def _attributes(*names: str) -> dict[str, Column]:
    return {name: _attribute(name) for name in names}


def _text_or_null(name: str) -> Column:
    get = attrgetter(name)
    return lambda records: [get(record) or None for record in records]


def _micros(values: Sequence[int]) -> Any:  # noqa: ANN401 - integers, or Arrow's own array
    """Return microseconds of nanoseconds; as they are where they exceed 64 bits, to be refused."""
    try:
        nanos = np.fromiter(values, dtype=np.int64, count=len(values))
    except OverflowError:
        return [value // 1000 for value in values]
    return pa.array(nanos // 1000).cast(pa.timestamp("us", tz="UTC"))


def _levels(name: str) -> Column:
    get = attrgetter(name)

    def column(records: Sequence[Any]) -> pa.Array:
        sides = list(map(get, records))
        offsets = np.zeros(len(sides) + 1, dtype=np.int32)
        np.cumsum([len(side) for side in sides], out=offsets[1:])
        numbers = chain.from_iterable(chain.from_iterable(sides))
        flat = np.fromiter(numbers, np.float64, 2 * int(offsets[-1])).reshape(-1, 2)
        level = LEVELS.value_type
        values = pa.StructArray.from_arrays(
            [pa.array(np.ascontiguousarray(flat[:, at])) for at in (0, 1)],
            fields=[level.field(at) for at in (0, 1)],
        )
        return pa.ListArray.from_arrays(pa.array(offsets), values, type=LEVELS)

    return column


def content_hash(record: BookUpdate) -> int:
    """Signed 64-bit hash of an update's levels, the same on every machine and for ever."""
    body = _ENCODER.encode((record.bids, record.asks, record.reset))
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big", signed=True)


def _available_ns(record: Bar) -> int:
    """A bar may be used when it is over and we have it; history was there at the bar's end."""
    end_ns = bar_over_ns(record.timeframe, record.ts_event, record.ts_ingest)
    return end_ns if record.channel == HISTORY else max(end_ns, record.ts_ingest)


def _believable_ns(record: Rejected) -> int:
    return record.ts_event if record.ts_event > 0 else record.ts_ingest


_TIME: Final[dict[str, Column]] = {
    "symbol": _attribute("symbol"),
    "ts_event": lambda records: _micros([record.ts_event for record in records]),
    "ts_event_ns": _attribute("ts_event"),
}
_TICK: Final[dict[str, Column]] = {
    **_TIME,
    "ts_ingest_ns": _attribute("ts_ingest"),
    "flags": _text_or_null("flags"),
}
_SIDES: Final[dict[str, Column]] = {"bids": _levels("bids"), "asks": _levels("asks")}
_COLUMNS: Final[dict[type, dict[str, Column]]] = {
    Trade: {
        **_TICK,
        **_attributes("trade_id", "price", "size"),
        "taker_side": _text_or_null("taker_side"),
    },
    Quote: {**_TICK, **_attributes("bid", "bid_size", "ask", "ask_size", "occurrence")},
    BookUpdate: {
        **_TICK,
        **_SIDES,
        **_attributes("reset", "occurrence"),
        "content": lambda records: list(map(content_hash, records)),
    },
    Bar: {
        **_TIME,
        **_attributes("source", "channel", "timeframe", "open", "high", "low", "close", "volume"),
        **_attributes("revision", "status"),
        "ts_available_ns": lambda records: list(map(_available_ns, records)),
        "vwap": lambda records: [record.vwap or None for record in records],
        "trades": lambda records: [
            record.trades if record.trades >= 0 else None for record in records
        ],
        "flags": _text_or_null("flags"),
    },
    BookSnapshot: {**_TICK, **_SIDES, **_attributes("updates")},
    Instrument: {
        **_TICK,
        **_attributes("event", "status", "tradable"),
        **_attributes("min_order_size", "min_trade_increment", "price_increment"),
        "renamed_to": _text_or_null("renamed_to"),
    },
    Derived: {**_TICK, **_attributes("transform", "fields", "ordinal")},
    Rejected: {
        **_attributes("symbol", "channel", "rule", "reason", "raw", "position"),
        "ts_event": lambda records: _micros([_believable_ns(record) for record in records]),
        "ts_event_ns": lambda records: list(map(_believable_ns, records)),
        "ts_ingest_ns": _attribute("ts_ingest"),
    },
}
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
_KINDS: Final = {table.name: kind for kind, table in _TABLES.items()}
