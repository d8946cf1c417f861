"""CPU time of a point in every stage, bytes of it on the stream and in the lake, bytes of state.

``python -m bench.stages``. The functions' and the ingester's own code runs in this process, one
stage after the other, over recorded messages that arrive at ``--points-s``; so batches have the
size that rate gives them. Counted are

- ingest: session, neighbour rules, micro-batches, encoding, the request's body and signature; not
  the socket's and HTTP's own work (``bench/stream_socket.py`` counts that);
- validate, aggregate (seven timeframes), deliver (Iceberg on a local disk): from the event as
  Lambda hands it over to what is put, saved or committed, without the requests to AWS.

The last line is JSON; its ``measured`` is what ``tradelake capacity --figures`` takes, as
``--out FILE`` writes it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import frames, pipeline
from tradelake.adapters.aws.kinesis_events import received_records
from tradelake.lake.catalog import LakeCatalog
from tradelake.lake.writer import IcebergWriter
from tradelake.settings import LakeSettings
from tradelake.topology import functions, streams
from tradelake.usecases.aggregate import aggregate_records
from tradelake.usecases.deliver import deliver_records
from tradelake.usecases.validate import validate_records

SEEN_S = 0.2
"""How much of the stream an invocation gets where there is no batching window."""


def lake_in(folder: str) -> IcebergWriter:
    """Return a writer of a new lake."""
    catalog = LakeCatalog(
        LakeSettings(
            environment="bench",
            catalog_uri=f"sqlite:///{folder}/catalog.db",
            warehouse=f"file://{folder}/lake",
        )
    )
    catalog.ensure_tables()
    return IcebergWriter(catalog)


def cpu_us(work: Callable[[], None], points: int) -> float:
    """Return CPU microseconds a point of all threads of this process."""
    gc.collect()
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6 / points


def once(arriving: list[tuple[int, bytes]], points: int, points_s: float) -> dict[str, float]:
    """Run every stage once."""
    ingester = pipeline.Ingester()
    clean, quarantine, bars = pipeline.Writer(), pipeline.Writer(), pipeline.Writer()
    states = pipeline.States()
    figures = {"ingest_us": cpu_us(lambda: ingester.run(arriving), points)}
    invocations = max(1, round(points / points_s / SEEN_S))
    ticks = list(pipeline.events(ingester.records, -(-len(ingester.records) // invocations)))

    def validate() -> None:
        for event in ticks:
            validate_records(received_records(event), clean, quarantine)

    figures["validate_us"] = cpu_us(validate, points)
    passed = list(pipeline.events(clean.records, -(-len(clean.records) // invocations)))

    def aggregate() -> None:
        for event in passed:
            aggregate_records(received_records(event), states, bars, pipeline.RULES)

    figures["aggregate_us"] = cpu_us(aggregate, points)
    batch = next(iter(functions.DELIVER.triggers)).batch_size
    whole = list(pipeline.events(clean.records, batch))
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_in(folder)
        rows = 0

        def deliver() -> None:
            nonlocal rows
            for event in whole:
                done = deliver_records(streams.CLEAN.name, received_records(event), lake)
                rows += sum(done.rows.values())

        figures["deliver_us"] = cpu_us(deliver, points)
        size = sum(path.stat().st_size for path in Path(folder, "lake").rglob("*.parquet"))
    figures["stream_bytes"] = ingester.bytes / points
    figures["lake_bytes"] = size / rows
    state = sum(len(one.value) for one in states.kept.values())
    figures["state_bytes"] = state / frames.SYMBOLS
    figures["points_a_record"] = points / len(ingester.records)
    figures["records_a_request"] = len(ingester.records) / ingester.requests
    figures["rows"] = rows
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRADELAKE_DATA"))
    parser.add_argument("--points", type=int, default=60_000)
    parser.add_argument("--points-s", type=float, default=10_000.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write what `tradelake capacity --figures` takes")
    given = parser.parse_args()
    folder = None if given.data is None else Path(given.data)
    arriving = pipeline.timed_frames(folder, given.points, given.points_s)
    runs = [once(arriving, given.points, given.points_s) for _ in range(given.repeats)]
    found: dict[str, Any] = {name: round(_median(runs, name), 2) for name in runs[0]}
    print(frames.RECORDED if folder else frames.SYNTHETIC)
    for name, value in found.items():
        print(f"  {name:18} {value:>10,.2f}")
    beside = {name: found.pop(name) for name in ("points_a_record", "records_a_request", "rows")}
    if given.out is not None:
        given.out.write_text(json.dumps(found) + "\n", encoding="utf-8")
    head = {"name": "stages", "points_s": given.points_s, "recorded": folder is not None}
    print(json.dumps({**head, "measured": found, **beside}))


def _median(runs: list[dict[str, float]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


if __name__ == "__main__":
    main()
