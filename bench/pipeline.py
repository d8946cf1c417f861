"""The pipeline's real work in one process, without sockets, for the benchmarks of it.

Time is made: recorded messages arrive at a rate, in frames, and every put is answered after a round
trip. So batches are as large as they would be, however long this machine takes.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import frames
from tradelake.adapters.aws.signing import Credential, Signer
from tradelake.errors import Conflict
from tradelake.exchange.wire import MsgpackCodec
from tradelake.feed.events import Records
from tradelake.feed.session import Session
from tradelake.feed.subscription import Credentials, Subscription
from tradelake.market.channels import CHANNELS
from tradelake.market.records import Bar, Record
from tradelake.market.timeframes import TIMEFRAMES, timeframe_ns
from tradelake.ports import Outgoing, Versioned
from tradelake.stream.aggregation import Rules
from tradelake.stream.envelope import Batch, encode_batch
from tradelake.stream.neighbours import Neighbours
from tradelake.stream.thresholds import DEFAULT_RULES
from tradelake.topology import streams
from tradelake.usecases.ingest import Batcher, BatchLimits

START_NS: Final = 1_760_000_040 * 1_000_000_000
ROUND_TRIP_NS: Final = 15_000_000
STEP_NS: Final = 1_000_000
PER_FRAME: Final = 20
RULES: Final = Rules(tuple(TIMEFRAMES), 2_000_000_000)
"""All seven timeframes, two seconds of lateness."""
_CREDENTIAL: Final = Credential("local", "local")
_HEADERS: Final = ("Kinesis_20131202.PutRecords", "application/x-amz-json-1.1")


def timed_frames(folder: Path | None, points: int, points_s: float) -> list[tuple[int, bytes]]:
    """Return frames with the time they arrive at; trades, quotes and books happen 1 ms before."""
    told = frames.records(folder, per_symbol=-(-points // frames.SYMBOLS))[:points]
    gap_ns = 1e9 / points_s
    stamped = [
        msgspec.structs.replace(one, ts_event=_instant(one, START_NS + int(at * gap_ns) + 1))
        for at, one in enumerate(told)
    ]
    arrivals = (START_NS + int((at + PER_FRAME) * gap_ns) for at in itertools.count(0, PER_FRAME))
    return list(zip(arrivals, frames.frames(stamped, PER_FRAME), strict=False))


def _instant(record: Record, ts_ns: int) -> int:
    """Return the instant, or where the bar that holds it opens."""
    if not isinstance(record, Bar):
        return ts_ns
    length_ns = timeframe_ns(record.timeframe)
    return ts_ns // length_ns * length_ns


class Ingester:
    """Session, neighbours, batcher, encoding, request and signature, as the ingester runs them."""

    def __init__(self) -> None:
        everything = Subscription(CHANNELS, ("*",))
        keys = Credentials("k", "s")
        self._session = Session(keys, everything, lambda: itertools.repeat(1.0))
        self._stage = Neighbours(DEFAULT_RULES.of_venue("us"))
        self._batcher = Batcher("us", 1, streams.BUCKETS, BatchLimits())
        self._signer = Signer("kinesis", "us-east-1", "http://127.0.0.1:4566")
        self.records: list[Outgoing] = []
        self.bytes = 0
        self.requests = 0
        codec = MsgpackCodec()
        self._session.connected(START_NS)
        for message in (
            {"T": "success", "msg": "connected"},
            {"T": "success", "msg": "authenticated"},
            {"T": "subscription", **{name: ["*"] for name in CHANNELS}},
        ):
            self._session.received(codec.control(message), START_NS)

    def run(self, arriving: Sequence[tuple[int, bytes]]) -> None:
        """Take every frame in at its time, and put what is due."""
        flying: list[tuple[int, list[Batch]]] = []
        now_ns = START_NS
        for arrival_ns, frame in arriving:
            while now_ns + STEP_NS < arrival_ns:
                now_ns += STEP_NS
                flying = self._turn(flying, now_ns)
            for event in self._session.received(frame, arrival_ns):
                if isinstance(event, Records):
                    self._batcher.add(self._stage.process(event.records, arrival_ns), arrival_ns)
        while self._batcher.in_hand:
            now_ns += STEP_NS
            flying = self._turn(flying, now_ns)

    def _turn(
        self, flying: list[tuple[int, list[Batch]]], now_ns: int
    ) -> list[tuple[int, list[Batch]]]:
        for answered_ns, batches in flying:
            if answered_ns <= now_ns:
                self._batcher.acknowledged(batches)
        flying = [one for one in flying if one[0] > now_ns]
        batches = self._batcher.take(now_ns)
        if batches:
            self._put([Outgoing(str(one.bucket), encode_batch(one)) for one in batches], now_ns)
            flying.append((now_ns + ROUND_TRIP_NS, batches))
        return flying

    def _put(self, outgoing: list[Outgoing], now_ns: int) -> None:
        entries = [{"Data": one.data, "PartitionKey": one.key} for one in outgoing]
        body = msgspec.json.encode({"StreamName": "ticks", "Records": entries})
        self._signer.headers(_CREDENTIAL, *_HEADERS, body, now_ns)
        self.records += outgoing
        self.bytes += sum(len(one.data) for one in outgoing)
        self.requests += 1


class Writer:
    """A stream that keeps what is put."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    def put(self, records: Sequence[Outgoing]) -> None:
        self.records += records


class States:
    """Aggregation states in memory, with versions."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Versioned] = {}
        self.saves = 0

    def load(self, consumer: str, key: str) -> Versioned | None:
        return self.kept.get((consumer, key))

    def save(self, consumer: str, key: str, value: bytes, expected_version: int) -> None:
        known = self.kept.get((consumer, key))
        if (0 if known is None else known.version) != expected_version:
            raise Conflict(f"{key}: {expected_version} was expected")
        self.kept[consumer, key] = Versioned(value, expected_version + 1)
        self.saves += 1


def events(records: Sequence[Outgoing], per_event: int) -> Iterator[dict[str, Any]]:
    """Cut records into events, as Lambda hands them to a function."""
    numbered = [
        {
            "kinesis": {
                "sequenceNumber": str(number),
                "partitionKey": one.key,
                "data": base64.b64encode(one.data).decode(),
                "approximateArrivalTimestamp": START_NS / 1e9,
            }
        }
        for number, one in enumerate(records)
    ]
    for at in range(0, len(numbered), per_event):
        yield {"Records": numbered[at : at + per_event]}
