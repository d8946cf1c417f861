"""The transform handler on AWS' own events: ticks to clean to derived to the lake, without loss."""

import json
import math
from types import SimpleNamespace

import boto3
import moto
import pytest

from tests.functions.kinesis import ROOT, batch_event, kinesis_event, load_handler
from tradelake.errors import ConfigError
from tradelake.lake.audit import LakeAuditor
from tradelake.lake.reader import LakeReader
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Trade
from tradelake.stream.envelope import Batch, decode_batches
from tradelake.topology import names
from tradelake.topology.streams import CLEAN, DERIVED, QUARANTINE
from tradelake.usecases.reconcile import reconcile

T = 1_723_161_600_000_000_000
CONTEXT = SimpleNamespace(aws_request_id="request-1")
EXPLODING = """
from tradelake.transforms import transform

@transform(channel="trades", name="explodes")
def explodes(trade):
    return {"inverse": 1 / (trade.trade_id - 2)}
"""


@pytest.fixture
def aws(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv(names.ENV_ENVIRONMENT, "test")
    (tmp_path / "exploding_transforms.py").write_text(EXPLODING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv(
        names.ENV_TRANSFORMS, "examples.transforms.large_trades,exploding_transforms"
    )
    with moto.mock_aws():
        for stream in (CLEAN, QUARANTINE, DERIVED):
            boto3.client("kinesis").create_stream(
                StreamName=names.physical("test", stream.name), ShardCount=1
            )
        yield


def read(stream):
    kinesis = boto3.client("kinesis")
    place = {"StreamName": names.physical("test", stream.name)}
    (shard,) = kinesis.list_shards(**place)["Shards"]
    iterator = kinesis.get_shard_iterator(
        **place, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    return [(record["PartitionKey"], record["Data"]) for record in records]


def trade(n, price=61_000.0):
    return Trade("BTC/USD", T + n, T + n, n, price, 1.0)


def test_an_exploding_transform_loses_nothing_and_redelivery_doubles_nothing(aws, catalog, capsys):
    ticks = Batch("live", "us", 1, 3, 0, T, [trade(1), trade(2), trade(3, math.nan), trade(4, 1.0)])
    load_handler("validate").handler(batch_event([ticks]), CONTEXT)
    event = kinesis_event(read(CLEAN))
    transform = load_handler("transform")
    for _ in range(2):
        assert transform.handler(event, CONTEXT) == {"batchItemFailures": []}

    writer = IcebergWriter(catalog)
    for stream in (QUARANTINE, CLEAN, DERIVED):
        for _, data in read(stream):
            writer.deliver(stream.name, decode_batches(data))
    reader = LakeReader(catalog)
    derived = reader.sql("SELECT transform, ts_event_ns, fields FROM derived ORDER BY ALL")
    assert [(row["transform"], row["ts_event_ns"] - T) for row in derived.to_pylist()] == [
        ("explodes", 1),
        ("explodes", 4),
        ("large_trades", 1),
        ("large_trades", 2),
    ]
    rules = reader.sql("SELECT rule, position, reason FROM quarantine ORDER BY rule").to_pylist()
    assert [(row["rule"], row["position"]) for row in rules] == [
        ("not_finite", 2),
        ("transform:explodes", -1),
    ]
    assert "ZeroDivisionError" in rules[1]["reason"]
    lines = reconcile({("trades", "BTC/USD"): 4}, LakeAuditor(reader), {})
    assert [(line.stored, line.quarantined, line.balanced) for line in lines] == [(3, 1, True)]
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["function"], said["rejected"]) == ("transform", {"explodes": 1})


def test_the_handler_refuses_to_work_when_a_module_is_absent(aws, monkeypatch):
    monkeypatch.setenv(names.ENV_TRANSFORMS, "no_such_transforms")
    with pytest.raises(ConfigError, match="no_such_transforms cannot be imported"):
        load_handler("transform").handler(kinesis_event([("0", b"x")]), CONTEXT)
