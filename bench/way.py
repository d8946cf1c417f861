"""The way of a record through the whole embedded AWS, stage by stage, in time of the wall.

A synthetic market is played live into the real ingester, and every function runs. What a stage took
is told by the streams themselves: when a record arrived there, less when the ingester had received
it. A bar's time counts from the bar's end, so it holds the lateness that is waited for. What the
lake took is what ``deliver`` says of its commits; here it waits at most ``--window-s`` for a batch,
on AWS a minute.

    python -m bench.way --seconds 30
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tradelake.adapters.aws.clients import client
from tradelake.local.ingesting import Ingesting
from tradelake.local.layout import ENVIRONMENT, Layout
from tradelake.local.runtime import Runtime, RuntimeOptions
from tradelake.market.records import Bar, BookSnapshot, Instrument
from tradelake.market.timeframes import timeframe_ns
from tradelake.stream.envelope import Batch, decode_batches
from tradelake.topology import names, streams
from tradelake.usecases.latency import Latencies

ROOT: Final = Path(__file__).parents[1]
TIMEFRAMES: Final = ("1s", "1m")
LATENESS_S: Final = 0.5


def arrivals(stream: streams.Stream) -> Iterator[tuple[Batch, int]]:
    """Yield every batch of a stream and when it arrived, ns."""
    kinesis = client("kinesis")
    name = names.physical(ENVIRONMENT, stream.name)
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            page = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            iterator = page["NextShardIterator"]
            for record in page["Records"]:
                arrived_ns = int(record["ApproximateArrivalTimestamp"].timestamp() * 1e9)
                for batch in decode_batches(record["Data"]):
                    yield batch, arrived_ns
            if not page["Records"] and not page["MillisBehindLatest"]:
                break


def received_to(stream: streams.Stream, since_ns: int) -> Latencies:
    """Return how long points took from their receipt to a stream."""
    taken = Latencies()
    for batch, arrived_ns in arrivals(stream):
        for record in batch.records:
            if not isinstance(record, BookSnapshot | Instrument) and record.ts_ingest > since_ns:
                taken.add(arrived_ns - record.ts_ingest)
    return taken


def ended_to_bars(since_ns: int) -> Latencies:
    """Return how long second bars took from their end to the stream of bars."""
    taken = Latencies()
    length_ns = timeframe_ns("1s")
    for batch, arrived_ns in arrivals(streams.BARS):
        for bar in batch.records:
            if isinstance(bar, Bar) and bar.timeframe == "1s" and bar.ts_event > since_ns:
                taken.add(arrived_ns - bar.ts_event - length_ns)
    return taken


def told_by_deliver(log: Path) -> list[float]:
    """Return the p99 of receipt -> committed rows, ms, of every delivery of live records."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            latency = json.loads(line).get("latency_ms") or {}
            if latency.get("p99") is not None:
                found.append(float(latency["p99"]))
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--activity", type=float, default=20.0, help="of the synthetic market")
    parser.add_argument("--window-s", type=float, default=1.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tradelake-way-") as folder:
        layout = Layout(Path(folder) / "aws")
        layout.prepare()
        options = RuntimeOptions(
            layout=layout,
            project_root=ROOT,
            window_cap_s=given.window_s,
            extra_variables={
                names.ENV_BAR_TIMEFRAMES: ",".join(TIMEFRAMES),
                names.ENV_LATENESS_S: str(LATENESS_S),
            },
        )
        with Runtime(options) as runtime:
            os.environ.update(runtime.variables)
            market = ["--synthetic", "--live", str(given.seconds), "--start", "told"]
            market += ["--activity", str(given.activity)]
            exchange = runtime.start("exchange", ["-m", "tradelake.cli", "exchange", *market])
            ingesting = Ingesting(runtime, str(exchange.wait_ready(120.0)["url"]), {})
            ingesting.wait_subscribed()
            began_ns = time.time_ns()
            sent = ingesting.play(lambda _status, _health: None).total_sent
            time.sleep(2 * LATENESS_S + 3.0)
            found = {
                "receipt_to_ticks": received_to(streams.TICKS, began_ns),
                "receipt_to_clean": received_to(streams.CLEAN, began_ns),
                "bar_end_to_bars": ended_to_bars(began_ns),
            }
            ingesting.stop()
            runtime.drain(lambda: None)
            lake = told_by_deliver(layout.logs / "deliver.log")
    show(sent, given.seconds, found, lake)


def show(sent: int, seconds: float, found: dict[str, Latencies], lake: list[float]) -> None:
    figures: dict[str, Any] = {"name": "way", "points": sent, "points_s": round(sent / seconds)}
    print(f"{sent:,} points in {seconds:g} s")
    for name, taken in found.items():
        p50, p99 = taken.percentile_ms(0.5), taken.percentile_ms(0.99)
        print(f"  {name.replace('_', ' '):20} p50 {p50} ms  p99 {p99} ms")
        figures |= {f"{name}_p50_ms": p50, f"{name}_p99_ms": p99}
    if lake:
        middle = lake[len(lake) // 2]
        print(f"  receipt to lake      p99 of a delivery, median {middle} ms, worst {lake[-1]} ms")
        figures |= {"receipt_to_lake_p99_ms": middle, "deliveries": len(lake)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
