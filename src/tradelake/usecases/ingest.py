"""Stamping and micro-batching: records of a feed -> batches, one in flight per symbol bucket.

Pure: time is passed in. Who puts the batches says ``take``, and ``acknowledged`` when they are
durable; meanwhile what arrives for a bucket in flight gathers into its next, larger batch. So order
per bucket needs no promise of the stream, and a slow stream makes batches large rather than many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradelake.feed.subscription import EVERY_SYMBOL
from tradelake.market.records import (
    Bar,
    BookSnapshot,
    BookUpdate,
    Derived,
    Instrument,
    Quote,
    Record,
    Rejected,
    Trade,
    Unreadable,
    channel_of,
)
from tradelake.market.symbols import bucket_of
from tradelake.stream.envelope import (
    FINAL_WATERMARK,
    NO_WATERMARK,
    Batch,
    Lane,
    encode_record,
)
from tradelake.usecases.watermark import Watermark

SECOND_NS: Final = 1_000_000_000
_KNOWN_SYMBOLS: Final = 20_000
_REJECTION_BYTES: Final = 512
"""What a reject adds to the record it holds: rule, reason and the fields it repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """When a batch is due, and how large it may be.

    Parameters
    ----------
    linger_ns : int
        A record waits no longer for company.
    heartbeat_ns : int
        A bucket is silent no longer; an empty batch then carries the watermark.
    max_records, max_bytes : int
        Bounds of one batch; bytes are estimated before compression, and as if every record were
        rejected, so that what quarantine gets of the batch fits into a Kinesis record too.
    max_in_hand : int
        Records held, waiting or in flight, above which the feed must not be read.
    """

    linger_ns: int = 5_000_000
    heartbeat_ns: int = SECOND_NS
    max_records: int = 5_000
    max_bytes: int = 960 * 1024
    max_in_hand: int = 200_000


@dataclass(slots=True)
class _Chunk:
    records: list[Record]
    size: int
    received_ns: int
    watermark_ns: int
    torn_until_ns: int = NO_WATERMARK


@dataclass(slots=True)
class _Bucket:
    seq: int = 0
    said_ns: int = 0
    in_flight: int | None = None
    in_flight_since_ns: int | None = None
    torn_until_ns: int = NO_WATERMARK
    seam_ns: int = NO_WATERMARK
    chunks: deque[_Chunk] = field(default_factory=deque)


