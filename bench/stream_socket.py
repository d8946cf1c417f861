"""From the socket to durable: the real ingester between a venue and the embedded AWS.

Every party is a process of its own: a venue that sends real recorded messages (``bench/venue.py``),
the stream server, a server for tables and secrets, and the ingester's container entry point. First
at ``--rate`` points a second, then as fast as it goes. In the end the stream is read back: every
point sent must be on it, once.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np

from tradelake.market.records import BookSnapshot
from tradelake.stream.envelope import decode_batches
from tradelake.topology import names, stores, streams
from tradelake.usecases.latency import Latencies

ROOT = Path(__file__).parents[1]
ENVIRONMENT = "bench"
STREAM = names.physical(ENVIRONMENT, streams.TICKS.name)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclasses.dataclass
class Party:
    """A process and what it used."""

    process: subprocess.Popen[str]

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * PAGE_BYTES / 2**20

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Bench:
    """The parties, by name."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self.parties: dict[str, Party] = {}
        self._folder, self._given = folder, given
        self.kinesis_url = self.venue_url = self.health_url = ""

    def start(self) -> None:
        server = [sys.executable, "-m", "tradelake.local.stream_server"]
        given = self._given
        server += ["--folder", str(self._folder / "stream"), "--fsync", given.fsync]
        self.kinesis_url = self._ready("stream", server)["url"]
        venue = [sys.executable, str(ROOT / "bench" / "venue.py"), "--data", str(given.data)]
        port = self._ready("venue", [*venue, "--symbols", str(given.symbols)])["port"]
        self.venue_url = f"http://127.0.0.1:{port}"
        aws_port = _free_port()
        moto = ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(aws_port)]
        self._launch("tables", [sys.executable, *moto], quiet=True)
        aws_url = f"http://127.0.0.1:{aws_port}"
        _until(lambda: _answers(aws_url), 30, "the server of tables")
        self._provision(aws_url)
        health = _free_port()
        self.health_url = f"http://127.0.0.1:{health}"
        settings = {
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_ENDPOINT_URL_KINESIS": self.kinesis_url,
            names.ENV_ENVIRONMENT: ENVIRONMENT,
            names.ENV_FEED_URL: f"ws://127.0.0.1:{port}/feed",
            names.ENV_HEALTH_PORT: str(health),
            names.ENV_UNIVERSE_S: "0",
            names.ENV_LEASE_S: "60",
        }
        if given.spool:
            settings[names.ENV_SPOOL] = str(self._folder / "spool")
        main = ROOT / "containers" / "ingester" / "main.py"
        self._launch("ingester", [sys.executable, str(main)], quiet=True, **settings)
        _until(self._streams, 60, "the ingester")

    def stop(self) -> None:
        for party in reversed(self.parties.values()):
            party.stop()

    def rate(self, points_s: float) -> int:
        request = urllib.request.Request(
            f"{self.venue_url}/rate?points_s={points_s}", method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(json.load(answer)["sent"])

    def status(self) -> dict[str, Any]:
        return _get(self.health_url)

    def settle(self, sent: int) -> None:
        _until(lambda: _durable(self.status()) >= sent, 120, "what was sent")

    def _streams(self) -> bool:
        code = self.parties["ingester"].process.poll()
        if code is not None:
            raise RuntimeError(f"the ingester ended with code {code}")
        return _state(self.health_url) == "streaming"

    def _ready(self, name: str, command: list[str]) -> dict[str, Any]:
        process = self._launch(name, command)
        assert process.stdout is not None
        return dict(json.loads(process.stdout.readline()))

    def _launch(
        self, name: str, command: list[str], *, quiet: bool = False, **more: str
    ) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRADELAKE_", "AWS_"))}
        out = subprocess.DEVNULL if quiet else subprocess.PIPE
        process = subprocess.Popen(
            command,
            env=kept | CREDENTIALS | {"PYTHONPATH": str(ROOT / "src")} | more,
            stdout=out,
            stderr=None if name != "tables" else subprocess.DEVNULL,
            text=True,
        )
        self.parties[name] = Party(process)
        return process

    def _provision(self, aws_url: str) -> None:
        session = boto3.Session("local", "local", region_name="us-east-1")
        dynamodb = session.client("dynamodb", endpoint_url=aws_url)
        for table in (stores.LEASES, stores.GAPS, stores.CONSUMER_STATE):
            keys = [(table.partition_key, "HASH")]
            if table.sort_key is not None:
                keys.append((table.sort_key, "RANGE"))
            dynamodb.create_table(
                TableName=names.physical(ENVIRONMENT, table.name),
                KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
                AttributeDefinitions=[
                    {"AttributeName": key, "AttributeType": "S"} for key, _ in keys
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        session.client("secretsmanager", endpoint_url=aws_url).create_secret(
            Name=names.physical(ENVIRONMENT, names.ALPACA_SECRET),
            SecretString=json.dumps({"key": "k", "secret": "s"}),
        )
        kinesis = session.client("kinesis", endpoint_url=self.kinesis_url)
        kinesis.create_stream(StreamName=STREAM, ShardCount=self._given.shards)


def _durable(status: dict[str, Any]) -> int:
    """Points of the venue that are durable; snapshots of ours are not among them."""
    return int(sum(status["received"].values())) - int(status["in_hand"])


@dataclasses.dataclass
class Phase:
    """What was seen in a phase: figures of the processes, and when it was."""

    began_ns: int
    ended_ns: int
    points: int
    seconds: float
    cpu: dict[str, float]
    rss_mb: list[float]

    def slope_mb_min(self) -> float:
        """Growth of the ingester's RSS over the later two thirds, MB a minute."""
        later = self.rss_mb[len(self.rss_mb) // 3 :]
        if len(later) < 3:
            return 0.0
        return float(np.polyfit(np.arange(len(later)) / 60.0, later, 1)[0])


def run_phase(bench: Bench, rate: float, seconds: float, warm_s: float) -> Phase:
    """Send at a rate; count from ``warm_s`` on."""
    bench.rate(rate)
    time.sleep(warm_s)
    cpu = {name: party.cpu_s() for name, party in bench.parties.items()}
    before, began, began_ns = bench.status(), time.monotonic(), time.time_ns()
    rss = []
    while time.monotonic() - began < seconds:
        time.sleep(min(1.0, seconds))
        rss.append(bench.parties["ingester"].rss_mb())
    after, elapsed, ended_ns = bench.status(), time.monotonic() - began, time.time_ns()
    used = {name: party.cpu_s() - cpu[name] for name, party in bench.parties.items()}
    points = _durable(after) - _durable(before)
    bench.settle(bench.rate(0))
    return Phase(began_ns, ended_ns, points, elapsed, used, rss)


@dataclasses.dataclass
class Readback:
    """What the stream holds of a phase."""

    points: int
    batches: int
    bytes: int
    arrival: Latencies


def read_back(url: str, phases: list[Phase]) -> tuple[int, list[Readback]]:
    """Read the stream; return its points and what belongs to each phase."""
    found = [Readback(0, 0, 0, Latencies()) for _ in phases]
    total = 0
    last: dict[tuple[str, int], int] = {}
    for shard in _call(url, "ListShards", {"StreamName": STREAM})["Shards"]:
        where = {
            "StreamName": STREAM,
            "ShardId": shard["ShardId"],
            "ShardIteratorType": "TRIM_HORIZON",
        }
        iterator = _call(url, "GetShardIterator", where)["ShardIterator"]
        while True:
            page = _call(url, "GetRecords", {"ShardIterator": iterator, "Limit": 10_000})
            iterator = page["NextShardIterator"]
            for record in page["Records"]:
                data = base64.b64decode(record["Data"])
                arrival_ns = int(record["ApproximateArrivalTimestamp"] * 1e9)
                for batch in decode_batches(data):
                    before = last.get((batch.source_key, batch.epoch), -1)
                    if batch.seq == before:
                        continue  # its answer was lost, it was sent again
                    assert batch.seq == before + 1
                    last[batch.source_key, batch.epoch] = batch.seq
                    total += sum(type(record) is not BookSnapshot for record in batch.records)
                    for phase, seen in zip(phases, found, strict=True):
                        if batch.records and _belongs(batch.records[0].ts_ingest, phase):
                            seen.points += len(batch.records)
                            seen.batches += 1
                            seen.bytes += len(data)
                            for item in batch.records:
                                seen.arrival.add(arrival_ns - item.ts_ingest)
            if not page["Records"] and not page["MillisBehindLatest"]:
                break
    return total, found


def _belongs(ts_ns: int, phase: Phase) -> bool:
    return phase.began_ns <= ts_ns < phase.ended_ns


def show(title: str, phase: Phase, status: dict[str, Any], seen: Readback) -> None:
    """Print the figures of a phase."""
    print(f"{title}: {phase.points / phase.seconds:,.0f} points/s over {phase.seconds:.0f} s")
    for name, latencies in (("received -> durable", "latency_ms"), ("  of it: request", "put_ms")):
        figures = status[latencies]
        print(f"  {name:24} " + "  ".join(f"{k} {v} ms" for k, v in figures.items()))
    arrival = {share: seen.arrival.percentile_ms(share) for share in (0.5, 0.99, 0.999)}
    print("  received -> at the stream " + "  ".join(f"p{s:g} {v} ms" for s, v in arrival.items()))
    per_batch = seen.points / max(1, seen.batches)
    per_point = seen.bytes / max(1, seen.points)
    print(f"  {per_batch:.1f} points a batch, {per_point:.0f} bytes a point on the stream")
    for name, used in phase.cpu.items():
        print(f"  cpu of {name:17} {used:6.1f} s = {used / phase.seconds:.2f} cores")
    rss = phase.rss_mb
    print(
        f"  rss of the ingester      {rss[0]:.0f} -> {rss[-1]:.0f} MB,"
        f" {phase.slope_mb_min():+.2f} MB/min"
    )


def main() -> None:
    """Run the phases and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRADELAKE_DATA"))
    parser.add_argument("--symbols", type=int, default=120)
    parser.add_argument("--rate", type=float, default=10_000.0)
    parser.add_argument("--most", type=float, default=25_000.0, help="rate of the second phase")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--soak-s", type=float, default=0.0, help="length of the first phase")
    parser.add_argument("--shards", type=int, default=streams.TICKS.shards)
    parser.add_argument("--fsync", default="always", help="of the stream server")
    parser.add_argument("--folder", type=Path, help="where the stream server's disk is")
    parser.add_argument("--spool", action="store_true", help="give the ingester a disk")
    given = parser.parse_args()
    if given.data is None:
        parser.error("expected --data or TRADELAKE_DATA: the folder of recorded data")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        bench = Bench(Path(folder), given)
        try:
            bench.start()
            steady = run_phase(bench, given.rate, given.soak_s or given.seconds, warm_s=2.0)
            steady_status = bench.status()
            fast = run_phase(bench, given.most, given.seconds, warm_s=2.0)
            fast_status = bench.status()
            sent = bench.rate(0)
            total, (steady_seen, fast_seen) = read_back(bench.kinesis_url, [steady, fast])
        finally:
            bench.stop()
    show("steady", steady, steady_status, steady_seen)
    show("fast", fast, fast_status, fast_seen)
    print(f"sent {sent}, on the stream {total}")
    assert sent == total, "points were lost or doubled"
    figures = {
        "name": "stream_socket",
        "points_s": round(steady.points / steady.seconds),
        "p50_ms": steady_status["latency_ms"]["p50"],
        "p99_ms": steady_status["latency_ms"]["p99"],
        "p999_ms": steady_status["latency_ms"]["p999"],
        "put_p50_ms": steady_status["put_ms"]["p50"],
        "put_p99_ms": steady_status["put_ms"]["p99"],
        "arrival_p99_ms": steady_seen.arrival.percentile_ms(0.99),
        "socket_points_s": round(fast.points / fast.seconds),
        "ingester_cores": round(steady.cpu["ingester"] / steady.seconds, 3),
        "stream_cores": round(steady.cpu["stream"] / steady.seconds, 3),
        "rss_mb": round(steady.rss_mb[-1], 1),
        "rss_growth_mb": round(steady.rss_mb[-1] - steady.rss_mb[len(steady.rss_mb) // 3], 2),
        "rss_mb_min": round(steady.slope_mb_min(), 3),
        "sent": sent,
        "lost": sent - total,
    }
    print(json.dumps(figures))


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return dict(json.load(answer))


def _state(url: str) -> str:
    try:
        return str(_get(url).get("state", ""))
    except OSError:
        return ""


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
    except OSError:
        return False
    return True


def _call(url: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"Kinesis_20131202.{operation}",
    }
    body = json.dumps(request).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}/", body, headers), timeout=60
    ) as answer:
        return dict(json.load(answer))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(done: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready within {seconds:g} s")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
