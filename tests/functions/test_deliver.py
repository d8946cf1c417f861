"""The deliver function: real Kinesis envelopes in, rows in a real Iceberg table out."""

from __future__ import annotations

import base64

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.lake.reader import LakeReader
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Trade, Unreadable
from tradelake.ports import Received
from tradelake.stream.envelope import Batch, Damaged, decode_batches, encode_batch, encode_batches
from tradelake.usecases.deliver import deliver_records
from tradelake.usecases.unreadable import unreadable_batch

TS = 1_700_000_000_000_000_000


def record(seq, *records):
    batch = Batch("live", "us", 1, 2, seq, 0, list(records))
    return Received(str(1000 + seq), "2", encode_batch(batch), TS)


def test_deliver_keeps_a_record_that_is_no_batch_in_quarantine_and_goes_on(catalog):
    good = record(0, Trade("BTC/USD", TS, TS, 1, 100.0, 1.0))
    bad = Received("2000", "2", b"\x07not a batch", TS)
    outcome = deliver_records("clean", [bad, good], IcebergWriter(catalog))
    assert outcome.failed_from is None
    assert outcome.unreadable == 1
    assert outcome.rows == {"trades": 1, "quarantine": 1}
    raw = LakeReader(catalog).sql("SELECT raw, rule FROM quarantine").to_pylist()
    assert raw == [{"raw": b"\x07not a batch", "rule": "envelope"}]


def test_deliver_quarantines_a_batch_the_lake_cannot_hold_and_goes_on(catalog):
    good = record(0, Trade("BTC/USD", TS, TS, 1, 100.0, 1.0))
    unstorable = record(1, Trade("BTC/USD", TS, TS, 2**63, 100.0, 1.0))
    unplaceable = record(2, Unreadable("BTC/USD", TS, "trades", "cut short", b"{"))
    later = record(3, Trade("BTC/USD", TS, TS, 2, 100.0, 1.0))
    lake = IcebergWriter(catalog)
    outcome = deliver_records("clean", [good, unstorable, unplaceable, later], lake)
    assert outcome.failed_from is None
    assert outcome.unreadable == 2
    assert outcome.rows == {"trades": 2, "quarantine": 2}
    kept = LakeReader(catalog).sql("SELECT raw, rule FROM quarantine ORDER BY seq").to_pylist()
    assert kept == [
        {"raw": unstorable.data, "rule": "columns"},
        {"raw": unplaceable.data, "rule": "table"},
    ]
    again = deliver_records("clean", [good, unstorable, unplaceable, later], lake)
    assert again.rows == {"trades": 0, "quarantine": 0}


def test_deliver_finds_what_does_not_fit_in_bundles_and_keeps_every_neighbour(catalog):
    def one(seq, trade_id, **stamp):
        trade = Trade("BTC/USD", TS, TS, trade_id, 100.0, 1.0)
        given = Batch("live", "us", 1, 2, seq, 0, [trade])
        return msgspec.structs.replace(given, **stamp)

    first = [one(0, 1), one(1, 2**63), one(2, 2), one(3, 2**64 - 1)]
    second = [one(4, 3), one(5, 4, venue=""), one(6, 5)]
    received = [
        Received(str(n << 80), "2", encode_batches(bundle), TS)
        for n, bundle in enumerate((first, second))
    ]
    lake = IcebergWriter(catalog)
    outcome = deliver_records("clean", received, lake)
    assert (outcome.rows["trades"], outcome.rows["quarantine"], outcome.unreadable) == (4, 3, 3)
    kept = LakeReader(catalog).sql(
        "SELECT raw, rule, position FROM quarantine ORDER BY rule, position"
    )
    assert [(row["rule"], row["position"]) for row in kept.to_pylist()] == [
        ("columns", 1),
        ("columns", 3),
        ("envelope", 1),
    ]
    assert decode_batches(kept["raw"][0].as_py()) == [first[1]]
    again = deliver_records("clean", received, lake)
    assert (again.rows["trades"], again.rows["quarantine"]) == (0, 0)


def test_deliver_takes_rejects_without_a_stamp_as_they_come_over_the_quarantine_stream(catalog):
    bad = unreadable_batch(
        Received(str(9 << 80), "2", b"?", TS), [Damaged(0, b"?", InvalidData("envelope", "no"))]
    )
    passed_on = Received("5", "-1", encode_batch(bad), TS)
    outcome = deliver_records("quarantine", [passed_on], IcebergWriter(catalog))
    assert (outcome.unreadable, outcome.rows) == (0, {"quarantine": 1})
    assert LakeReader(catalog).sql("SELECT raw FROM quarantine").to_pylist() == [{"raw": b"?"}]


def test_deliver_asks_for_everything_again_when_the_lake_refuses():
    class Refusing:
        def deliver(self, stream, batches):
            raise Transient(f"{stream}: catalog is away")

    outcome = deliver_records("clean", [record(0)], Refusing())
    assert outcome.failed_from == 0
    assert "catalog is away" in outcome.failure


def test_handler_appends_the_events_batches_when_lambda_calls_it(tmp_path, monkeypatch):
    from functions.deliver import handler as module

    env = {
        "TRADELAKE_ENVIRONMENT": "test",
        "TRADELAKE_CATALOG_URI": f"sqlite:///{tmp_path}/catalog.db",
        "TRADELAKE_WAREHOUSE": str(tmp_path / "warehouse"),
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    module._lake.cache_clear()
    one = record(0, Trade("BTC/USD", TS, TS, 1, 100.0, 1.0))
    event = {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "eventID": "shardId-000000000000:1000",
                "eventSourceARN": "arn:aws:kinesis:eu-west-1:1:stream/tradelake-test-clean",
                "kinesis": {
                    "partitionKey": one.key,
                    "sequenceNumber": one.sequence_number,
                    "data": base64.b64encode(one.data).decode(),
                    "approximateArrivalTimestamp": TS / 1e9,
                },
            }
        ]
    }
    try:
        assert module.handler(event, None) == {"batchItemFailures": []}
        assert module.handler(event, None) == {"batchItemFailures": []}
        from tradelake.bootstrap import wire_lake_reader

        answer = wire_lake_reader(env).sql("SELECT count(*) AS n FROM trades")
        assert answer.to_pylist() == [{"n": 1}]
    finally:
        module._lake.cache_clear()
