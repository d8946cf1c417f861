"""The local event-source mapping: polls a stream's shards and hands a function real Kinesis events.

One thread a shard and one invocation in flight a shard, so order holds per shard;
``parallelization`` of a trigger is not used. A child shard is read when its parents are read out.
Delivery is at least once: the checkpoint follows the success.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from tradelake.errors import TradelakeError
from tradelake.local import mapping_rules as rules
from tradelake.local.mapping_reader import GiveUp, Invoke, ReaderParts, ShardReader, StreamPoll
from tradelake.local.mapping_state import Checkpoints, MappingStatus, summarise
from tradelake.topology.functions import StreamTrigger

_DISCOVERY_S: Final = 2.0
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """A mapping.

    Parameters
    ----------
    name : str
        Identifies its checkpoints.
    stream : str
        Physical name of the stream.
    policy : rules.Policy
        Batches, retries, bisection.
    function_arn, role_arn, region : str
        What events and failure descriptions say.
    poll_wait_ms : int
        How long a stream server of our own may hold back an empty answer.
    seed : int
        For the jitter of pauses.
    """

    name: str
    stream: str
    policy: rules.Policy
    function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:local"
    role_arn: str = "arn:aws:iam::123456789012:role/local"
    region: str = "us-east-1"
    poll_wait_ms: int = 250
    seed: int = 0


def policy_of(trigger: StreamTrigger, window_cap_s: float) -> rules.Policy:
    """Return the policy of a trigger, its window cut to ``window_cap_s``."""
    return rules.Policy(
        batch_size=trigger.batch_size,
        window_s=min(trigger.window_s, window_cap_s),
        bisect=trigger.bisect,
        retries=trigger.retries,
        max_age_s=trigger.stream.retention_hours * _HOUR_S,
    )


class EventSourceMapping:
    """Feeds one function from one stream.

    Parameters
    ----------
    options : MappingOptions
        What to read and how.
    client : boto3 Kinesis client
        One of this mapping's own: a hook for long polling is put on it.
    make_invoke : callable
        Makes an execution environment of the function; called once a shard, in the shard's thread.
    checkpoints : Checkpoints
        Where progress is kept.
    give_up : callable
        The on-failure destination.
    """

    def __init__(
        self,
        options: MappingOptions,
        client: Any,  # noqa: ANN401 - boto3 clients have no static type
        make_invoke: Callable[[], Invoke],
        checkpoints: Checkpoints,
        give_up: GiveUp,
    ) -> None:
        self._options = options
        self._checkpoints = checkpoints
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._parts = ReaderParts(
            poll=StreamPoll(client, options.stream),
            checkpoints=checkpoints,
            make_invoke=make_invoke,
            give_up=give_up,
            ended=self._shard_ended,
            stop=self._stop,
            policy=options.policy,
            poll_wait_ms=options.poll_wait_ms,
            checkpoint_key="",
            random=random.Random(options.seed),
        )
        self._readers: dict[str, ShardReader] = {}
        self._threads: list[threading.Thread] = []
        self._ended: set[str] = set()
        self._ended_seen = -1
        self._error: str | None = None

    def start(self) -> None:
        """Start reading."""
        self._spawn(self._discover_for_ever, "discovery")

    def stop(self) -> None:
        """Ask the readers to stop after the batch in hand."""
        self._stop.set()
        self._wake.set()

    def join(self) -> None:
        """Wait until they have stopped."""
        while self._threads:
            self._threads.pop(0).join()

    def status(self) -> MappingStatus:
        """Return the counters as they are now."""
        shards = [reader.status for reader in list(self._readers.values())]
        discovered = self._ended_seen == len(self._ended)
        summary = summarise(self._options.name, self._options.stream, shards, discovered=discovered)
        return summary if self._error is None else replace(summary, last_error=self._error)

    def _discover_for_ever(self) -> None:
        arn = ""
        while not self._stop.is_set():
            ended = len(self._ended)
            try:
                if not arn:
                    arn, created = self._parts.poll.generation()
                    self._parts.checkpoint_key = f"{self._options.name}@{created}"
                self._start_readers(arn)
                self._ended_seen = ended
                self._error = None
            except TradelakeError as error:
                self._error = str(error)
            self._wake.wait(_DISCOVERY_S)
            self._wake.clear()

    def _start_readers(self, arn: str) -> None:
        known = self._checkpoints.load(self._parts.checkpoint_key)
        ended = {shard_id for shard_id, checkpoint in known.items() if checkpoint.ended}
        shards = self._parts.poll.shards()
        for shard_id in rules.readable(shards, ended):
            if shard_id in self._readers:
                continue
            options = self._options
            source = rules.Source(
                arn, shard_id, options.region, options.role_arn, options.function_arn
            )
            checkpoint = known.get(shard_id)
            after = checkpoint.sequence_number if checkpoint else None
            reader = ShardReader(self._parts, source, after)
            self._readers[shard_id] = reader
            self._spawn(reader.run, shard_id)

    def _shard_ended(self, shard_id: str) -> None:
        self._ended.add(shard_id)
        self._wake.set()

    def _spawn(self, target: Callable[[], None], what: str) -> None:
        thread = threading.Thread(target=target, name=f"{self._options.name}-{what}", daemon=True)
        self._threads.append(thread)
        thread.start()
