"""The ingester as a process: from a venue's socket to a stream, with every point accounted for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tradelake.market.channels import INSTRUMENTS, SNAPSHOTS
from tradelake.market.records import channel_of
from tradelake.stream.envelope import FINAL_WATERMARK, decode_batch
from tradelake.topology import names, streams
from tradelake.topology.stores import KEY_TABLES, KeyTable

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "containers" / "ingester" / "main.py"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
EXCHANGE = """
from tradelake.exchange.options import ExchangeOptions, SyntheticOptions
from tradelake.exchange.service import run_exchange
market = SyntheticOptions(symbols=5, hours=0.2, history_days=1)
run_exchange(ExchangeOptions(synthetic=market, start="subscribed", duration_s=2.0))
"""


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRADELAKE_", "AWS_"))}
    return kept | CREDENTIALS | {"PYTHONPATH": str(ROOT / "src")} | more


def run_main(**more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(MAIN)],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.terminate()
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


def start(processes: list[subprocess.Popen[str]], *arguments: str, **more: str) -> str:
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment(**more), stdout=subprocess.PIPE, text=True
    )
    processes.append(process)
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    reset = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=20).close()
    yield url
    server.stop()


def client(service: str, url: str):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


def create_table(dynamodb, table: KeyTable) -> None:
    keys = [(table.partition_key, "HASH")]
    if table.sort_key is not None:
        keys.append((table.sort_key, "RANGE"))
    dynamodb.create_table(
        TableName=names.physical("test", table.name),
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def prepare(aws_url: str, secret: dict[str, str]) -> None:
    dynamodb, secrets = client("dynamodb", aws_url), client("secretsmanager", aws_url)
    for table in KEY_TABLES:
        create_table(dynamodb, table)
    secrets.create_secret(
        Name=names.physical("test", names.ALPACA_SECRET), SecretString=json.dumps(secret)
    )
    dynamodb.close()
    secrets.close()


def create_stream(kinesis, name: str) -> None:
    kinesis.create_stream(StreamName=name, ShardCount=2)
    deadline = time.monotonic() + 20
    while (
        kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"]
        != "ACTIVE"
    ):
        assert time.monotonic() < deadline


def read_batches(kinesis, name: str) -> list:
    batches = []
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            answer = kinesis.get_records(ShardIterator=iterator, Limit=1_000)
            batches += [decode_batch(record["Data"]) for record in answer["Records"]]
            iterator = answer["NextShardIterator"]
            if not answer["Records"] and answer["MillisBehindLatest"] == 0:
                break
    return batches


def get_json(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


def wait_until_played(exchange_url: str) -> None:
    deadline = time.monotonic() + 60
    while get_json(f"{exchange_url}/_exchange/status")["state"] != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_every_point_sent_is_on_the_stream_in_order_when_the_ingester_is_terminated(
    aws, started, tmp_path
):
    prepare(aws, {"key": "demo-key", "secret": "demo-secret"})
    server = ["-m", "tradelake.local.stream_server", "--fsync", "never", "--folder", str(tmp_path)]
    stream_url = json.loads(start(started, *server))["url"]
    exchange_url = json.loads(start(started, "-c", EXCHANGE))["url"]
    name = names.physical("test", streams.TICKS.name)
    kinesis = client("kinesis", stream_url)
    create_stream(kinesis, name)
    settings = {
        names.ENV_ENVIRONMENT: "test",
        names.ENV_FEED_URL: exchange_url.replace("http", "ws", 1) + "/v1beta3/crypto/us",
        names.ENV_TRADING_URL: exchange_url,
        names.ENV_FINAL_WATERMARK: "true",
    }
    first_line = start(
        started,
        str(MAIN),
        AWS_ENDPOINT_URL=aws,
        AWS_ENDPOINT_URL_KINESIS=stream_url,
        **settings,
    )
    ingester = started[-1]
    wait_until_played(exchange_url)
    ingester.send_signal(signal.SIGTERM)
    assert ingester.stdout is not None
    lines = [json.loads(line) for line in (first_line, *ingester.stdout)]
    assert ingester.wait(timeout=30) == 0
    assert "demo-secret" not in json.dumps(lines)

    sent = get_json(f"{exchange_url}/_exchange/status")["sent"]
    stored: Counter[tuple[str, str]] = Counter()
    seen: dict[int, int] = {}
    last: dict[int, int] = {}
    for batch in read_batches(kinesis, name):
        assert batch.seq == seen.get(batch.bucket, -1) + 1
        seen[batch.bucket] = batch.seq
        last[batch.bucket] = batch.watermark_ns
        stored.update((channel_of(record), record.symbol) for record in batch.records)
    kinesis.close()
    durable = stored.total()
    symbols = {symbol for _, symbol in stored}
    assert {(SNAPSHOTS, symbol) for symbol in symbols} <= set(stored)
    assert {symbol: stored.pop((INSTRUMENTS, symbol)) for symbol in symbols} == dict.fromkeys(
        symbols, 1
    )
    for symbol in symbols:
        del stored[SNAPSHOTS, symbol]
    assert stored == Counter(
        {(channel, symbol): n for channel, table in sent.items() for symbol, n in table.items()}
    )
    assert stored.total() > 500
    assert set(last.values()) == {FINAL_WATERMARK}
    assert len(last) == streams.BUCKETS
    assert lines[-1]["state"] == "stopped"
    assert (lines[-1]["in_hand"], lines[-1]["acknowledged_records"]) == (0, durable)


def test_ingester_exits_with_one_clear_line_when_a_setting_is_missing():
    done = run_main(**{names.ENV_ENVIRONMENT: "test"})
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert names.ENV_FEED_URL in line


def test_ingester_exits_with_one_clear_line_when_the_secret_is_missing(aws):
    done = run_main(
        AWS_ENDPOINT_URL=aws,
        **{names.ENV_ENVIRONMENT: "test", names.ENV_FEED_URL: "ws://127.0.0.1:9/crypto"},
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "tradelake-test-alpaca does not exist" in line


def test_ingester_exits_with_one_clear_line_when_the_venue_or_the_stream_refuses(aws, started):
    prepare(aws, {"key": "demo-key", "secret": "wrong"})
    exchange_url = json.loads(start(started, "-c", EXCHANGE))["url"]
    settings = {
        "AWS_ENDPOINT_URL": aws,
        names.ENV_ENVIRONMENT: "test",
        names.ENV_FEED_URL: exchange_url.replace("http", "ws", 1) + "/v1beta3/crypto/us",
        names.ENV_TRADING_URL: exchange_url,
    }
    without_stream = run_main(**settings)
    kinesis = client("kinesis", aws)
    create_stream(kinesis, names.physical("test", streams.TICKS.name))
    kinesis.close()
    with_wrong_secret = run_main(**settings)
    for done, words in ((without_stream, "tradelake-test-ticks"), (with_wrong_secret, "402")):
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert words in line
        assert "wrong" not in line
