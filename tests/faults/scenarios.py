"""Every named fault: how the world is set up, what goes wrong, and how we know that it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.faults import injections
from tests.faults.injections import Proof
from tests.faults.world import World
from tradelake.topology import functions, names, streams


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
    prove: Callable[[World], Proof] = injections.nothing
    after: Callable[[World], Proof] = injections.nothing
    live_s: float = 20.0
    market: tuple[str, ...] = ("--unclean-hold", "0.5")
    variables: Mapping[str, str] = field(default_factory=dict)


SCENARIOS: Final = (
    Scenario("calm", "nothing goes wrong: the account itself is tested", lambda _: {}),
    Scenario(
        "ingester-killed",
        "the ingester is killed (SIGKILL) twenty times at random",
        injections.kill_twenty,
        live_s=120.0,
        market=("--unclean-hold", "0"),
        variables={names.ENV_LEASE_S: "3"},
    ),
    Scenario(
        "kinesis-throttled",
        "Kinesis refuses 30 % of the records for 15 s",
        injections.throttle,
        injections.retries,
    ),
    Scenario("kinesis-away", "Kinesis answers nothing for 60 s", injections.away, live_s=75.0),
    Scenario(
        "disk-full",
        "Kinesis answers nothing for 30 s, and the disk the ingester spools to is full",
        injections.full_disk,
        live_s=50.0,
        variables={names.ENV_SPOOL_MAX_BYTES: str(injections.SMALL_DISK)},
    ),
    Scenario(
        "leader-paused",
        "the leading ingester stands still, a standby takes over, the leader goes on",
        injections.pause_leader,
        live_s=60.0,
    ),
    Scenario(
        "credentials-rotated",
        "key and secret change while it runs; then the connection is cut",
        injections.rotate,
        live_s=30.0,
    ),
    Scenario(
        "socket-mute",
        "the socket stays open, answers pings and carries no data",
        injections.mute,
        injections.wait_again,
        live_s=30.0,
        variables={names.ENV_SILENCE_S: "5"},
    ),
    Scenario(
        "cut-mid-frame", "the connection ends in the middle of a frame, four times", injections.cut
    ),
    Scenario(
        "hold-406",
        "after an unclean drop the venue refuses connections for 12 s (406)",
        injections.hold,
        injections.errors(406),
        live_s=40.0,
        market=("--unclean-hold", "12"),
        variables={names.ENV_CONNECTION_HOLD_S: "8"},
    ),
    Scenario(
        "slow-client-407",
        "the venue drops us as a slow client, three times",
        injections.slow_client,
        injections.errors(407),
    ),
    Scenario("bad-frames", "frames come twice, in reverse order, and truncated", injections.frames),
    Scenario(
        "clock-behind",
        "the venue's clock is two minutes behind ours, trades come late",
        injections.late,
        market=("--unclean-hold", "0.5", "--skew", "-120"),
    ),
    Scenario(
        "clock-ahead",
        "the venue's clock is two minutes ahead of ours, trades come late",
        injections.late,
        market=("--unclean-hold", "0.5", "--skew", "120"),
    ),
    Scenario(
        "poison",
        "unreadable messages, NaN prices, and garbage on the stream",
        injections.poison,
        after=injections.garbage_kept,
    ),
    Scenario(
        "validate-killed",
        "validate is killed with a batch in hand, five times",
        injections.kill_busy(functions.VALIDATE.name, streams.CLEAN),
        live_s=35.0,
    ),
    Scenario(
        "aggregate-killed",
        "aggregate is killed with a batch in hand, five times",
        injections.kill_busy(functions.AGGREGATE.name, streams.BARS),
        live_s=35.0,
    ),
    Scenario(
        "shards-redelivered",
        "validate, aggregate and deliver read every shard again from its start",
        injections.redeliver,
    ),
    Scenario("shard-split", "shards of ticks and clean are split under load", injections.split),
    Scenario(
        "two-deliverers",
        "two deliverers read the same streams and write the same tables",
        injections.rival,
        injections.rival_delivered,
    ),
)
