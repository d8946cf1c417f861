"""Put quarantined records back onto the stream, after a decoder or a threshold was mended.

What a row holds is decoded by today's decoders and judged by today's rules. What passes goes to the
backfill stream with its own time of receipt, and so to the lake by the ordinary way; what the lake
has by now is not sent again. Rows of quarantine are never changed or removed: they are what
happened. So a replay may be repeated, and one that was cut short is finished by the next.

The batches are stamped with an origin of their own, ``replay``, and an epoch of their own, so no
reader takes them for the backfill of a gap. Records that a user's transform could not deal with are
left alone: they are stored already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from tradelake.errors import InvalidData
from tradelake.feed.decode import FrameDecoder
from tradelake.market.records import Record
from tradelake.market.symbols import bucket_of
from tradelake.ports import EpochStore, StreamWriter
from tradelake.stream.envelope import (
    NO_WATERMARK,
    VERSION,
    Batch,
    decode_batches,
    decode_record,
)
from tradelake.stream.quality import findings, first_reject
from tradelake.stream.quality_rules import TRANSFORM_RULE
from tradelake.stream.thresholds import QualityRules
from tradelake.topology import streams
from tradelake.usecases.bundles import Bundles
from tradelake.usecases.ingest import BatchLimits, estimated_size

ORIGIN: Final = "replay"
"""Origin of every batch of a replay."""
ROWS_A_STEP: Final = 2_000
"""Rows of quarantine dealt with at a time."""
_UNREADABLE: Final = "unreadable"
_TEXT_BEGINS: Final = b"{["


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of quarantine; an empty text and None: any. ``since_ns`` looks at the receipt."""

    rule: str = ""
    symbol: str = ""
    since_ns: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row of quarantine."""

    venue: str
    symbol: str
    channel: str
    ts_event: int
    ts_ingest: int
    rule: str
    reason: str
    raw: bytes
    lane: str
    epoch: int
    bucket: int
    seq: int
    position: int

    @property
    def key(self) -> str:
        """What names the row: ``venue/lane/epoch/bucket/seq/position``."""
        parts = (self.venue, self.lane, self.epoch, self.bucket, self.seq, self.position)
        return "/".join(map(str, parts))


class QuarantineLake(Protocol):
    """What a replay asks the lake."""

    def rows(self, selection: Selection) -> Iterable[Quarantined]:
        """Rows in the order of their receipt."""
        ...

    def are_new(self, venue: str, records: Sequence[Record]) -> list[bool]:
        """Whether each record is not in its table yet, nor earlier among ``records``.

        Raises
        ------
        InvalidData
            A record has no table or does not fit its columns.
        """
        ...


class Replayed(msgspec.Struct, kw_only=True):
    """What a replay did; counts of records but for ``rows`` and ``skipped``, which count rows.

    ``sent`` were new and went to the stream (or would have, on a dry run), ``stored`` are in the
    lake already, ``failing`` break a rule today as well, by rule, ``skipped`` are of transforms.
    """

    rows: int = 0
    sent: dict[str, int] = msgspec.field(default_factory=dict)
    stored: int = 0
    failing: dict[str, int] = msgspec.field(default_factory=dict)
    skipped: int = 0
    batches: int = 0
    epochs: dict[str, int] = msgspec.field(default_factory=dict)


def revive(row: Quarantined) -> list[tuple[str, Record]]:
    """Return the records that a row holds, each with its venue, as today's decoders read them.

    Raises
    ------
    InvalidData
        They cannot read it.
    """
    if row.raw[:1] == bytes((VERSION,)) and row.rule != _UNREADABLE:
        batches = decode_batches(row.raw)
        return [(batch.venue, record) for batch in batches for record in batch.records]
    if row.rule != _UNREADABLE:
        return [(row.venue, decode_record(row.raw))]
    decoded = FrameDecoder().decode(_frame(row.raw), row.ts_ingest)
    if not decoded.records:
        raise InvalidData(_UNREADABLE, "expected a message of market data")
    return [(row.venue, record) for record in decoded.records]


def _frame(raw: bytes) -> bytes | str:
    """Return a message, or a whole frame, as the frame that it came in or could have come in."""
    if raw[:1] and raw[:1] in _TEXT_BEGINS:
        text = raw.decode("utf-8", "surrogateescape")
        return text if text.startswith("[") else f"[{text}]"
    is_array = raw[:1] and (0x90 <= raw[0] <= 0x9F or raw[0] in (0xDC, 0xDD))
    return raw if is_array else b"\x91" + raw


class Replay:
    """Replays rows of quarantine.

    Parameters
    ----------
    lake : QuarantineLake
        Where rows come from.
    stream : StreamWriter
        The backfill stream.
    epochs : EpochStore
        Hands out an epoch for each venue that something is sent of.
    rules : QualityRules
        Today's thresholds.
    progress : callable
        Called with the counts after every step.
    """

    def __init__(
        self,
        lake: QuarantineLake,
        stream: StreamWriter,
        epochs: EpochStore,
        rules: QualityRules,
        progress: Callable[[Replayed], None] = lambda _: None,
    ) -> None:
        self._lake = lake
        self._stream = stream
        self._epochs = epochs
        self._rules = rules
        self._progress = progress
        self._limits = BatchLimits()

    def run(self, selection: Selection, *, dry_run: bool = False) -> Replayed:
        """Replay what is selected; on a dry run only say what would be sent.

        Raises
        ------
        Transient
            The stream or the lake does not answer; what was sent before is recognised next time.
        """
        outcome = Replayed()
        sent: Counter[str] = Counter()
        failing: Counter[str] = Counter()
        seqs: Counter[tuple[str, int]] = Counter()
        for rows in _chunks(self._lake.rows(selection)):
            outcome.rows += len(rows)
            for venue, records in self._passing(rows, outcome, failing).items():
                fresh = self._fresh(venue, records, outcome, failing)
                sent.update(row.rule for row, _ in fresh)
                if fresh and not dry_run:
                    self._send(venue, [record for _, record in fresh], outcome, seqs)
            outcome.sent, outcome.failing = dict(sent), dict(failing)
            self._progress(outcome)
        return outcome

    def _passing(
        self, rows: Sequence[Quarantined], outcome: Replayed, failing: Counter[str]
    ) -> Mapping[str, list[tuple[Quarantined, Record]]]:
        found: dict[str, list[tuple[Quarantined, Record]]] = {}
        for row in rows:
            if row.rule.startswith(TRANSFORM_RULE):
                outcome.skipped += 1
                continue
            try:
                revived = revive(row)
            except InvalidData as error:
                failing[error.rule] += 1
                continue
            for venue, record in revived:
                thresholds = self._rules.of_venue(venue)[record.symbol]
                reject = first_reject(findings(record, thresholds))
                if reject is None:
                    found.setdefault(venue, []).append((row, record))
                else:
                    failing[reject.rule] += 1
        return found

    def _fresh(
        self,
        venue: str,
        pairs: list[tuple[Quarantined, Record]],
        outcome: Replayed,
        failing: Counter[str],
    ) -> list[tuple[Quarantined, Record]]:
        try:
            new = self._lake.are_new(venue, [record for _, record in pairs])
        except InvalidData as error:
            if len(pairs) == 1:
                failing[error.rule] += 1
                return []
            half = len(pairs) // 2
            return [
                *self._fresh(venue, pairs[:half], outcome, failing),
                *self._fresh(venue, pairs[half:], outcome, failing),
            ]
        outcome.stored += new.count(False)
        return [pair for pair, is_new in zip(pairs, new, strict=True) if is_new]

    def _send(
        self,
        venue: str,
        records: Sequence[Record],
        outcome: Replayed,
        seqs: Counter[tuple[str, int]],
    ) -> None:
        if venue not in outcome.epochs:
            outcome.epochs[venue] = self._epochs.next_fence(f"{ORIGIN}/{venue}").epoch
        bundles = Bundles()
        for bucket, part in _parts(records, self._limits):
            seq = seqs[venue, bucket]
            bundles.add_batch(
                Batch(
                    "backfill",
                    venue,
                    outcome.epochs[venue],
                    bucket,
                    seq,
                    NO_WATERMARK,
                    part,
                    ORIGIN,
                )
            )
            seqs[venue, bucket] += 1
            outcome.batches += 1
        self._stream.put(bundles.outgoing())


def _parts(records: Sequence[Record], limits: BatchLimits) -> Iterator[tuple[int, list[Record]]]:
    by_bucket: dict[int, list[Record]] = {}
    for record in records:
        by_bucket.setdefault(bucket_of(record.symbol, streams.BUCKETS), []).append(record)
    for bucket, group in by_bucket.items():
        part: list[Record] = []
        size = 0
        for record in group:
            more = estimated_size(record)
            if part and (size + more > limits.max_bytes or len(part) >= limits.max_records):
                yield bucket, part
                part, size = [], 0
            part.append(record)
            size += more
        yield bucket, part


def _chunks(rows: Iterable[Quarantined]) -> Iterator[list[Quarantined]]:
    chunk: list[Quarantined] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == ROWS_A_STEP:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
