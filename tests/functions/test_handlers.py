"""The handlers on AWS' own events, on an emulated AWS: ticks to clean, bars and hot bars."""

import json
import math
from types import SimpleNamespace

import boto3
import moto
import pytest

from tests.functions.kinesis import batch_event, kinesis_event, load_handler
from tradelake.adapters.embedded.hot import SqliteHotStore
from tradelake.errors import ConfigError, Fatal
from tradelake.market.records import Trade
from tradelake.stream.envelope import FINAL_WATERMARK, Batch, decode_batches
from tradelake.topology import names
from tradelake.topology.stores import CONSUMER_STATE
from tradelake.topology.streams import BARS, CLEAN, QUARANTINE

S = 1_000_000_000
DAY = 1_723_075_200 * S
CONTEXT = SimpleNamespace(aws_request_id="request-1")


@pytest.fixture
def aws(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv(names.ENV_ENVIRONMENT, "test")
    monkeypatch.setenv(names.ENV_BAR_TIMEFRAMES, "1s, 1m")
    monkeypatch.setenv(names.ENV_HOT_STORE, f"sqlite:///{tmp_path}/hot.db")
    with moto.mock_aws():
        kinesis = boto3.client("kinesis")
        for stream in (CLEAN, QUARANTINE, BARS):
            kinesis.create_stream(StreamName=names.physical("test", stream.name), ShardCount=1)
        keys = (CONSUMER_STATE.partition_key, CONSUMER_STATE.sort_key)
        boto3.client("dynamodb").create_table(
            TableName=names.physical("test", CONSUMER_STATE.name),
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(keys, ("HASH", "RANGE"), strict=True)
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            BillingMode="PAY_PER_REQUEST",
        )
        yield tmp_path / "hot.db"


def read(stream):
    """(key, data) pairs of a stream with one shard."""
    kinesis = boto3.client("kinesis")
    place = {"StreamName": names.physical("test", stream.name)}
    (shard,) = kinesis.list_shards(**place)["Shards"]
    iterator = kinesis.get_shard_iterator(
        **place, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    return [(record["PartitionKey"], record["Data"]) for record in records]


def batch(seq, *trades, watermark_ns):
    return Batch("live", "us", 1, 3, seq, watermark_ns, list(trades))


def trade(at_s, trade_id, price):
    at = DAY + round(at_s * S)
    return Trade("BTC/USD", at, at, trade_id, price, 0.1)


def test_ticks_become_clean_records_rejects_bars_and_hot_bars(aws, capsys):
    ticks = [
        batch(0, trade(0.0, 1, 100.0), trade(0.5, 2, math.nan), watermark_ns=DAY),
        batch(1, trade(0.7, 3, 101.0), trade(61.0, 4, 99.0), watermark_ns=DAY + 61 * S),
        batch(2, watermark_ns=FINAL_WATERMARK),
    ]
    event = batch_event(ticks)
    event["Records"] += kinesis_event([("3", b"rubbish")], first=3)["Records"]
    done = {"batchItemFailures": []}

    assert load_handler("validate").handler(event, CONTEXT) == done
    assert load_handler("aggregate").handler(kinesis_event(read(CLEAN)), CONTEXT) == done
    assert load_handler("hot").handler(kinesis_event(read(BARS)), CONTEXT) == done

    clean = [b for _, data in read(CLEAN) for b in decode_batches(data)]
    assert [(b.seq, len(b.records)) for b in clean] == [(0, 1), (1, 2), (2, 0)]
    rejects = [b for _, data in read(QUARANTINE) for b in decode_batches(data)]
    assert [(b.venue, b.records[0].rule) for b in rejects] == [
        ("us", "not_finite"),
        ("unknown", "envelope"),
    ]
    bars = SqliteHotStore(aws).recent_bars("BTC/USD", "1m", 10)
    assert [(b.open, b.close, b.trades, b.volume, b.status) for b in bars] == [
        (100.0, 101.0, 2, 0.2, "complete"),
        (99.0, 99.0, 1, 0.1, "partial"),
    ]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["function"], line["request_id"]) for line in lines] == [
        ("validate", "request-1"),
        ("aggregate", "request-1"),
        ("hot", "request-1"),
    ]
    assert lines[0]["rejected"] == {"not_finite": 1, "envelope": 1}


def test_a_redelivered_event_gives_no_second_bar(aws):
    aggregate = load_handler("aggregate")
    event = batch_event([batch(0, trade(0.0, 1, 1.0), watermark_ns=DAY + 100 * S)])
    aggregate.handler(event, CONTEXT)
    aggregate.handler(event, CONTEXT)
    assert len(read(BARS)) == 1


def test_the_invocation_fails_loudly_when_the_bars_stream_is_absent(aws):
    boto3.client("kinesis").delete_stream(StreamName=names.physical("test", BARS.name))
    event = batch_event([batch(0, trade(0.0, 1, 1.0), watermark_ns=DAY + 100 * S)])
    with pytest.raises(Fatal, match="ResourceNotFound"):
        load_handler("aggregate").handler(event, CONTEXT)


@pytest.mark.parametrize("name", ["validate", "aggregate", "hot"])
def test_a_handler_reads_nothing_when_imported_and_refuses_to_work_without_settings(
    name, monkeypatch
):
    for variable in (names.ENV_ENVIRONMENT, names.ENV_HOT_STORE):
        monkeypatch.delenv(variable, raising=False)
    handler = load_handler(name)
    with pytest.raises(ConfigError, match=names.ENV_ENVIRONMENT):
        handler.handler(kinesis_event([("0", b"x")]), CONTEXT)
