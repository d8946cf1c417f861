"""Load historical bars over REST into the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from tradelake.market.channels import HISTORY
from tradelake.market.records import Bar
from tradelake.market.symbols import bucket_of
from tradelake.ports import Clock, LakeWriter, MarketHistory
from tradelake.stream.envelope import NO_WATERMARK, Batch
from tradelake.topology import streams
from tradelake.usecases.validate import divide_batch

COMMIT_ROWS: Final = 100_000
"""Rows a commit: large files and few snapshots."""


class Loaded(msgspec.Struct, kw_only=True):
    """Counts of one load: bars served by the venue by symbol, and what became of them."""

    served: dict[str, int] = msgspec.field(default_factory=dict)
    rows: int = 0
    duplicates: int = 0
    quarantined: int = 0


class HistoryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars to load: ``start_ns <= ts_event < end_ns``, ns since 1970 UTC."""

    venue: str
    symbols: tuple[str, ...]
    timeframe: str
    start_ns: int
    end_ns: int


def load_history(
    request: HistoryRequest,
    history: MarketHistory,
    lake: LakeWriter,
    clock: Clock,
    progress: Callable[[Loaded], None],
) -> Loaded:
    """Append bars page by page, with the same quality rules as the stream; returns counts.

    Loading again changes nothing: bars that are there already are counted as duplicates.

    Parameters
    ----------
    request : HistoryRequest
        Which bars.
    history : MarketHistory
        Where they come from.
    lake : LakeWriter
        Where they go, a commit per ``COMMIT_ROWS``.
    clock : Clock
        Stamps the load: its start is the epoch of the batches, so a later load is never stale.
    progress : callable
        Called after every commit.
    """
    loaded = Loaded()
    served: Counter[str] = Counter()
    stamps = _Stamps(request.venue, clock.now_ns())
    for bars in _chunks(history, request):
        served.update(bar.symbol for bar in bars)
        loaded.served = dict(served)
        passed, rejected = [], []
        for batch in stamps.batches(bars):
            clean, rejects, _ = divide_batch(batch)
            passed.append(clean)
            rejected.append(rejects)
            loaded.quarantined += len(rejects.records)
        # Apart: both carry the stamps of the same batches, and a stamp counts once in a delivery.
        for batches in (passed, rejected):
            for delivery in lake.deliver(HISTORY, batches).values():
                loaded.rows += delivery.rows
                loaded.duplicates += delivery.duplicates
        progress(loaded)
    loaded.rows -= loaded.quarantined
    return loaded


class _Stamps:
    def __init__(self, venue: str, epoch: int) -> None:
        self._venue = venue
        self._epoch = epoch
        self._next: Counter[int] = Counter()

    def batches(self, bars: Sequence[Bar]) -> Iterator[Batch]:
        by_bucket: dict[int, list[Bar]] = {}
        for bar in bars:
            by_bucket.setdefault(bucket_of(bar.symbol, streams.BUCKETS), []).append(bar)
        for bucket, records in by_bucket.items():
            yield Batch(
                "history",
                self._venue,
                self._epoch,
                bucket,
                self._next[bucket],
                NO_WATERMARK,
                list(records),
            )
            self._next[bucket] += 1


def _chunks(history: MarketHistory, request: HistoryRequest) -> Iterator[list[Bar]]:
    waiting: list[Bar] = []
    pages = history.bars(request.symbols, request.timeframe, request.start_ns, request.end_ns)
    for page in pages:
        waiting.extend(page)
        if len(waiting) >= COMMIT_ROWS:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
