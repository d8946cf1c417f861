"""A venue's history, a ledger, a stream and a clock that do as told, and fail where told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tradelake.errors import Conflict
from tradelake.market.records import Record, channel_of
from tradelake.ports import Fence, Fill, Gap, Outgoing
from tradelake.stream.envelope import Batch, decode_batch


class ManualClock:
    def __init__(self, ns: int) -> None:
        self.ns = ns

    def now_ns(self) -> int:
        return self.ns


class Crash(Exception):
    """The process dies here."""


@dataclass
class Fuse:
    """Burns at the n-th step; -1: never."""

    left: int = -1

    def step(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1


@dataclass
class History:
    """Serves records in pages of a size, sorted as a venue sorts them."""

    records: list[Record]
    size: int
    fuse: Fuse = field(default_factory=Fuse)
    asked: list[tuple[str, tuple[str, ...], int, int]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def pages(
        self, channel: str, symbols: Sequence[str], start_ns: int, end_ns: int
    ) -> Iterator[list[Record]]:
        self.asked.append((channel, tuple(symbols), start_ns, end_ns))
        found = [
            record
            for record in self.records
            if channel_of(record) == channel
            and record.symbol in symbols
            and start_ns <= record.ts_event < end_ns
        ]
        found.sort(key=lambda record: (record.symbol, record.ts_event))
        for start in range(0, len(found), self.size):
            self.fuse.step()
            if self.errors:
                raise self.errors.pop(0)
            yield found[start : start + self.size]


@dataclass
class Ledger:
    kept: dict[tuple[str, int, str], Gap] = field(default_factory=dict)
    fuse: Fuse = field(default_factory=Fuse)
    notes: int = 0

    def record(self, gap: Gap) -> None:
        key = gap.key
        before = self.kept.get(key, gap)
        self.kept[key] = replace(gap, fill=before.fill)

    def note_fill(self, gap: Gap, fill: Fill) -> None:
        self.fuse.step()
        key = gap.key
        if key not in self.kept or self.kept[key].fill != gap.fill:
            raise Conflict("the fill is another")
        self.kept[key] = replace(self.kept[key], fill=fill)
        self.notes += 1
        self.fuse.step()

    def gaps(self) -> list[Gap]:
        return sorted(self.kept.values(), key=lambda gap: (gap.opened_ns, gap.venue, gap.cause))


@dataclass
class Epochs:
    last: int = 0

    def next_fence(self, name: str) -> Fence:
        assert name == "backfill/us"
        self.last += 1
        return Fence(self.last, None)

    def note_durable(self, name: str, epoch: int, durable_ns: int | None) -> None:
        raise AssertionError("a backfill has nothing durable to note")


@dataclass
class Stream:
    fuse: Fuse = field(default_factory=Fuse)
    batches: list[Batch] = field(default_factory=list)

    def put(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            self.fuse.step()
            batch = decode_batch(record.data)
            assert record.key == str(batch.bucket)
            self.batches.append(batch)
        self.fuse.step()

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch.records]