class Batcher:
    """Stamps micro-batches with (lane, epoch, bucket, seq) and a watermark.

    Parameters
    ----------
    venue, epoch, lane, origin
        Part of every stamp.
    buckets : int
        Symbol buckets.
    limits : BatchLimits
        When a batch is due, and how large it may be.
    """

    def __init__(
        self,
        venue: str,
        epoch: int,
        buckets: int,
        limits: BatchLimits,
        lane: Lane = "live",
        origin: str = "",
    ) -> None:
        self.watermark = Watermark()
        self.in_hand = 0
        self._origin = origin
        self._venue, self._epoch, self._lane = venue, epoch, lane
        self._limits = limits
        self._buckets = [_Bucket() for _ in range(buckets)]
        self._places: dict[str, tuple[int, int]] = {}
        self._after_ns = NO_WATERMARK

    @property
    def owner(self) -> str:
        """Whose batches these are: ``us``, ``us~b``."""
        return f"{self._venue}~{self._origin}" if self._origin else self._venue

    @property
    def full(self) -> bool:
        """Whether so much is in hand that nothing more must be read."""
        return self.in_hand >= self._limits.max_in_hand

    def add(self, records: Sequence[Record], now_ns: int) -> None:
        """Take in the records of one frame, received at ``now_ns``."""
        before_ns = self.watermark.at(now_ns)
        self.watermark.observe(records, now_ns)
        max_bytes, places = self._limits.max_bytes, self._places
        for record in records:
            index, size = places.get(record.symbol) or self._place_of(record.symbol)
            if type(record) is not Quote and type(record) is not Trade:
                size = estimated_size(record)
            elif record.flags:
                size += _bytes_of(record.flags)
            if size <= max_bytes:
                self._append(index, record, size, now_ns, before_ns)
                continue
            for piece in cut_oversize(record, max_bytes):
                index, _ = self._place_of(piece.symbol)
                self._append(index, piece, estimated_size(piece), now_ns, before_ns)
        self._after_ns = self.watermark.at(now_ns)

    def take(
        self, now_ns: int, among: Collection[int] | None = None, *, flush: bool = False
    ) -> list[Batch]:
        """Return the batches that are due, at most one a bucket, and count them as in flight.

        When one that holds records is due, all that wait go with it: one request carries them.

        Parameters
        ----------
        now_ns : int
            The time.
        among : collection of int or None
            Buckets to look at; None: all.
        flush : bool
            Whatever waits is due.
        """
        batches = []
        indices = range(len(self._buckets)) if among is None else among
        free = [(i, self._buckets[i]) for i in indices if self._buckets[i].in_flight is None]
        linger_ns = self._limits.linger_ns
        together = flush or any(
            bucket.chunks and bucket.chunks[0].received_ns + linger_ns <= now_ns
            for _, bucket in free
        )
        for index, bucket in free:
            if (together and bucket.chunks) or flush or self._due_ns(bucket) <= now_ns:
                batch = self._next(index, bucket, now_ns, heartbeat=not flush)
                if batch is not None:
                    batches.append(batch)
        return batches

    def tear(self, symbols: Collection[str], now_ns: int) -> None:
        """Say with the next batch that until now data of these symbols may be missing.

        ``*`` is every symbol. Nothing is said before the first record. Where records of before
        wait, those that come later go in another batch, which says it again: whoever folds records
        in their order must know between which two of them something is missing.
        """
        torn_until_ns = self.watermark.event_time(now_ns)
        if EVERY_SYMBOL in symbols:
            torn = self._buckets
        else:
            torn = [self._buckets[self._place_of(symbol)[0]] for symbol in symbols]
        for bucket in torn:
            bucket.torn_until_ns = max(bucket.torn_until_ns, torn_until_ns)
            if bucket.chunks:
                bucket.seam_ns = bucket.torn_until_ns

    def final(self, now_ns: int, among: Collection[int] | None = None) -> list[Batch]:
        """Return a last heartbeat of every bucket that says: nothing more comes, ever."""
        indices = range(len(self._buckets)) if among is None else among
        return [self._stamp(i, self._buckets[i], [], FINAL_WATERMARK, now_ns) for i in indices]

    def acknowledged(self, batches: Iterable[Batch]) -> None:
        """Report that batches are durable: their buckets are free for the next."""
        for batch in batches:
            bucket = self._buckets[batch.bucket]
            if bucket.in_flight != batch.seq:
                raise ValueError(
                    f"{batch.source_key}: {batch.seq} acknowledged, {bucket.in_flight} in flight"
                )
            bucket.in_flight = bucket.in_flight_since_ns = None
            self.in_hand -= len(batch.records)

    def next_due_ns(self, among: Collection[int] | None = None) -> int | None:
        """When the next batch of a free bucket is due, ns since 1970 UTC; None: all in flight."""
        indices = range(len(self._buckets)) if among is None else among
        free = [self._buckets[i] for i in indices if self._buckets[i].in_flight is None]
        return min((self._due_ns(bucket) for bucket in free), default=None)

    def oldest_ns(self) -> int | None:
        """When the oldest record in hand was received, ns since 1970 UTC; None: nothing in hand."""
        oldest = [b.in_flight_since_ns for b in self._buckets if b.in_flight_since_ns is not None]
        oldest += [bucket.chunks[0].received_ns for bucket in self._buckets if bucket.chunks]
        return min(oldest, default=None)

    def waiting(self) -> bool:
        """Whether a free bucket has records."""
        return any(bucket.chunks and bucket.in_flight is None for bucket in self._buckets)

    def _due_ns(self, bucket: _Bucket) -> int:
        if bucket.chunks:
            return bucket.chunks[0].received_ns + self._limits.linger_ns
        return bucket.said_ns + self._limits.heartbeat_ns

    def _next(self, index: int, bucket: _Bucket, now_ns: int, *, heartbeat: bool) -> Batch | None:
        records: list[Record] = []
        size = 0
        since_ns = bucket.chunks[0].received_ns if bucket.chunks else None
        watermark_ns = self.watermark.at(now_ns)
        while bucket.chunks:
            chunk = bucket.chunks[0]
            torn = chunk.torn_until_ns != NO_WATERMARK
            room = len(records) + len(chunk.records) <= self._limits.max_records
            if records and (torn or not room or size + chunk.size > self._limits.max_bytes):
                break
            bucket.torn_until_ns = max(bucket.torn_until_ns, chunk.torn_until_ns)
            records += chunk.records
            size += chunk.size
            left_ns = chunk.watermark_ns
            bucket.chunks.popleft()
        if bucket.chunks:
            watermark_ns = left_ns
        if not records and (not heartbeat or watermark_ns == NO_WATERMARK):
            bucket.said_ns = now_ns
            return None
        batch = self._stamp(index, bucket, records, watermark_ns, now_ns)
        bucket.in_flight_since_ns = since_ns
        return batch

    def _stamp(
        self, index: int, bucket: _Bucket, records: list[Record], watermark_ns: int, now_ns: int
    ) -> Batch:
        if bucket.in_flight is not None:
            raise ValueError(f"bucket {index}: batch {bucket.in_flight} is still in flight")
        batch = Batch(
            self._lane,
            self._venue,
            self._epoch,
            index,
            bucket.seq,
            watermark_ns,
            records,
            self._origin,
            bucket.torn_until_ns,
        )
        bucket.torn_until_ns = NO_WATERMARK
        bucket.in_flight = bucket.seq
        bucket.seq += 1
        bucket.said_ns = now_ns
        return batch

    def _place_of(self, symbol: str) -> tuple[int, int]:
        """Return the bucket of a symbol and the size of a trade or quote of it."""
        place = self._places.get(symbol)
        if place is None:
            if len(self._places) >= _KNOWN_SYMBOLS:
                self._places.clear()
            place = (bucket_of(symbol, len(self._buckets)), _tick_size(symbol))
            self._places[symbol] = place
        return place

    def _append(
        self, index: int, record: Record, size: int, now_ns: int, watermark_ns: int
    ) -> None:
        bucket = self._buckets[index]
        chunks, seam_ns = bucket.chunks, bucket.seam_ns
        self.in_hand += 1
        if chunks:
            last = chunks[-1]
            if (
                seam_ns == NO_WATERMARK
                and last.size + size <= self._limits.max_bytes
                and len(last.records) < self._limits.max_records
            ):
                last.records.append(record)
                last.size += size
                return
            # a batch that ends here must not say more than was known before what it leaves
            last.watermark_ns = max(last.watermark_ns, self._after_ns)
        chunks.append(_Chunk([record], size, now_ns, watermark_ns, seam_ns))
        bucket.seam_ns = NO_WATERMARK


