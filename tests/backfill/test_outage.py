"""An exchange, a feed that lost a stretch of it, the real handler: all of it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import aiohttp
import boto3
import moto
import msgspec
import pytest

from tradelake.adapters.aws.gaps import DynamoGaps
from tradelake.exchange.options import ExchangeOptions, SyntheticOptions
from tradelake.exchange.service import serve
from tradelake.feed.decode import FrameDecoder
from tradelake.local.handlers import LambdaContext, import_handler
from tradelake.market.channels import BARS, CHANNELS, QUOTES, TRADES, UPDATED_BARS
from tradelake.market.records import channel_of
from tradelake.ports import Gap
from tradelake.stream.envelope import decode_batches
from tradelake.topology import names, stores, streams

HANDLER = Path(__file__).parents[2] / "functions" / "backfill" / "handler.py"
MINUTE = 60 * 10**9
SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD")


@pytest.fixture
def venue():
    """A synthetic exchange that played everything: its address, and each record with its time."""
    options = ExchangeOptions(
        synthetic=SyntheticOptions(seed=3, symbols=SYMBOLS, hours=0.2, activity=2.0),
        start="told",
        late_trade_fraction=0.1,
        rate_limit=None,
    )
    ready, ended = threading.Event(), threading.Event()
    found = {}

    async def main():
        stop = asyncio.Event()
        found["loop"], found["stop"] = asyncio.get_running_loop(), stop

        def listening(url):
            found["url"] = url
            ready.set()

        await serve(options, listening, stop)

    thread = threading.Thread(target=lambda: (asyncio.run(main()), ended.set()))
    thread.start()
    assert ready.wait(20)
    yield found["url"], asyncio.run(_heard(found["url"]))
    found["loop"].call_soon_threadsafe(found["stop"].set)
    thread.join(20)
    assert ended.is_set()


async def _heard(url):
    """Every record of a connection that missed nothing, decoded as the ingester does."""
    decoder, records = FrameDecoder(), []
    async with (
        aiohttp.ClientSession(headers={"Content-Type": "application/msgpack"}) as http,
        http.ws_connect(url.replace("http", "ws", 1) + "/v1beta3/crypto/us", max_msg_size=0) as ws,
    ):
        login = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
        await ws.send_bytes(msgspec.msgpack.encode(login))
        wanted = {"action": "subscribe", **{channel: ["*"] for channel in CHANNELS}}
        await ws.send_bytes(msgspec.msgpack.encode(wanted))
        http_url = f"{url}/_exchange"
        for _ in range(3):
            await ws.receive()
        await http.post(f"{http_url}/start")
        while True:
            with contextlib.suppress(TimeoutError):
                message = await ws.receive(timeout=0.5)
                records += decoder.decode(message.data, 0).records
                continue
            async with http.get(f"{http_url}/status") as answer:
                if (await answer.json())["state"] == "finished":
                    return records


@pytest.fixture
def aws(monkeypatch, venue):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv(names.ENV_ENVIRONMENT, "test")
    monkeypatch.setenv(names.ENV_SYMBOLS, ",".join(SYMBOLS))
    monkeypatch.setenv(names.ENV_DATA_URL, venue[0])
    with moto.mock_aws():
        kinesis = boto3.client("kinesis")
        kinesis.create_stream(
            StreamName=names.physical("test", streams.BACKFILL.name), ShardCount=1
        )
        boto3.client("secretsmanager").create_secret(
            Name=names.physical("test", names.ALPACA_SECRET),
            SecretString=json.dumps({"key": "demo-key", "secret": "demo-secret"}),
        )
        for table in (stores.GAPS, stores.LEASES):
            keys = [(table.partition_key, "HASH")]
            keys += [(table.sort_key, "RANGE")] if table.sort_key else []
            boto3.client("dynamodb").create_table(
                TableName=names.physical("test", table.name),
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": "S"} for name, _ in keys
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        yield


def put_on_the_stream():
    kinesis = boto3.client("kinesis")
    place = {"StreamName": names.physical("test", streams.BACKFILL.name)}
    (shard,) = kinesis.list_shards(**place)["Shards"]
    iterator = kinesis.get_shard_iterator(
        **place, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    batches = []
    while records := (answer := kinesis.get_records(ShardIterator=iterator))["Records"]:
        iterator = answer["NextShardIterator"]
        batches += [batch for record in records for batch in decode_batches(record["Data"])]
    return batches


def identity(record):
    """Everything of a record but when it was received, what was said of it, and its status."""
    fields = msgspec.structs.asdict(record)
    for name in ("ts_ingest", "flags", "status"):
        fields.pop(name, None)
    return json.dumps(fields, sort_keys=True)


def test_everything_published_in_an_outage_comes_back_with_the_identity_it_had(venue, aws, capsys):
    _, heard = venue
    ticks = [r.ts_event for r in heard if channel_of(r) in (TRADES, QUOTES)]
    opened_ns = min(ticks) + 3 * MINUTE
    closed_ns = opened_ns + 4 * MINUTE
    ledger = DynamoGaps(names.physical("test", stores.GAPS.name))
    gap = Gap("us", opened_ns, closed_ns, CHANNELS, ("*",), "disconnect")
    ledger.record(gap)

    handler = import_handler(HANDLER)
    answer = handler({}, LambdaContext("backfill", "request-1", "arn", 300.0))

    batches = put_on_the_stream()
    fetched = {identity(record) for batch in batches for record in batch.records}
    lost = [r for r in heard if opened_ns <= r.ts_event < closed_ns]
    missing = {
        channel: sum(identity(r) not in fetched for r in lost if channel_of(r) == channel)
        for channel in (TRADES, QUOTES)
    }
    assert missing == {TRADES: 0, QUOTES: 0}
    assert sum(channel_of(r) == TRADES for r in lost) > 50
    updated = {(r.symbol, r.ts_event) for r in heard if channel_of(r) == UPDATED_BARS}
    ended = [
        r for r in heard if channel_of(r) == BARS and opened_ns <= r.ts_event + MINUTE <= closed_ns
    ]
    assert ended
    assert [
        r for r in ended if (r.symbol, r.ts_event) not in updated and identity(r) not in fetched
    ] == []
    revisions = {
        (r.symbol, r.ts_event, r.revision)
        for batch in batches
        for r in batch.records
        if channel_of(r) == BARS
    }
    late = [r for r in heard if channel_of(r) == UPDATED_BARS and r.ts_event + MINUTE <= closed_ns]
    last = {(r.symbol, r.ts_event): r.revision for r in late if r.ts_event >= opened_ns - MINUTE}
    assert last
    assert {(*key, revision) for key, revision in last.items()} <= revisions
    assert len({(b.epoch, b.bucket, b.seq) for b in batches}) == len(batches)
    assert {b.lane for b in batches} == {"backfill"}
    (kept,) = ledger.gaps()
    statuses = {channel: fill.status for channel, fill in kept.fill.channels.items()}
    assert statuses.pop("orderbooks") == "unrecoverable"
    assert set(statuses.values()) == {"filled"}
    assert answer["records"] == sum(len(b.records) for b in batches)
    assert json.loads(capsys.readouterr().out)["function"] == "backfill"
    assert replace(kept, fill=gap.fill) == gap
