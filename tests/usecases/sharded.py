"""A Kinesis in memory that is resharded while it is read, and a lake with the real guards."""

import zlib
from collections.abc import Callable, Sequence

from tests.functions.kinesis import FIRST_SEQUENCE, NEXT_RECORD
from tradelake.errors import Transient
from tradelake.lake.rows import rows_by_batch, table_of
from tradelake.lake.watermarks import Progress, Watermark
from tradelake.ports import Delivery, Outgoing, Received
from tradelake.stream.envelope import Batch
from tradelake.topology.tables import TABLES
from tradelake.usecases.unreadable import has_own_stamp

HASHES = 2**16


class Crash(Exception):
    """The process dies here."""


class Shard:
    """A range of hashes, its records, and the shards it was made of."""

    def __init__(self, low: int, high: int, parents: Sequence["Shard"] = ()) -> None:
        self.low, self.high, self.parents = low, high, tuple(parents)
        self.records: list[Received] = []
        self.open = True


class ShardedStream:
    """A StreamWriter that can be resharded and told to refuse a put after a part of it."""

    def __init__(self) -> None:
        self.shards = [Shard(0, HASHES // 2), Shard(HASHES // 2, HASHES)]
        self.refuse_after: int | None = None
        self._count = 0

    def put(self, records: Sequence[Outgoing]) -> None:
        after, self.refuse_after = self.refuse_after, None
        for index, record in enumerate(records):
            if index == after:
                raise Transient("the stream refused")
            at = zlib.crc32(record.key.encode()) % HASHES
            shard = next(one for one in self.shards if one.open and one.low <= at < one.high)
            number = str(FIRST_SEQUENCE + self._count * NEXT_RECORD)
            shard.records.append(Received(number, record.key, record.data))
            self._count += 1

    def split(self, which: int) -> None:
        shards = [one for one in self.shards if one.open and one.high - one.low > 1]
        parent = shards[which % len(shards)]
        middle = (parent.low + parent.high) // 2
        parent.open = False
        self.shards += [
            Shard(parent.low, middle, [parent]),
            Shard(middle, parent.high, [parent]),
        ]

    def merge(self, which: int) -> None:
        shards = sorted((one for one in self.shards if one.open), key=lambda one: one.low)
        if len(shards) < 2:
            return
        at = which % (len(shards) - 1)
        left, right = shards[at : at + 2]
        left.open = right.open = False
        self.shards.append(Shard(left.low, right.high, [left, right]))


class Mapping:
    """Hands a function a stream's records: in order by shard, a child after its parents."""

    def __init__(
        self, stream: ShardedStream, work: Callable[[Sequence[Received]], int | None]
    ) -> None:
        self.stream, self.work = stream, work
        self._done: dict[Shard, int] = {}

    def step(self, which: int, size: int) -> bool:
        """One invocation; False when there is nothing to read."""
        shards = [one for one in self.stream.shards if self._is_readable(one)]
        if not shards:
            return False
        shard = shards[which % len(shards)]
        start = self._done.get(shard, 0)
        records = shard.records[start : start + size]
        try:
            failed = self.work(records)
        except Crash:
            failed = 0
        self._done[shard] = start + (len(records) if failed is None else failed)
        return True

    def replay(self, which: int) -> None:
        """Begin a shard anew, as if nothing of it had been answered for."""
        self._done[self.stream.shards[which % len(self.stream.shards)]] = 0

    def seen_from_the_start(self, which: int, size: int) -> list[Received]:
        """First records of a shard that may be read: what a slow invocation may still hold."""
        shards = [one for one in self.stream.shards if all(map(self._is_read_out, one.parents))]
        return shards[which % len(shards)].records[:size]

    def _is_readable(self, shard: Shard) -> bool:
        return not self._is_read_out(shard) and all(map(self._is_read_out, shard.parents))

    def _is_read_out(self, shard: Shard) -> bool:
        return self._done.get(shard, 0) == len(shard.records)


class LakeInMemory:
    """A LakeWriter with the guards of the real one; ``before_commit`` runs once, as a rival."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple, dict]] = {}
        self.marks: dict[tuple[str, str], Watermark] = {}
        self.before_commit: Callable[[], None] | None = None
        self.crash_after: int | None = None

    def deliver(self, stream: str, batches: Sequence[Batch]) -> dict[str, Delivery]:
        if self.before_commit is not None:
            rival, self.before_commit = self.before_commit, None
            rival()
        kinds = {table_of(record).name for batch in batches for record in batch.records}
        done = {}
        for table in TABLES:
            if table.name in kinds:
                if self.crash_after == 0:
                    self.crash_after = None
                    raise Crash
                if self.crash_after is not None:
                    self.crash_after -= 1
                done[table.name] = self._append(table, stream, batches)
        return done

    def _append(self, table, stream: str, batches: Sequence[Batch]) -> Delivery:
        progress: dict[str, Progress] = {}
        new = []
        for batch in batches:
            if has_own_stamp(batch):
                source = f"{stream}/{batch.source_key}"
                mark = self.marks.get((table.name, source), Watermark())
                if not progress.setdefault(source, Progress(mark)).is_new(batch):
                    continue
            new.append(batch)
        stored = self.rows.setdefault(table.name, {})
        before = len(stored)
        rows = rows_by_batch(table, new)[0].to_pylist()
        for row in rows:
            stored.setdefault(tuple(row[name] for name in table.identity), row)
        for source, one in progress.items():
            self.marks[table.name, source] = one.advanced(0, {})
        added = len(stored) - before
        return Delivery(added, len(rows) - added, len(batches) - len(new))
