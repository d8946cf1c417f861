"""How far a source was read, epoch by epoch."""

from __future__ import annotations

from typing import Final

MOST_EPOCHS: Final = 64
NO_EPOCH: Final = -1


class Positions:
    """The last ``seq`` of each of the newest epochs.

    Epochs grow with every takeover; of an older one more batches may come (from a leader that does
    not know that it was replaced, or from a spool), so one position for all would skip them. Of
    epochs beyond ``MOST_EPOCHS`` nothing is known any more.

    Parameters
    ----------
    last : dict of int to int, optional
        ``seq`` by epoch.
    forgotten_epoch : int
        Greatest epoch of which the position was dropped.
    """

    __slots__ = ("forgotten_epoch", "last")

    def __init__(self, last: dict[int, int] | None = None, forgotten_epoch: int = NO_EPOCH) -> None:
        self.last: dict[int, int] = {} if last is None else last
        self.forgotten_epoch = forgotten_epoch

    @property
    def newest_epoch(self) -> int | None:
        """The greatest epoch read from, or None."""
        return max(self.last, default=None)

    def is_forgotten(self, epoch: int) -> bool:
        """Whether a batch of this epoch cannot be told from a repeat."""
        return epoch <= self.forgotten_epoch

    def is_repeat(self, epoch: int, seq: int) -> bool:
        """Whether this batch was read before."""
        return seq <= self.last.get(epoch, -1)

    def note(self, epoch: int, seq: int) -> None:
        """Keep that the batch was read; drop the oldest epoch where there are too many."""
        self.last[epoch] = seq
        if len(self.last) > MOST_EPOCHS:
            oldest = min(self.last)
            del self.last[oldest]
            self.forgotten_epoch = max(self.forgotten_epoch, oldest)
