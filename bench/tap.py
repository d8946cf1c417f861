"""The live tap: from the receipt by the ingester to a subscriber in another process.

The parties of ``bench/stream_socket.py`` (a venue that sends real recorded messages, the stream
server, the ingester's container entry point), and a process that subscribes to everything. Both
ends read the same machine's clock.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.stream_socket import Bench
from tradelake.live import subscribe
from tradelake.market.channels import SNAPSHOTS
from tradelake.market.records import channel_of
from tradelake.topology import streams
from tradelake.usecases.latency import Latencies

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


async def measure(url: str, seconds: float, warm_s: float) -> dict[str, Any]:
    """Subscribe to everything for so long; return what came after the first seconds."""
    latencies, records, missed = Latencies(), 0, 0
    began = time.monotonic()
    async with subscribe(url) as tap:
        async for message in tap:
            now_ns, elapsed = time.time_ns(), time.monotonic() - began
            if elapsed > warm_s + seconds:
                break
            if elapsed > warm_s:
                missed += message.missed
                # A snapshot is made at an interval, not received.
                received = [one for one in message.records if channel_of(one) != SNAPSHOTS]
                records += len(received)
                for record in received:
                    latencies.add(now_ns - record.ts_ingest)
    percentiles = {f"p{share * 100:g}": latencies.percentile_ms(share) for share in (0.5, 0.99)}
    return {"records": records, "missed": missed, **percentiles}


def subscriber(url: str, seconds: float, warm_s: float, answer: Connection) -> None:
    """Run :func:`measure` in a process of its own."""
    answer.send(asyncio.run(measure(url, seconds, warm_s)))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRADELAKE_DATA"))
    parser.add_argument("--symbols", type=int, default=120)
    parser.add_argument("--rate", type=float, default=10_000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
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
            here, there = multiprocessing.Pipe()
            reader = multiprocessing.get_context("spawn").Process(
                target=subscriber, args=(bench.health_url, given.seconds, 2.0, there)
            )
            reader.start()
            bench.rate(given.rate)
            if not here.poll(given.seconds + 120.0):
                raise TimeoutError("the subscriber did not answer")
            found = here.recv()
            reader.join()
            bench.settle(bench.rate(0))
        finally:
            bench.stop()
    rate = found["records"] / given.seconds
    print(f"{found['records']} records seen, {rate:,.0f} a second; {found['missed']} missed")
    print(f"received -> subscriber  p50 {found['p50']} ms  p99 {found['p99']} ms")
    figures = {
        "name": "tap",
        "p50_ms": found["p50"],
        "p99_ms": found["p99"],
        "missed": found["missed"],
        "records_s": round(rate),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
