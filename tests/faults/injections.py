"""What goes wrong: each does it to a running world, and counts what shows that it happened."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.faults.world import World, wait_for
from tradelake.exchange.journal import Outcome
from tradelake.local.layout import ENVIRONMENT
from tradelake.topology import functions, names, streams

Proof = Mapping[str, int]
"""Counts that show that a fault happened; every one must be above 0."""
SMALL_DISK: Final = 60_000
"""Bytes of spool: a few seconds of the market."""


def nothing(_world: World) -> Proof:
    return {}


def outcomes(world: World, outcome: Outcome) -> int:
    return sum(any(was is outcome for _, was in one.writes) for one in world.publications())


def connections(world: World) -> int:
    return len({number for one in world.publications() for number, _ in one.writes})


def mute(world: World) -> Proof:
    time.sleep(4.0)
    world.market_fault("mute")
    before = connections(world)
    wait_for("a new connection", lambda: connections(world) > before, 60.0)
    return {"muted": outcomes(world, Outcome.MUTED)}


def wait_again(world: World) -> Proof:
    """Take the end of the market for an end, not for silence."""
    world.ingester.restart({names.ENV_SILENCE_S: "600"})
    world.ingester.settle()
    return {}


def cut(world: World) -> Proof:
    for _ in range(4):
        time.sleep(2.0)
        before = connections(world)
        world.market_fault("cut", how="mid_frame")
        wait_for("a new connection", lambda before=before: connections(world) > before, 60.0)
    return {"cut": outcomes(world, Outcome.CUT), "reconnects": connections(world) - 1}


def hold(world: World) -> Proof:
    time.sleep(3.0)
    world.market_fault("cut", how="abort")
    return {}


def slow_client(world: World) -> Proof:
    for _ in range(3):
        time.sleep(3.0)
        before = connections(world)
        world.market_fault("slow_client")
        wait_for("a new connection", lambda before=before: connections(world) > before, 60.0)
    return {"reconnects": connections(world) - 1}


def errors(code: int) -> Callable[[World], Proof]:
    def prove(world: World) -> Proof:
        return {f"errors {code}": world.ingester.ask().venue_errors.get(str(code), 0)}

    return prove


def frames(world: World) -> Proof:
    for _ in range(5):
        for kind in ("duplicate", "reorder", "truncate"):
            time.sleep(0.7)
            world.market_fault(kind, count=3)
    time.sleep(1.0)
    return {
        "repeated": outcomes(world, Outcome.REPEATED),
        "truncated": outcomes(world, Outcome.TRUNCATED),
    }


def poison(world: World) -> Proof:
    for _ in range(5):
        time.sleep(1.5)
        world.market_fault("poison", count=2)
    stream = names.physical(ENVIRONMENT, streams.TICKS.name)
    garbage = [b"", b"\x00", b"not a bundle", b"\x02\x01broken", os.urandom(2_000)]
    for data in garbage[1:]:
        world.aws("kinesis").put_record(StreamName=stream, Data=data, PartitionKey="3")
    return {"poisoned": sum(one.kind == 2 for one in world.publications()), "garbage": 4}


def garbage_kept(world: World) -> Proof:
    query = "SELECT count(DISTINCT raw) AS n FROM quarantine WHERE rule = 'envelope'"
    kept = world.lake().sql(query).to_pylist()[0]["n"]
    return {"garbage in quarantine": int(kept == 4)}


def throttle(world: World) -> Proof:
    stream = names.physical(ENVIRONMENT, streams.TICKS.name)
    world.stream_fault(seconds=15.0, stream=stream, throttle=0.3)
    time.sleep(15.0)
    return {}


def retries(world: World) -> Proof:
    return {"retries": world.ingester.ask().retries}


def away(world: World) -> Proof:
    time.sleep(3.0)
    world.stream_fault(seconds=60.0, away=True)
    time.sleep(30.0)
    health = world.ingester.ask()
    time.sleep(30.0)
    return {"batches on disk or in hand": health.spooled_batches + health.in_hand}


def full_disk(world: World) -> Proof:
    time.sleep(3.0)
    world.stream_fault(seconds=30.0, away=True)
    time.sleep(28.0)
    health = world.ingester.ask()
    full = health.spool_bytes > SMALL_DISK - 4_096
    return {"records in memory for want of disk": health.in_hand if full else 0}


def split(world: World) -> Proof:
    kinesis = world.aws("kinesis")
    before = shards(world)
    for stream in (streams.TICKS, streams.CLEAN):
        time.sleep(3.0)
        name = names.physical(ENVIRONMENT, stream.name)
        shard = kinesis.list_shards(StreamName=name)["Shards"][0]
        keys = shard["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
        kinesis.split_shard(
            StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
        )
    time.sleep(4.0)
    return {"new shards": shards(world) - before}


def shards(world: World) -> int:
    return sum(len(shards) for shards in world.stream_status().values())


def kill_twenty(world: World) -> Proof:
    chance, kills, streaming = random.Random(20), 0, 0
    while kills < 20:
        world.wait_subscribed()
        time.sleep(chance.uniform(0.0, 2.0))
        streaming += world.exchange.status().state == "playing"
        world.ingester.kill()
        kills += 1
        world.ingester.start()
    return {"kills": kills, "kills while it streamed": streaming}


def pause_leader(world: World) -> Proof:
    leader, standby = world.ingester, world.standby()
    time.sleep(8.0)
    before = connections(world)
    leader.pause()
    wait_for("the standby to take over", lambda: connections(world) > before, 60.0)
    time.sleep(3.0)
    evicted = leader.resume()
    world.ingester = standby
    if leader.process is not None:
        leader.stop()
    return {"takeovers": connections(world) - before, "evicted": int(evicted < 0)}


def rotate(world: World) -> Proof:
    time.sleep(3.0)
    key, secret = "another-key", "another-secret"
    world.aws("secretsmanager").put_secret_value(
        SecretId=names.physical(ENVIRONMENT, names.ALPACA_SECRET),
        SecretString=json.dumps({"key": key, "secret": secret}),
    )
    world.market_fault("rotate_credentials", key=key, secret=secret)
    time.sleep(3.0)
    before = connections(world)
    world.market_fault("cut", how="abort")
    wait_for("a connection with the new key", lambda: connections(world) > before, 60.0)
    return {"connections with the new key": connections(world) - before}


def kill_busy(name: str, output: streams.Stream) -> Callable[[World], Proof]:
    """Kill a worker while its output stream refuses a half of what it writes."""

    def inject(world: World) -> Proof:
        killed = 0
        for _ in range(5):
            time.sleep(2.0)
            world.stream_fault(
                seconds=20.0, stream=names.physical(ENVIRONMENT, output.name), throttle=0.7
            )
            wait_for(f"{name} to be busy", lambda: in_flight(world, name), 30.0)
            killed += kill_worker(world, name)
            world.stream_fault(seconds=0.0)
        return {"killed with a batch in hand": killed}

    return inject


def in_flight(world: World, name: str) -> int:
    return sum(mapping["in_flight"] for mapping in world.function_status(name))


def kill_worker(world: World, name: str) -> int:
    """Pause the worker, look whether it has a batch in hand, kill it, and start it anew."""
    process = world.runtime.workers[name]
    os.killpg(process.child.pid, signal.SIGKILL)
    busy = in_flight(world, name) > 0
    world.runtime.stop(process)
    world.runtime.start_worker(name)
    return int(busy)


def redeliver(world: World) -> Proof:
    time.sleep(10.0)
    read = 0
    for function in (functions.VALIDATE, functions.AGGREGATE, functions.DELIVER):
        worker = world.runtime.workers[function.name]
        world.runtime.stop(worker)
        read += sum(mapping["records"] for mapping in world.function_status(function.name))
        for file in world.layout.state.glob(f"{function.name}.*"):
            file.unlink()
        world.runtime.start_worker(function.name)
    return {"records read before": read}


def rival(world: World) -> Proof:
    world.runtime.start_rival(functions.DELIVER.name)
    return {"rivals": 1}


def rival_delivered(world: World) -> Proof:
    status = world.function_status(f"{functions.DELIVER.name}-rival/{functions.DELIVER.name}")
    return {"records the rival read": sum(mapping["records"] for mapping in status)}


def late(world: World) -> Proof:
    time.sleep(2.0)
    world.market_fault("late_trades", count=200)
    return {"skewed": 1}
