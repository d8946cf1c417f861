"""The account of what was written to clients: counts, and the journal where one is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tradelake.exchange.journal import Journal, Kind, Outcome
from tradelake.exchange.publication import Message


class Ledger:
    """Counts messages written to the sockets of subscribed clients, per channel and symbol.

    Parameters
    ----------
    journal : Journal, optional
        Is told of every message, written or not.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._sent: Counter[tuple[str, str]] = Counter()
        self._duplicated: Counter[tuple[str, str]] = Counter()
        self._journal = journal

    def published(self, messages: Sequence[Message], now_ns: int, kind: Kind = Kind.MARKET) -> None:
        """Note messages that are published at ``now_ns``, before anybody is sent them."""
        if self._journal is None:
            return
        numbers = self._journal.published(
            now_ns, kind, [one.key[0] for one in messages], [one.record for one in messages]
        )
        for message, number in zip(messages, numbers, strict=True):
            message.number = number

    def became(self, messages: Sequence[Message], connection: int, outcome: Outcome) -> None:
        """Note what became of messages on a connection; those written are counted."""
        if outcome <= Outcome.REPEATED:
            self.sent((one.key for one in messages), repeated=outcome is Outcome.REPEATED)
        if self._journal is not None and messages:
            self._journal.written(connection, outcome, [one.number for one in messages])

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

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()


def _table(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for (channel, symbol), count in sorted(counts.items()):
        table.setdefault(channel, {})[symbol] = count
    return table
