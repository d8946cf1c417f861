"""The rebuild handler on an emulated AWS: ledger and lake in, bars on the stream out."""

import json
from types import SimpleNamespace

import boto3
import moto
import pytest
from click.testing import CliRunner

from tests.functions.kinesis import load_handler
from tradelake.adapters.aws.gaps import DynamoGaps
from tradelake.commands.rebuild import rebuild
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Trade
from tradelake.ports import ChannelFill, Fill, Gap
from tradelake.stream.envelope import NO_WATERMARK, Batch, decode_batches
from tradelake.topology import names
from tradelake.topology.stores import CONSUMER_STATE, GAPS
from tradelake.topology.streams import BARS

S = 1_000_000_000
NOON = 1_723_075_200 * S + 43_200 * S
CONTEXT = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 600_000)


def make_table(table):
    keys = (table.partition_key, table.sort_key)
    boto3.client("dynamodb").create_table(
        TableName=names.physical("test", table.name),
        KeySchema=[
            {"AttributeName": name, "KeyType": kind}
            for name, kind in zip(keys, ("HASH", "RANGE"), strict=True)
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def kinesis(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv(names.ENV_ENVIRONMENT, "test")
    monkeypatch.setenv(names.ENV_CATALOG_URI, f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv(names.ENV_WAREHOUSE, str(tmp_path / "warehouse"))
    monkeypatch.setenv(names.ENV_BAR_TIMEFRAMES, "1m,1h")
    with moto.mock_aws():
        client = boto3.client("kinesis")
        client.create_stream(StreamName=names.physical("test", BARS.name), ShardCount=1)
        make_table(CONSUMER_STATE)
        make_table(GAPS)
        yield client


def bars_on(kinesis):
    place = {"StreamName": names.physical("test", BARS.name)}
    (shard,) = kinesis.list_shards(**place)["Shards"]
    iterator = kinesis.get_shard_iterator(
        **place, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    batches = [batch for record in records for batch in decode_batches(record["Data"])]
    return [bar for batch in batches for bar in batch.records]


def trade(at_s, trade_id):
    return Trade("BTC/USD", NOON + at_s * S, NOON + at_s * S + 5, trade_id, 100.0 + at_s, 0.5)


def test_bars_of_a_filled_gap_are_rebuilt_from_the_lake_and_the_gap_is_settled(
    kinesis, catalog, capsys
):
    lake = IcebergWriter(catalog)
    heard, fetched = [trade(1, 1), trade(61, 2)], [trade(61, 2), trade(70, 3)]
    lake.deliver("clean", [Batch("live", "us", 1, 3, 0, NOON + 90 * S, heard)])
    lake.deliver("clean", [Batch("backfill", "us", 5, 3, 0, NO_WATERMARK, fetched)])
    ledger = DynamoGaps(names.physical("test", GAPS.name))
    gap = Gap("us", NOON + 95 * S, NOON + 100 * S, ("trades",), ("BTC/USD",), "disconnect")
    ledger.record(gap)
    done = {"trades": ChannelFill(status="filled")}
    ledger.note_fill(gap, Fill(channels=done, epoch=5, last_seq={"3": 0}))

    answer = load_handler("rebuild_bars").handler({}, CONTEXT)

    found = [
        (bar.timeframe, bar.ts_event - NOON, bar.trades, bar.status) for bar in bars_on(kinesis)
    ]
    assert found == [("1m", 60 * S, 2, "backfilled"), ("1h", 0, 3, "backfilled")]
    assert (answer["rebuilt"]["settled"], answer["rebuilt"]["bars"]) == (1, 2)
    assert ledger.gaps()[0].fill.settled
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["function"], line["rebuilt"]["gaps"]) == ("rebuild_bars", 1)
    assert load_handler("rebuild_bars").handler({}, CONTEXT)["rebuilt"]["gaps"] == 0


def test_the_command_rebuilds_event_bars_of_a_day(kinesis, catalog):
    trades = [trade(second, second) for second in range(5)]
    IcebergWriter(catalog).deliver("clean", [Batch("live", "us", 1, 3, 0, NOON, trades)])
    arguments = ["BTC/USD", "tick:2", "--from", "2024-08-08T12:00", "--to", "2024-08-08T12:01"]
    done = CliRunner().invoke(rebuild, arguments)
    assert (done.exit_code, json.loads(done.output)["bars"]) == (0, 3)
    assert [(bar.trades, bar.revision) for bar in bars_on(kinesis)] == [(2, 11), (2, 11), (1, 11)]


def test_the_command_refuses_an_interval_that_ends_before_it_begins(kinesis):
    arguments = ["BTC/USD", "1m", "--from", "2024-08-08", "--to", "2024-08-08"]
    assert CliRunner().invoke(rebuild, arguments).exit_code == 2
