"""Every named fault: how the world is set up, what goes wrong, and how we know that it did."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.faults.world import World, wait_for
from tradelake.exchange.journal import Outcome
from tradelake.local.layout import ENVIRONMENT
from tradelake.topology import functions, names, streams

Proof = Mapping[str, int]
"""Counts that show that a fault happened; every one must be above 0."""


_SMALL_DISK: Final = 60_000
"""Bytes of spool: a few seconds of the market."""


def _nothing(_world: World) -> Proof:
    return {}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault.

    Parameters
    ----------
    name : str
        As the user names it.
    doc : str
        What goes wrong.
    inject : callable
        Does it while the market plays; returns when it is done.
    prove : callable
        Called when the market was played and the ingester still runs; more counts.
    after : callable
        Called when all is drained; more counts, of what the fault left in the lake.
    live_s : float
        How long the market is played at least.
    market : tuple of str
        More arguments of the exchange.
    variables : mapping
        More settings of the ingester.
    """

    name: str
    doc: str
    inject: Callable[[World], Proof]
    prove: Callable[[World], Proof] = _nothing
    after: Callable[[World], Proof] = _nothing
    live_s: float = 20.0
    market: tuple[str, ...] = ("--unclean-hold", "0.5")
    variables: Mapping[str, str] = field(default_factory=dict)


def _outcomes(world: World, outcome: Outcome) -> int:
    return sum(any(was is outcome for _, was in one.writes) for one in world.publications())


def _connections(world: World) -> int:
    return len({number for one in world.publications() for number, _ in one.writes})


# -- the venue -------------------------------------------------------------------------------------


def _mute(world: World) -> Proof:
    time.sleep(4.0)
    world.market_fault("mute")
    before = _connections(world)
    wait_for("a new connection", lambda: _connections(world) > before, 60.0)
    return {"muted": _outcomes(world, Outcome.MUTED)}


def _wait_again(world: World) -> Proof:
    """Take the end of the market for an end, not for silence."""
    world.ingester.restart({names.ENV_SILENCE_S: "600"})
    world.ingester.settle()
    return {}


def _cut(world: World) -> Proof:
    for _ in range(4):
        time.sleep(2.0)
        before = _connections(world)
        world.market_fault("cut", how="mid_frame")
        wait_for("a new connection", lambda before=before: _connections(world) > before, 60.0)
    return {"cut": _outcomes(world, Outcome.CUT), "reconnects": _connections(world) - 1}


def _hold(world: World) -> Proof:
    time.sleep(3.0)
    world.market_fault("cut", how="abort")
    return {}


def _slow_client(world: World) -> Proof:
    for _ in range(3):
        time.sleep(3.0)
        before = _connections(world)
        world.market_fault("slow_client")
        wait_for("a new connection", lambda before=before: _connections(world) > before, 60.0)
    return {"reconnects": _connections(world) - 1}


def _errors(code: int) -> Callable[[World], Proof]:
    def prove(world: World) -> Proof:
        return {f"errors {code}": world.ingester.ask().venue_errors.get(str(code), 0)}

    return prove


def _frames(world: World) -> Proof:
    for _ in range(5):
        for kind in ("duplicate", "reorder", "truncate"):
            time.sleep(0.7)
            world.market_fault(kind, count=3)
    time.sleep(1.0)
    return {
        "repeated": _outcomes(world, Outcome.REPEATED),
        "truncated": _outcomes(world, Outcome.TRUNCATED),
    }


def _poison(world: World) -> Proof:
    for _ in range(5):
        time.sleep(1.5)
        world.market_fault("poison", count=2)
    stream = names.physical(ENVIRONMENT, streams.TICKS.name)
    garbage = [b"", b"\x00", b"not a bundle", b"\x02\x01broken", os.urandom(2_000)]
    for data in garbage[1:]:
        world.aws("kinesis").put_record(StreamName=stream, Data=data, PartitionKey="3")
    return {"poisoned": sum(one.kind == 2 for one in world.publications()), "garbage": 4}