def estimated_size(record: Record) -> int:
    """Bytes a record takes in a batch at most, passed or rejected, before compression."""
    if isinstance(record, Unreadable | Rejected):
        return 96 + 4 * len(record.symbol) + len(record.raw) + _bytes_of(record.reason)
    size = _tick_size(record.symbol) + _bytes_of(record.flags)
    if isinstance(record, Bar):
        return size + 80
    if isinstance(record, BookUpdate | BookSnapshot):
        return size + 19 * (len(record.bids) + len(record.asks))
    if isinstance(record, Instrument):
        texts = (record.min_order_size, record.min_trade_increment, record.price_increment)
        return size + sum(map(_bytes_of, (*texts, record.status, record.renamed_to)))
    if isinstance(record, Derived):
        return size + _bytes_of(record.fields) + _bytes_of(record.transform)
    return size


def _tick_size(symbol: str) -> int:
    return 96 + _REJECTION_BYTES + 20 * len(symbol)


def _bytes_of(text: str) -> int:
    return 4 * len(text)


def cut_oversize(record: Record, max_bytes: int) -> Iterator[Unreadable]:
    """Cut a record no batch can carry into ``Unreadable`` pieces; joined they are all its bytes."""
    if isinstance(record, Unreadable):
        raw, why = record.raw, record.reason[:200]
    else:
        raw, why = encode_record(record), "the record as a batch encodes it"
    step = max(1, max_bytes - 2_048)
    pieces = range(0, len(raw), step)
    for number, start in enumerate(pieces, 1):
        reason = f"oversize: piece {number} of {len(pieces)} of {len(raw)} bytes: {why}"
        yield Unreadable(
            record.symbol[:32],
            record.ts_ingest,
            channel_of(record),
            reason,
            raw[start : start + step],
        )
