"""The count of what was written to clients, per channel and symbol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class Ledger:
    """Counts messages written to the sockets of subscribed clients."""

    def __init__(self) -> None:
        self._sent: Counter[tuple[str, str]] = Counter()
        self._duplicated: Counter[tuple[str, str]] = Counter()

    def sent(self, keys: Iterable[tuple[str, str]], *, repeated: bool = False) -> None:
        """Note written messages by (channel, symbol); ``repeated`` when for the second time."""
        keys = list(keys)
        self._sent.update(keys)
        if repeated:
            self._duplicated.update(keys)

    def total(self) -> int:
        """All messages written, repeats included."""
        return self._sent.total()

    def table(self) -> dict[str, dict[str, int]]:
        """Messages written by channel and symbol, repeats included."""
        return _table(self._sent)

    def duplicates(self) -> dict[str, dict[str, int]]:
        """Messages that were written again on purpose."""
        return _table(self._duplicated)


def _table(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for (channel, symbol), count in sorted(counts.items()):
        table.setdefault(channel, {})[symbol] = count
    return table