def _garbage_kept(world: World) -> Proof:
    query = "SELECT count(DISTINCT raw) AS n FROM quarantine WHERE rule = 'envelope'"
    kept = world.lake().sql(query).to_pylist()[0]["n"]
    return {"garbage in quarantine": int(kept == 4)}


# -- the stream ------------------------------------------------------------------------------------


def _throttle(world: World) -> Proof:
    stream = names.physical(ENVIRONMENT, streams.TICKS.name)
    world.stream_fault(seconds=15.0, stream=stream, throttle=0.3)
    time.sleep(15.0)
    return {}


def _retries(world: World) -> Proof:
    return {"retries": world.ingester.ask().retries}


def _away(world: World) -> Proof:
    time.sleep(3.0)
    world.stream_fault(seconds=60.0, away=True)
    time.sleep(30.0)
    health = world.ingester.ask()
    time.sleep(30.0)
    return {"batches on disk or in hand": health.spooled_batches + health.in_hand}


def _full_disk(world: World) -> Proof:
    time.sleep(3.0)
    world.stream_fault(seconds=30.0, away=True)
    time.sleep(28.0)
    health = world.ingester.ask()
    full = health.spool_bytes > _SMALL_DISK - 4_096
    return {"records in memory for want of disk": health.in_hand if full else 0}


def _split(world: World) -> Proof:
    kinesis = world.aws("kinesis")
    before = _shards(world)
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
    return {"new shards": _shards(world) - before}


def _shards(world: World) -> int:
    return sum(len(shards) for shards in world.stream_status().values())


# -- the ingester ----------------------------------------------------------------------------------


def _kill_twenty(world: World) -> Proof:
    chance, kills, streaming = random.Random(20), 0, 0
    while kills < 20:
        world.wait_subscribed()
        time.sleep(chance.uniform(0.0, 2.0))
        streaming += world.exchange.status().state == "playing"
        world.ingester.kill()
        kills += 1
        world.ingester.start()
    return {"kills": kills, "kills while it streamed": streaming}


def _pause_leader(world: World) -> Proof:
    leader, standby = world.ingester, world.standby()
    time.sleep(8.0)
    before = _connections(world)
    leader.pause()
    wait_for("the standby to take over", lambda: _connections(world) > before, 60.0)
    time.sleep(3.0)
    evicted = leader.resume()
    world.ingester = standby
    if leader.process is not None:
        leader.stop()
    return {"takeovers": _connections(world) - before, "evicted": int(evicted < 0)}


def _rotate(world: World) -> Proof:
    time.sleep(3.0)
    key, secret = "another-key", "another-secret"
    world.aws("secretsmanager").put_secret_value(
        SecretId=names.physical(ENVIRONMENT, names.ALPACA_SECRET),
        SecretString=json.dumps({"key": key, "secret": secret}),
    )
    world.market_fault("rotate_credentials", key=key, secret=secret)
    time.sleep(3.0)
    before = _connections(world)
    world.market_fault("cut", how="abort")
    wait_for("a connection with the new key", lambda: _connections(world) > before, 60.0)
    return {"connections with the new key": _connections(world) - before}


# -- the functions ---------------------------------------------------------------------------------


def _kill_busy(name: str, output: streams.Stream) -> Callable[[World], Proof]:
    """Kill a worker while its output stream refuses a half of what it writes."""

    def inject(world: World) -> Proof:
        killed = 0
        for _ in range(5):
            time.sleep(2.0)
            world.stream_fault(
                seconds=20.0, stream=names.physical(ENVIRONMENT, output.name), throttle=0.7
            )
            wait_for(f"{name} to be busy", lambda: _in_flight(world, name), 30.0)
            killed += _kill_worker(world, name)
            world.stream_fault(seconds=0.0)
        return {"killed with a batch in hand": killed}

    return inject


def _in_flight(world: World, name: str) -> int:
    return sum(mapping["in_flight"] for mapping in world.function_status(name))


def _kill_worker(world: World, name: str) -> int:
    """Pause the worker, look whether it has a batch in hand, kill it, and start it anew."""
    process = world.runtime.workers[name]
    os.killpg(process.child.pid, signal.SIGKILL)
    busy = _in_flight(world, name) > 0
    world.runtime.stop(process)
    world.runtime.start_worker(name)
    return int(busy)


