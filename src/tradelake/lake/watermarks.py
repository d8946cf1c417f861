"""How far a table was written from each source: kept in its properties, in the rows' own commit.

**Why a bounded number of epochs neither loses nor doubles.** A source's last ``seq`` is kept for
the ``MOST_EPOCHS`` newest epochs; an epoch is a start or takeover of an ingester, so that is weeks.
A batch of an older epoch is taken as new, whatever its ``seq``: nothing is lost. If it was written
before, its rows have the identity of rows that are there, and are left out: nothing is doubled. The
watermark saves that look-up, and counts: rows that identity alone leaves out count as duplicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tradelake.decoding import json_decoder
from tradelake.stream.envelope import FINAL_WATERMARK, NO_WATERMARK, Batch

WATERMARK_PREFIX: Final = "tradelake.watermark."
MOST_EPOCHS: Final = 32


class Watermark(msgspec.Struct, frozen=True):
    """What a table holds of one source.

    Parameters
    ----------
    seqs : dict of int to int
        By epoch, the last ``seq`` up to which every record for this table is in it; of the
        ``MOST_EPOCHS`` newest.
    watermark_ns : int
        Event time up to which the table is whole, but for lateness and gaps: the largest watermark
        of the batches up to there, heartbeats included. ``NO_WATERMARK`` before the first.
    rows : int
        Rows written so far.
    duplicates : dict of str to int
        Rows left out so far, by ``"<channel> <symbol>"`` (see :func:`duplicate_key`).
    """

    seqs: dict[int, int] = {}
    watermark_ns: int = NO_WATERMARK
    rows: int = 0
    duplicates: dict[str, int] = {}

    def holds(self, epoch: int, seq: int) -> bool:
        """Whether the batch at (epoch, seq) and all before it are in the table."""
        return seq <= self.seqs.get(epoch, -1)

    def is_past(self, epoch: int, seq: int) -> bool:
        """Whether the batch at (epoch, seq) was read.

        Of an epoch older than all that are remembered it was: they came after it.
        """
        forgotten = len(self.seqs) >= MOST_EPOCHS and epoch < min(self.seqs)
        return forgotten or self.holds(epoch, seq)


def duplicate_key(channel: str, symbol: str) -> str:
    """Key under which a watermark counts duplicates."""
    return f"{channel} {symbol}"


def read_watermarks(properties: Mapping[str, str]) -> dict[str, Watermark]:
    """Return the watermarks in a table's properties by ``stream/source``."""
    return {
        key.removeprefix(WATERMARK_PREFIX): json_decoder(Watermark).decode(value)
        for key, value in properties.items()
        if key.startswith(WATERMARK_PREFIX)
    }


class Progress:
    """How far a source was read, while batches of it are gone through in their order.

    Parameters
    ----------
    mark : Watermark
        How far it was written.
    """

    def __init__(self, mark: Watermark) -> None:
        self._mark = mark
        self.seqs = dict(mark.seqs)
        self.watermark_ns = mark.watermark_ns

    def is_new(self, batch: Batch) -> bool:
        """Whether the batch was not seen; what it says of the source is taken in."""
        if batch.watermark_ns not in (NO_WATERMARK, FINAL_WATERMARK):
            self.watermark_ns = max(self.watermark_ns, batch.watermark_ns)
        if batch.seq <= self.seqs.get(batch.epoch, -1):
            return False
        self.seqs[batch.epoch] = batch.seq
        return True

    def is_stale(self, batch: Batch) -> bool:
        """Whether a newer epoch of the source than the batch's was seen."""
        return batch.epoch < max(self.seqs, default=-1)

    def gained_ns(self) -> int:
        """How far event time came since the source was written."""
        if self.watermark_ns == NO_WATERMARK:
            return 0
        return self.watermark_ns - self._mark.watermark_ns

    def advanced(self, rows: int, duplicates: Mapping[str, int]) -> Watermark:
        """Return the watermark after ``rows`` more, and so many duplicates by key."""
        total = dict(self._mark.duplicates)
        for key, count in duplicates.items():
            total[key] = total.get(key, 0) + count
        newest = sorted(self.seqs)[-MOST_EPOCHS:]
        seqs = {epoch: self.seqs[epoch] for epoch in newest}
        return Watermark(seqs, self.watermark_ns, self._mark.rows + rows, total)
