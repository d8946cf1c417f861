"""How quick the stream server is: full calls from two writers, then 100 calls a second of 16
records of 10 KB.

The last line is one JSON object. Bodies are encoded before the clock starts, so that the server is
measured and not boto3; the same full call through boto3 is given beside.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlparse

STREAM = "bench"
HEADERS = {"Content-Type": "application/x-amz-json-1.1"}


def start(folder: str, fsync: str) -> tuple[subprocess.Popen[str], str]:
    source = str(Path(__file__).parents[1] / "src")
    command = [sys.executable, "-m", "tradelake.local.stream_server", "--folder", folder]
    process = subprocess.Popen(
        [*command, "--fsync", fsync],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
    )
    assert process.stdout is not None
    return process, str(json.loads(process.stdout.readline())["url"])


def call(connection: http.client.HTTPConnection, operation: str, body: bytes) -> bytes:
    headers = HEADERS | {"X-Amz-Target": f"Kinesis_20131202.{operation}"}
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return content


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlparse(url).netloc)


def body_of(count: int, size: int) -> bytes:
    data = base64.b64encode(os.urandom(size)).decode()
    records = [{"Data": data, "PartitionKey": str(at % 16)} for at in range(count)]
    return json.dumps({"StreamName": STREAM, "Records": records}).encode()


def quantiles(name: str, times_s: list[float]) -> dict[str, float]:
    ranked = sorted(times_s)

    def at(share: float) -> float:
        return round(1000 * ranked[min(int(share * len(ranked)), len(ranked) - 1)], 2)

    return {f"{name}_p50_ms": at(0.5), f"{name}_p99_ms": at(0.99), f"{name}_max_ms": at(1.0)}


def full_calls(url: str, seconds: float, writers: int) -> dict[str, float]:
    body = body_of(500, 150)
    times: list[float] = []

    def write() -> None:
        connection = connect(url)
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            call(connection, "PutRecords", body)
            times.append(time.perf_counter() - begin)
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    name = f"full_call_{writers}_writers"
    rate = round(500 * len(times) / elapsed)
    return {f"{name}_records_s": rate} | quantiles(name, times)


def paced_calls(url: str, seconds: float, calls_s: float) -> dict[str, float]:
    body = body_of(16, 10_000)
    connection = connect(url)
    times = []
    begin = time.perf_counter()
    for number in range(int(seconds * calls_s)):
        due = begin + number / calls_s
        time.sleep(max(due - time.perf_counter(), 0))
        call(connection, "PutRecords", body)
        times.append(time.perf_counter() - due)
    connection.close()
    return quantiles("paced_16x10kB", times)


def boto3_calls(url: str, seconds: float) -> dict[str, float]:
    import boto3

    client = boto3.client(
        "kinesis",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )
    records = [{"Data": b"x" * 150, "PartitionKey": str(at % 16)} for at in range(500)]
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        client.put_records(StreamName=STREAM, Records=records)
        times.append(time.perf_counter() - begin)
    client.close()
    return {"boto3_records_s": round(500 * len(times) / sum(times))} | quantiles("boto3", times)


def read_back(url: str) -> dict[str, float]:
    connection = connect(url)
    begin = time.perf_counter()
    count = 0
    shards = json.loads(call(connection, "ListShards", json.dumps({"StreamName": STREAM}).encode()))
    for shard in shards["Shards"]:
        start_at = {
            "StreamName": STREAM,
            "ShardId": shard["ShardId"],
            "ShardIteratorType": "TRIM_HORIZON",
        }
        answer = call(connection, "GetShardIterator", json.dumps(start_at).encode())
        iterator = json.loads(answer)["ShardIterator"]
        while True:
            page = call(connection, "GetRecords", json.dumps({"ShardIterator": iterator}).encode())
            read = page.count(b'"SequenceNumber"')
            if not read:
                break
            count += read
            iterator = json.loads(page)["NextShardIterator"]
    connection.close()
    return {"read_records_s": round(count / (time.perf_counter() - begin)), "read_records": count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--fsync", default="always")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(folder, given.fsync)
        try:
            connection = connect(url)
            create = json.dumps({"StreamName": STREAM, "ShardCount": 2}).encode()
            call(connection, "CreateStream", create)
            connection.close()
            figures: dict[str, float | str] = {"fsync": given.fsync}
            figures |= paced_calls(url, given.seconds, 100.0)
            for writers in (1, 2):
                figures |= full_calls(url, given.seconds, writers)
            figures |= boto3_calls(url, given.seconds)
            figures |= read_back(url)
        finally:
            process.terminate()
            process.communicate()
    for name, value in figures.items():
        print(f"{name:28} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
