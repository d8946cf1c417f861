"""What a term of leadership tells its successor: gaps, and how far it came.

A leader that was replaced goes on for a moment before it knows. Whoever replaced it has read the
ledger by then, and opened a gap where the replaced one was last known to be whole. So a replaced
leader must neither say that it ended in order, which would move that instant, nor leave a gap open
that nobody is going to close.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

from tradelake.ports import OPEN, Clock, Fill, Gap, GapLedger


class Reign:
    """A ``GapLedger`` for one term, and the term's note of what is durable.

    Parameters
    ----------
    ledger : GapLedger
        Where gaps go.
    note_durable : callable
        Keeps until when all is durable; None: the term ended in order.
    clock : Clock
        The time.
    leads : callable
        Whether the term still has the lease.
    """

    def __init__(
        self,
        ledger: GapLedger,
        note_durable: Callable[[int | None], None],
        clock: Clock,
        leads: Callable[[], bool],
    ) -> None:
        self._ledger, self._note, self._clock, self._leads = ledger, note_durable, clock, leads
        self._open: dict[Hashable, Gap] = {}

    def record(self, gap: Gap) -> None:
        """Write a gap; as :meth:`tradelake.ports.GapLedger.record`."""
        self._ledger.record(gap)
        if gap.closed_ns == OPEN:
            self._open[gap.key] = gap
        else:
            self._open.pop(gap.key, None)

    def gaps(self) -> list[Gap]:
        """Every gap of the ledger."""
        return self._ledger.gaps()

    def note_fill(self, gap: Gap, fill: Fill) -> None:
        """Pass the fill on; as :meth:`tradelake.ports.GapLedger.note_fill`."""
        self._ledger.note_fill(gap, fill)

    def note_durable(self, durable_ns: int | None) -> None:
        """Keep until when all is durable; an end in order only of a term that still leads."""
        if durable_ns is not None or self._leads():
            self._note(durable_ns)

    def abandon(self) -> None:
        """Close what this term left open, when it was replaced; nothing while it leads.

        Whatever was missing until the successor subscribed is inside the successor's own gap.

        Raises
        ------
        Transient, Fatal
            The ledger does not take it.
        """
        if self._leads():
            return
        now_ns = self._clock.now_ns()
        for gap in list(self._open.values()):
            self.record(replace(gap, closed_ns=max(now_ns, gap.opened_ns)))
