"""The ingester as a whole: a candidate for the lease, and what it does while it leads."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec

from tradelake.errors import Transient
from tradelake.ports import Fence
from tradelake.usecases.intake import Feed, Intake
from tradelake.usecases.keep_books import BookKeeper
from tradelake.usecases.lead import Candidate
from tradelake.usecases.publish import Publisher
from tradelake.usecases.reign import Reign
from tradelake.usecases.run_ingester import run_ingester
from tradelake.usecases.tap import Tap
from tradelake.usecases.watch_universe import UniverseWatch

STANDBY: Final = "standby"
_ALARMING: Final = ("halted", "delisted", "renamed")
_COUNTED: Final = (
    "acknowledged_batches",
    "acknowledged_records",
    "retries",
    "throttled",
    "spooled_batches",
    "times_full",
    "gaps",
)


@dataclass(frozen=True, slots=True)
class Term:
    """Everything of one term of leadership, wired to each other; made anew for each."""

    feed: Feed
    intake: Intake
    publisher: Publisher
    books: BookKeeper | None
    universe: UniverseWatch | None
    reign: Reign


class Ingester:
    """Leads while it has the lease, stands by while it has not.

    Parameters
    ----------
    make_term : callable
        Wires a term for a fence and what tells whether it still leads; called in a thread, because
        it asks AWS.
    stand : callable
        Makes the candidate that calls back with a fence.
    tap : Tap
        Outlives terms: its subscribers stay.
    """

    def __init__(
        self,
        make_term: Callable[[Fence, Callable[[], bool]], Term],
        stand: Callable[[Callable[[Fence, asyncio.Event], Awaitable[None]]], Candidate],
        tap: Tap,
    ) -> None:
        self._make_term = make_term
        self._candidate = stand(self._lead)
        self._tap = tap
        self._term: Term | None = None
        self._events = 0
        self._earlier: Counter[str] = Counter()
        self._earlier_received: Counter[str] = Counter()
        self._asked: asyncio.Event | None = None
        self._ended = False

    async def run(self, stop: asyncio.Event) -> None:
        """Stand for the lease and lead, until ``stop`` is set and nothing is in hand.

        Raises
        ------
        TradelakeError
            The venue, the stream or the lease's store refuses for good.
        """
        self._asked = stop
        try:
            await self._candidate.run(stop)
        finally:
            self._ended = True

    async def _lead(self, fence: Fence, stop: asyncio.Event) -> None:
        term = await asyncio.to_thread(self._make_term, fence, self._leads)
        self._remember(self._term)
        self._term = term
        renouncing = asyncio.create_task(self._renounce(term, stop))
        try:
            await self._run(term, stop)
        finally:
            renouncing.cancel()
            # A gap that cannot be closed now is closed by whoever leads next.
            with contextlib.suppress(Transient):
                await asyncio.to_thread(term.reign.abandon)

    async def _renounce(self, term: Term, stop: asyncio.Event) -> None:
        """A term that ends because the lease is lost is not the end of time; first to know."""
        await stop.wait()
        if self._asked is None or not self._asked.is_set():
            term.intake.final = False

    def _remember(self, term: Term | None) -> None:
        """Keep the counts of a term that ended: they are told as this process's."""
        if term is not None:
            status = term.intake.status()
            self._earlier.update({name: getattr(status, name) for name in _COUNTED})
            self._earlier_received.update(status.received)

    def _leads(self) -> bool:
        return self._candidate.leadership.leads

    @staticmethod
    async def _run(term: Term, stop: asyncio.Event) -> None:
        if term.universe is None:
            await run_ingester(term.feed, term.intake, term.publisher, stop)
            return
        ended = asyncio.Event()
        watching = asyncio.create_task(term.universe.run(term.intake.add, term.feed.request, ended))
        # It returns when told, and only then: if it fails, the term ends in order and says why.
        watching.add_done_callback(lambda _: stop.set())
        try:
            await run_ingester(term.feed, term.intake, term.publisher, stop)
        finally:
            ended.set()
            await watching

    def status(self) -> dict[str, Any]:
        """How it is: the term's status, and who leads; of the last term while it stands by."""
        return self._told(None if self._term is None else self._term.intake.status())

    def report(self) -> dict[str, Any]:
        """How it is and what it did since it was asked before; for its one log."""
        told = self._told(None if self._term is None else self._term.intake.report())
        before, self._events = self._events, told["universe_changes"]
        told["universe_events"] = max(0, self._events - before)
        return told

    def _told(self, status: msgspec.Struct | None) -> dict[str, Any]:
        term, leadership = self._term, self._candidate.leadership
        told: dict[str, Any] = {} if status is None else msgspec.to_builtins(status)
        if told:
            told |= {name: told[name] + self._earlier[name] for name in _COUNTED}
            told["received"] = dict(self._earlier_received + Counter(told["received"]))
        if not self._ended and not leadership.leads:
            told["state"] = STANDBY
        told.setdefault("state", "stopped")
        books = None if term is None or term.books is None else term.books.counts()
        universe = None if term is None or term.universe is None else term.universe.status()
        events = {} if universe is None else universe.events
        return {
            **told,
            **asdict(leadership),
            "tap_subscribers": self._tap.subscribers,
            "tap_missed": self._tap.missed,
            "books": None if books is None else msgspec.to_builtins(books),
            "universe": None if universe is None else msgspec.to_builtins(universe),
            "universe_changes": sum(events.get(kind, 0) for kind in _ALARMING),
        }
