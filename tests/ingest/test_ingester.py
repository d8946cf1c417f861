"""The ingester as a whole: what its terms leave in the ledger when they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from tests.functions.stores import StateInMemory
from tests.ingest.fakes import Ledger, Stream, SystemTime, no_wait
from tests.ingest.leading import POLICY, Evictor, Leases, scenario
from tradelake.errors import Transient
from tradelake.feed.events import STOP, GapOpened, Subscribed
from tradelake.feed.subscription import Subscription
from tradelake.feed.universe import Asset
from tradelake.market.channels import CHANNELS
from tradelake.ports import OPEN, Fence, Lease
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.ingester import Ingester, Term
from tradelake.usecases.intake import Intake
from tradelake.usecases.lead import Candidate
from tradelake.usecases.publish import Publisher
from tradelake.usecases.reign import Reign
from tradelake.usecases.tap import Tap
from tradelake.usecases.watch_universe import UniverseWatch


class Feed:
    """Is subscribed until it is asked to stop, and then no longer whole."""

    async def run(self, intake: Intake, stop: asyncio.Event) -> None:
        intake.take(Subscribed({}), SystemTime().now_ns())
        await stop.wait()
        now_ns = SystemTime().now_ns()
        intake.take(GapOpened(now_ns, CHANNELS, ("*",), STOP), now_ns)

    def request(self, change: object) -> None:
        raise AssertionError(f"nobody changes the subscription, found {change}")


class BrokenVenue:
    """Lists its assets until it is told to break in a way that nobody expects."""

    def __init__(self) -> None:
        self.broken = False

    def crypto_assets(self) -> list[Asset]:
        if self.broken:
            raise ZeroDivisionError("nobody expected this")
        return [Asset("1", "BTC/USD", "active", tradable=True)]


class House:
    """An ingester on a lease, a ledger and a stream in memory."""

    universe: UniverseWatch | None = None

    def __init__(self) -> None:
        self.leases, self.ledger = Leases(), Ledger()
        self.noted: list[int | None] = []
        self.failures: list[Exception] = []
        self.wiring = threading.Event()
        self.wired = threading.Event()
        self.wired.set()
        self.stop = asyncio.Event()
        self.ingester = Ingester(self._make_term, self._stand, Tap("us", lambda _: True))

    def _stand(self, work: Callable[..., object]) -> Candidate:
        clock = asyncio.get_running_loop().time
        return Candidate(self.leases, "ingester/us", "one", work, Evictor(), clock, POLICY)

    def _make_term(self, fence: Fence, leads: Callable[[], bool]) -> Term:
        self.wiring.set()
        self.wired.wait(10)
        if self.failures:
            raise self.failures.pop()
        clock = SystemTime()
        batcher = Batcher("us", fence.epoch, 2, BatchLimits(linger_ns=1_000_000))
        publisher = Publisher(batcher, Stream(), clock, no_wait, buckets=2)
        reign = Reign(self.ledger, self.noted.append, clock, leads)
        intake = Intake(
            "us",
            fence.epoch,
            batcher,
            publisher,
            reign,
            clock,
            no_wait,
            note_durable=reign.note_durable,
        )
        return Term(Feed(), intake, publisher, None, self.universe, reign)

    async def until(self, ready: Callable[[], bool]) -> None:
        loop, met = asyncio.get_running_loop(), asyncio.Event()

        def look() -> None:
            if ready():
                met.set()
            else:
                loop.call_later(0.01, look)

        look()
        await met.wait()

    def state(self) -> tuple[str, bool]:
        told = self.ingester.status()
        return told["state"], told["leads"]


def test_ingester_leaves_its_gap_open_and_notes_its_end_when_it_is_asked_to_stop():
    async def body() -> None:
        house = House()
        running = asyncio.create_task(house.ingester.run(house.stop))
        await house.until(lambda: house.state() == ("streaming", True))
        house.stop.set()
        await running
        assert [gap.closed_ns for gap in house.ledger.written] == [OPEN]
        assert house.noted[-1] is None
        assert house.leases.lease is None
        assert house.state() == ("stopped", False)

    scenario(body)


def test_replaced_ingester_closes_its_gap_and_stands_by_when_it_lost_the_lease():
    async def body() -> None:
        house = House()
        running = asyncio.create_task(house.ingester.run(house.stop))
        await house.until(lambda: house.state() == ("streaming", True))
        house.leases.epoch += 1
        house.leases.lease = Lease("two", house.leases.epoch, 1)
        await house.until(lambda: len(house.ledger.written) == 2)
        opened, closed = house.ledger.written
        assert (opened.closed_ns, opened.cause) == (OPEN, closed.cause)
        assert closed.opened_ns == opened.opened_ns <= closed.closed_ns != OPEN
        assert None not in house.noted
        assert house.state() == ("standby", False)
        house.stop.set()
        await running

    scenario(body)


def test_ingester_ends_in_order_when_it_is_asked_while_its_term_is_wired():
    async def body() -> None:
        house = House()
        house.wired.clear()
        running = asyncio.create_task(house.ingester.run(house.stop))
        await asyncio.to_thread(house.wiring.wait, 10)
        house.stop.set()
        house.wired.set()
        await running
        assert house.leases.lease is None
        assert house.noted[-1] is None

    scenario(body)


def test_ingester_stands_again_when_its_term_cannot_be_wired_for_a_while():
    async def body() -> None:
        house = House()
        house.failures.append(Transient("secrets: throttled"))
        running = asyncio.create_task(house.ingester.run(house.stop))
        await house.until(lambda: house.state() == ("streaming", True))
        told = house.ingester.status()
        assert (told["failed"], told["failure"], told["epoch"]) == (1, "secrets: throttled", 2)
        house.stop.set()
        await running

    scenario(body)


def test_term_ends_in_order_at_once_and_says_why_when_the_universe_watch_fails_unexpectedly():
    async def body() -> None:
        house, venue = House(), BrokenVenue()
        channels = Subscription(CHANNELS, ("*",))
        house.universe = UniverseWatch(
            "us", venue, StateInMemory(), SystemTime(), channels, no_wait, every_s=0.01
        )
        running = asyncio.create_task(house.ingester.run(house.stop))
        await house.until(lambda: house.state() == ("streaming", True))
        await house.until(lambda: house.universe.status().assets == 1)
        venue.broken = True
        with pytest.raises(ZeroDivisionError, match="nobody expected this"):
            await running
        assert not house.stop.is_set()
        assert house.leases.lease is None
        assert [(gap.cause, gap.closed_ns) for gap in house.ledger.written] == [(STOP, OPEN)]
        assert house.noted[-1] is None

    scenario(body)
