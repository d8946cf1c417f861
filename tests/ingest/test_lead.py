"""Who leads, who waits, and what happens to whoever falls silent."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tradelake.errors import Conflict, Fatal, Transient
from tradelake.ports import Fence, Lease
from tradelake.usecases.lead import Candidate, LeasePolicy

POLICY = LeasePolicy(renew_every_s=0.02, give_up_after_s=0.1, lost_after_s=0.2, look_every_s=0.01)


class Leases:
    """A lease in memory that can be made to fail."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.epoch = 0
        self.away = threading.Event()
        self.lose_next_answer = False
        self._lock = threading.Lock()

    def read(self, name: str) -> Lease | None:
        self._check()
        return self.lease

    def take(self, name: str, holder: str, seen: Lease | None) -> Fence:
        self._check()
        with self._lock:
            if self.lease != seen:
                raise Conflict("the lease changed")
            self.epoch += 1
            self.lease = Lease(holder, self.epoch, self.epoch * 1000)
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise Transient("the answer is lost")
        return Fence(self.epoch, None)

    def renew(self, name: str, epoch: int) -> None:
        self._check()
        with self._lock:
            if self.lease is None or self.lease.epoch != epoch:
                raise Conflict("somebody else leads")
            self.lease = Lease(self.lease.holder, epoch, self.lease.beat + 1)

    def release(self, name: str, epoch: int) -> None:
        with self._lock:
            if self.lease is not None and self.lease.epoch == epoch:
                self.lease = None

    def _check(self) -> None:
        if self.away.is_set():
            raise Transient("the store is away")


class View:
    """The lease as one process sees it; ``cut`` takes the store away from it alone."""

    def __init__(self, leases: Leases) -> None:
        self.cut = threading.Event()
        self._leases = leases

    def __getattr__(self, name: str):
        if self.cut.is_set():
            raise Transient("the network is cut")
        return getattr(self._leases, name)


class Evictor:
    def __init__(self) -> None:
        self.evicted: list[str] = []

    def evict(self, holder: str) -> None:
        self.evicted.append(holder)


class Process:
    """One candidate, and the epochs it led in."""

    def __init__(self, leases: Leases, holder: str, evictor: Evictor) -> None:
        self.epochs: list[int] = []
        self.leading = asyncio.Event()
        self.idle = asyncio.Event()
        self.stop = asyncio.Event()
        self.view = View(leases)
        self.failure: Exception | None = None
        self.candidate = Candidate(
            self.view,
            "ingester/us",
            holder,
            self._work,
            evictor,
            asyncio.get_running_loop().time,
            POLICY,
        )

    async def _work(self, fence: Fence, stop: asyncio.Event) -> None:
        self.epochs.append(fence.epoch)
        self.idle.clear()
        self.leading.set()
        if self.failure is not None:
            raise self.failure
        await stop.wait()
        self.leading.clear()
        self.idle.set()

    async def run(self) -> None:
        await self.candidate.run(self.stop)


def scenario(body) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await body()

    asyncio.run(bounded())


def test_standby_leads_at_once_when_the_leader_ends_in_order():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one, two = Process(leases, "one", evictor), Process(leases, "two", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            group.create_task(two.run())
            one.stop.set()
            await two.leading.wait()
            assert not one.leading.is_set()
            two.stop.set()
        assert (one.epochs, two.epochs, evictor.evicted) == ([1], [2], [])
        assert leases.lease is None

    scenario(body)


def test_standby_waits_while_the_leader_lives():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one, two = Process(leases, "one", evictor), Process(leases, "two", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            group.create_task(two.run())
            await asyncio.sleep(3 * POLICY.lost_after_s)
            assert two.epochs == []
            two.stop.set()
            one.stop.set()
        assert evictor.evicted == []

    scenario(body)


def test_silent_leader_stops_by_itself_before_the_standby_evicts_it_and_leads():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one, two = Process(leases, "one", evictor), Process(leases, "two", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            group.create_task(two.run())
            one.view.cut.set()
            await two.leading.wait()
            assert not one.leading.is_set()
            assert evictor.evicted == ["one"]
            assert one.candidate.leadership.lost == 1
            one.view.cut.clear()
            one.stop.set()
            two.stop.set()
        assert (one.epochs, two.epochs) == ([1], [2])

    scenario(body)


def test_replaced_leader_becomes_the_standby_and_leads_again_later():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one = Process(leases, "one", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            leases.epoch += 1
            leases.lease = Lease("two", leases.epoch, 1)
            await one.idle.wait()
            leases.lease = None
            await one.leading.wait()
            one.stop.set()
        assert one.epochs == [1, 3]

    scenario(body)


def test_leader_stops_when_the_store_is_away_for_too_long():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one = Process(leases, "one", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            leases.away.set()
            await one.idle.wait()
            leases.away.clear()
            one.stop.set()
        assert one.candidate.leadership.lost == 1

    scenario(body)


def test_candidate_takes_its_own_lease_for_what_it_is_when_the_answer_was_lost():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        leases.lose_next_answer = True
        one = Process(leases, "one", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            one.stop.set()
        assert (one.epochs, evictor.evicted) == ([2], [])

    scenario(body)


def test_candidate_ends_with_the_error_of_its_work_and_gives_the_lease_back():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one = Process(leases, "one", evictor)
        one.failure = Fatal("402 authentication failed")
        with pytest.raises(Fatal, match="402"):
            await one.run()
        assert leases.lease is None

    scenario(body)


def test_policy_is_refused_when_two_could_lead():
    with pytest.raises(ValueError, match="give_up_after_s < lost_after_s"):
        LeasePolicy(give_up_after_s=6.0, lost_after_s=6.0)
