"""One definition: Arrow, Iceberg and the records agree with the topology's tables."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow

from tradelake.errors import InvalidData
from tradelake.lake.rows import records_to_arrow, rows_by_batch
from tradelake.lake.schemas import arrow_schema, iceberg_schema, partition_spec
from tradelake.market.records import (
    Bar,
    BookSnapshot,
    BookUpdate,
    Derived,
    Instrument,
    Quote,
    Rejected,
    Trade,
)
from tradelake.stream.envelope import Batch
from tradelake.topology import tables
from tradelake.topology.tables import TABLES

TS = 1_700_000_000_123_456_789
TIMES = ("BTC/USD", TS, TS + 1)
SIDES = ([(1.0, 2.0)], [(3.0, 0.0)])
PRICES = (1, 2, 0.5, 1.5, 9, 1.2, 3)
RECORDS = {
    "trades": Trade(*TIMES, 7, 1.5, 2.5, "sell", "spike"),
    "quotes": Quote(*TIMES, 1.0, 2.0, 3.0, 4.0, 1, "stale"),
    "books": BookUpdate(*TIMES, *SIDES, reset=True, flags="stale"),
    "bars": Bar(*TIMES, *PRICES, "1m", "alpaca", "bars", 5, "complete", "off_grid"),
    "book_snapshots": BookSnapshot(*TIMES, *SIDES, 12, "stale"),
    "instruments": Instrument(
        *TIMES, "renamed", "inactive", False, "0.1", "0.01", "0.5", "XBT/USD", "stale"
    ),
    "derived": Derived(*TIMES, "spread", "{}", 2, "stale"),
    "quarantine": Rejected(*TIMES, "trades", "rule", "reason", b"raw", 4),
}


def widened(schema):
    """Iceberg reads strings and lists as their large Arrow forms; compare what they mean."""

    def narrow(kind):
        if pa.types.is_large_string(kind):
            return pa.string()
        if pa.types.is_large_binary(kind):
            return pa.binary()
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            fields = [pa.field(f.name, f.type, f.nullable) for f in kind.value_type]
            return pa.list_(pa.field("element", pa.struct(fields), nullable=False))
        return kind

    return [(field.name, narrow(field.type), field.nullable) for field in schema]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_iceberg_and_arrow_say_the_same_of_every_column(table):
    from_iceberg = schema_to_pyarrow(iceberg_schema(table), include_field_ids=False)
    assert widened(from_iceberg) == widened(arrow_schema(table))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_identity_lookup_time_and_partition_are_columns_of_the_table(table):
    columns = set(table.column_names())
    partitioned = {column for column, _ in table.partition}
    assert {*table.identity, table.time, table.lookup, *partitioned} <= columns
    assert len(columns) == len(table.columns)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_partition_fields_refer_to_their_columns(table):
    schema = iceberg_schema(table)
    for field, (column, transform) in zip(
        partition_spec(table).fields, table.partition, strict=True
    ):
        assert schema.find_column_name(field.source_id) == column
        assert str(field.transform) == transform


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_fills_every_column_of_its_table(name):
    table = next(table for table in TABLES if table.name == name)
    rows = records_to_arrow(table, [Batch("live", "us", 1, 2, 3, 0, [RECORDS[name]])])
    assert rows.schema == arrow_schema(table)
    row = rows.to_pylist()[0]
    assert (row["lane"], row["epoch"], row["bucket"], row["seq"]) == ("live", 1, 2, 3)
    assert row["ts_event_ns"] == TS
    assert all(row[column.name] is not None for column in table.columns)


def test_every_table_that_a_stream_fills_is_filled_here():
    assert {*RECORDS, tables.TRIALS.name} == {table.name for table in TABLES}


def test_rows_keep_their_order_and_the_stamp_of_their_batch_when_kinds_are_mixed():
    trade, quote = RECORDS["trades"], RECORDS["quotes"]
    batches = [
        Batch("live", "us", 1, 2, 3, 0, [quote, trade]),
        Batch("backfill", "us-1", 4, 5, 6, 0, []),
        Batch("live", "us-1", 7, 8, 9, 0, [trade, quote, msgspec.structs.replace(trade, price=9)]),
    ]
    rows, origin = rows_by_batch(tables.TRADES, batches)
    assert origin.tolist() == [0, 2, 2]
    assert rows["price"].to_pylist() == [1.5, 1.5, 9.0]
    assert rows["venue"].to_pylist() == ["us", "us-1", "us-1"]
    assert rows["seq"].to_pylist() == [3, 9, 9]


@pytest.mark.parametrize(
    "change", [{"trade_id": 2**63}, {"ts_event": 2**63}, {"ts_event": -(2**70)}]
)
def test_a_record_is_refused_when_a_value_exceeds_its_column(change):
    wrong = msgspec.structs.replace(RECORDS["trades"], **change)
    with pytest.raises(InvalidData, match=r"columns: trades\."):
        records_to_arrow(tables.TRADES, [Batch("live", "us", 1, 2, 3, 0, [wrong])])


def test_a_bar_is_available_at_its_end_but_not_before_we_have_it():
    minute = 60_000_000_000
    bars = {
        "history": Bar("A/USD", 0, 10**18, 1, 1, 1, 1, 1, 1, 1, "1m", "alpaca", "history"),
        "late": Bar("B/USD", 0, 5 * minute, 1, 1, 1, 1, 1, 1, 1, "1m", "alpaca", "bars"),
        "early": Bar("C/USD", 0, minute // 2, 1, 1, 1, 1, 1, 1, 1, "1m", "tradelake", "aggregate"),
    }
    rows = records_to_arrow(tables.BARS, [Batch("live", "us", 1, 0, 0, 0, list(bars.values()))])
    assert rows["ts_available_ns"].to_pylist() == [minute, 5 * minute, minute]
