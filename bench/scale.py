"""Throughput of validate and aggregate over 1, 2, 4 and 8 shards, a process for each.

``python -m bench.scale``. What the ingester would put at ``--points-s`` is made once, divided over
shards by bucket as Kinesis divides it by key, and each shard is worked off by a process of its own
with the functions' own code: events as Lambda hands them over, batch by batch, states in memory.
Printed are points per second from the first start to the last end, points per CPU second of all
processes, and how even the shards are. With more processes than processors the former is flat and
the latter should be too. The last line is JSON. That the results do not depend on the number of
shards is shown by ``tests/usecases/test_order_under_resharding.py``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any, Final

from bench import frames, pipeline
from tradelake.adapters.aws.kinesis_events import received_records
from tradelake.ports import Outgoing
from tradelake.stream.envelope import decode_batches
from tradelake.topology import streams
from tradelake.usecases.aggregate import aggregate_records
from tradelake.usecases.validate import validate_records

SHARDS: Final = (1, 2, 4, 8)
Outcome = tuple[int, float, float, float]
"""Points, CPU seconds, and when it began and ended."""


def validate(records: list[Outgoing], per_event: int, points: int) -> Outcome:
    """Work off a shard of ticks."""
    events = list(pipeline.events(records, per_event))
    clean, quarantine = pipeline.Writer(), pipeline.Writer()
    began, cpu = time.monotonic(), time.process_time()
    done = sum(
        validate_records(received_records(event), clean, quarantine).records for event in events
    )
    return _outcome(done, points, began, cpu)


def aggregate(records: list[Outgoing], per_event: int, points: int) -> Outcome:
    """Work off a shard of clean; recorded bars and books are passed over, but counted."""
    events = list(pipeline.events(records, per_event))
    bars, states = pipeline.Writer(), pipeline.States()
    began, cpu = time.monotonic(), time.process_time()
    for event in events:
        outcome = aggregate_records(received_records(event), states, bars, pipeline.RULES)
        assert outcome.failed_from is None
    return _outcome(points, points, began, cpu)


def _outcome(done: int, points: int, began: float, cpu: float) -> Outcome:
    assert done == points, f"{points} points came, {done} were worked off"
    return points, time.process_time() - cpu, began, time.monotonic()


STAGES: Final = {"validate": validate, "aggregate": aggregate}


def divide(records: list[Outgoing], shards: int) -> list[list[Outgoing]]:
    """Return each shard's records; the key space is cut into equal parts, as buckets are."""
    parts: list[list[Outgoing]] = [[] for _ in range(shards)]
    for one in records:
        parts[int(one.key) * shards // streams.BUCKETS].append(one)
    return parts


def measure(stage: str, records: list[Outgoing], shards: int, per_event: int) -> dict[str, float]:
    """Return the throughput of a stage over so many shards."""
    parts = divide(records, shards)
    sizes = [_points(part) for part in parts]
    with multiprocessing.get_context("spawn").Pool(shards) as pool:
        pool.map(_ready, range(shards), chunksize=1)
        given = [(part, per_event, size) for part, size in zip(parts, sizes, strict=True)]
        outcomes = pool.starmap(STAGES[stage], given, chunksize=1)
    points = sum(outcome[0] for outcome in outcomes)
    cpu_s = sum(outcome[1] for outcome in outcomes)
    wall_s = max(outcome[3] for outcome in outcomes) - min(outcome[2] for outcome in outcomes)
    return {
        "points_s": round(points / wall_s),
        "points_cpu_s": round(points / cpu_s),
        "largest_share": round(max(sizes) / points, 3),
    }


def _ready(_: int) -> None:
    time.sleep(0.5)


def _points(records: list[Outgoing]) -> int:
    return sum(len(batch.records) for one in records for batch in decode_batches(one.data))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRADELAKE_DATA"))
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--points-s", type=float, default=20_000.0)
    parser.add_argument("--per-event", type=int, default=200)
    given = parser.parse_args()
    folder = None if given.data is None else Path(given.data)
    ingester, clean = pipeline.Ingester(), pipeline.Writer()
    ingester.run(pipeline.timed_frames(folder, given.points, given.points_s))
    for event in pipeline.events(ingester.records, given.per_event):
        validate_records(received_records(event), clean, pipeline.Writer())
    print(frames.RECORDED if folder else frames.SYNTHETIC)
    inputs = {"validate": ingester.records, "aggregate": clean.records}
    found: dict[str, Any] = {}
    for stage, records in inputs.items():
        for shards in SHARDS:
            figures = measure(stage, records, shards, given.per_event)
            found.setdefault(stage, {})[shards] = figures
            print(
                f"{stage:10} {shards} shards: {figures['points_s']:>10,} points/s,"
                f" {figures['points_cpu_s']:>10,} per CPU second,"
                f" largest shard {figures['largest_share']:.0%}"
            )
    head = {"name": "scale", "processors": os.cpu_count(), "points": given.points}
    print(json.dumps({**head, "recorded": folder is not None, **found}))


if __name__ == "__main__":
    main()