def _redeliver(world: World) -> Proof:
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


def _rival(world: World) -> Proof:
    world.runtime.start_rival(functions.DELIVER.name)
    return {"rivals": 1}


def _rival_delivered(world: World) -> Proof:
    status = world.function_status(f"{functions.DELIVER.name}-rival/{functions.DELIVER.name}")
    return {"records the rival read": sum(mapping["records"] for mapping in status)}


def _late(world: World) -> Proof:
    time.sleep(2.0)
    world.market_fault("late_trades", count=200)
    return {"skewed": 1}


SCENARIOS: Final = (
    Scenario("calm", "nothing goes wrong: the account itself is tested", lambda _: {}),
    Scenario(
        "ingester-killed",
        "the ingester is killed (SIGKILL) twenty times at random",
        _kill_twenty,
        live_s=120.0,
        market=("--unclean-hold", "0"),
        variables={names.ENV_LEASE_S: "3"},
    ),
    Scenario(
        "kinesis-throttled",
        "Kinesis refuses 30 % of the records for 15 s",
        _throttle,
        _retries,
    ),
    Scenario("kinesis-away", "Kinesis answers nothing for 60 s", _away, live_s=75.0),
    Scenario(
        "disk-full",
        "Kinesis answers nothing for 30 s, and the disk the ingester spools to is full",
        _full_disk,
        live_s=50.0,
        variables={names.ENV_SPOOL_MAX_BYTES: str(_SMALL_DISK)},
    ),
    Scenario(
        "leader-paused",
        "the leading ingester stands still, a standby takes over, the leader goes on",
        _pause_leader,
        live_s=60.0,
    ),
    Scenario(
        "credentials-rotated",
        "key and secret change while it runs; then the connection is cut",
        _rotate,
        live_s=30.0,
    ),
    Scenario(
        "socket-mute",
        "the socket stays open, answers pings and carries no data",
        _mute,
        _wait_again,
        live_s=30.0,
        variables={names.ENV_SILENCE_S: "5"},
    ),
    Scenario("cut-mid-frame", "the connection ends in the middle of a frame, four times", _cut),
    Scenario(
        "hold-406",
        "after an unclean drop the venue refuses connections for 12 s (406)",
        _hold,
        _errors(406),
        live_s=40.0,
        market=("--unclean-hold", "12"),
        variables={names.ENV_CONNECTION_HOLD_S: "8"},
    ),
    Scenario(
        "slow-client-407",
        "the venue drops us as a slow client, three times",
        _slow_client,
        _errors(407),
    ),
    Scenario("bad-frames", "frames come twice, in reverse order, and truncated", _frames),
    Scenario(
        "clock-behind",
        "the venue's clock is two minutes behind ours, trades come late",
        _late,
        market=("--unclean-hold", "0.5", "--skew", "-120"),
    ),
    Scenario(
        "clock-ahead",
        "the venue's clock is two minutes ahead of ours, trades come late",
        _late,
        market=("--unclean-hold", "0.5", "--skew", "120"),
    ),
    Scenario(
        "poison",
        "unreadable messages, NaN prices, and garbage on the stream",
        _poison,
        after=_garbage_kept,
    ),
    Scenario(
        "validate-killed",
        "validate is killed with a batch in hand, five times",
        _kill_busy(functions.VALIDATE.name, streams.CLEAN),
        live_s=35.0,
    ),
    Scenario(
        "aggregate-killed",
        "aggregate is killed with a batch in hand, five times",
        _kill_busy(functions.AGGREGATE.name, streams.BARS),
        live_s=35.0,
    ),
    Scenario(
        "shards-redelivered",
        "validate, aggregate and deliver read every shard again from its start",
        _redeliver,
    ),
    Scenario("shard-split", "shards of ticks and clean are split under load", _split),
    Scenario(
        "two-deliverers",
        "two deliverers read the same streams and write the same tables",
        _rival,
        _rival_delivered,
    ),
)
