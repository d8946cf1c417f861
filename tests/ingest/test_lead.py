"""Who leads, who waits, and what happens to whoever falls silent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

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
        self.refusal: Exception | None = None
        self.after_read = self.after_take = lambda: None
        self._leases = leases

    def read(self, name: str) -> Lease | None:
        self._check()
        lease = self._leases.read(name)
        self.after_read()
        return lease

    def take(self, name: str, holder: str, seen: Lease | None) -> Fence:
        self._check()
        fence = self._leases.take(name, holder, seen)
        self.after_take()
        return fence

    def renew(self, name: str, epoch: int) -> None:
        self._check()
        self._leases.renew(name, epoch)

    def release(self, name: str, epoch: int) -> None:
        self._check()
        self._leases.release(name, epoch)

    def _check(self) -> None:
        if self.cut.is_set():
            raise Transient("the network is cut")
        if self.refusal is not None:
            raise self.refusal


class SteppedClock:
    """The loop's clock, which jumps ahead as it seems to a process that was paused."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._time = asyncio.get_running_loop().time

    def __call__(self) -> float:
        return self._time() + self.ahead_s


class Evictor:
    def __init__(self) -> None:
        self.evicted: list[str] = []
        self.refusal: Exception | None = None

    def evict(self, holder: str) -> None:
        self.evicted.append(holder)
        if self.refusal is not None:
            raise self.refusal


class Process:
    """One candidate, and the epochs it led in."""

    def __init__(
        self,
        leases: Leases,
        holder: str,
        evictor: Evictor,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.epochs: list[int] = []
        self.leading = asyncio.Event()
        self.idle = asyncio.Event()
        self.stop = asyncio.Event()
        self.view = View(leases)
        self.failure: Exception | None = None
        self.last_words: Exception | None = None
        self.candidate = Candidate(
            self.view,
            "ingester/us",
            holder,
            self._work,
            evictor,
            clock or asyncio.get_running_loop().time,
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
        if self.last_words is not None:
            raise self.last_words

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


def test_leader_stops_and_the_error_is_told_when_the_store_refuses_for_good():
    async def body() -> None:
        one = Process(Leases(), "one", Evictor())
        running = asyncio.create_task(one.run())
        await one.leading.wait()
        one.view.refusal = Fatal("no table")
        with pytest.raises(Fatal, match="no table"):
            await running
        assert one.idle.is_set()
        assert not one.candidate.leadership.leads

    scenario(body)


def test_leader_stops_when_its_renewals_end_with_an_error_nobody_expected():
    async def body() -> None:
        one = Process(Leases(), "one", Evictor())
        running = asyncio.create_task(one.run())
        await one.leading.wait()
        one.view.refusal = RuntimeError("a bug")
        with pytest.raises(RuntimeError, match="a bug"):
            await running
        assert one.idle.is_set()
        assert not one.candidate.leadership.leads

    scenario(body)


def test_candidate_ends_with_the_error_when_there_is_no_table():
    async def body() -> None:
        one = Process(Leases(), "one", Evictor())
        one.view.refusal = Fatal("no table")
        with pytest.raises(Fatal, match="no table"):
            await one.run()

    scenario(body)


def test_standby_leads_when_nobody_may_end_the_silent_leader():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        leases.lease, leases.epoch = Lease("dead", 1, 1), 1
        evictor.refusal = Fatal("no permission")
        one = Process(leases, "one", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            assert one.candidate.leadership.unevicted == 1
            assert one.candidate.leadership.failure == "no permission"
            one.stop.set()
        assert one.epochs == [2]

    scenario(body)


def test_standby_leads_after_three_attempts_when_the_silent_leader_cannot_be_reached():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        leases.lease, leases.epoch = Lease("dead", 1, 1), 1
        evictor.refusal = Transient("ECS does not answer")
        one = Process(leases, "one", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            one.stop.set()
        assert evictor.evicted == ["dead"] * 3

    scenario(body)


def test_standby_ends_nobody_when_it_was_itself_paused_while_it_looked():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        leases.lease, leases.epoch = Lease("alive", 1, 1), 1
        clock = SteppedClock()
        one = Process(leases, "one", evictor, clock)
        looks = 0
        looked_enough = asyncio.Event()
        loop = asyncio.get_running_loop()

        def look() -> None:
            # The second answer lies there for a minute before it is looked at.
            nonlocal looks
            looks += 1
            if looks == 2:
                clock.ahead_s += 60.0
            if looks >= 2:
                leases.lease = Lease("alive", 1, looks)
            if looks == 10:
                loop.call_soon_threadsafe(looked_enough.set)

        one.view.after_read = look
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await looked_enough.wait()
            one.stop.set()
        assert (evictor.evicted, one.epochs) == ([], [])

    scenario(body)


def test_candidate_does_not_lead_when_it_was_paused_since_it_took_the_lease():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        clock = SteppedClock()
        one = Process(leases, "one", evictor, clock)

        def pause() -> None:
            if leases.epoch == 1:
                clock.ahead_s += 60.0

        one.view.after_take = pause
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            one.stop.set()
        assert (one.epochs, one.candidate.leadership.lost) == ([2], 1)

    scenario(body)


def test_leader_that_was_paused_knows_it_without_asking_when_it_goes_on():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        clock = SteppedClock()
        one = Process(leases, "one", evictor, clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            clock.ahead_s += 60.0
            await one.idle.wait()
            one.stop.set()
        assert one.candidate.leadership.lost == 1

    scenario(body)


def test_candidate_stands_again_when_its_work_fails_for_a_while():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one = Process(leases, "one", evictor)
        one.failure = Transient("secrets: throttled")
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            one.leading.clear()
            one.failure = None
            await one.leading.wait()
            one.stop.set()
        assert one.epochs == [1, 2]
        assert one.candidate.leadership.failed == 1
        assert leases.lease is None

    scenario(body)


def test_candidate_ends_with_the_error_of_its_work_when_the_lease_was_lost_too():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one = Process(leases, "one", evictor)
        one.last_words = Fatal("12 records were not durable")
        running = asyncio.create_task(one.run())
        await one.leading.wait()
        leases.epoch += 1
        leases.lease = Lease("two", leases.epoch, 1)
        with pytest.raises(Fatal, match="12 records"):
            await running
        assert leases.lease == Lease("two", 2, 1)

    scenario(body)


def test_standby_ends_at_once_when_it_is_asked_while_it_waits():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        leases.lease, leases.epoch = Lease("alive", 1, 1), 1
        one = Process(leases, "one", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await asyncio.sleep(2 * POLICY.look_every_s)
            one.stop.set()
        assert one.epochs == []
        assert leases.lease == Lease("alive", 1, 1)

    scenario(body)


def test_lease_is_kept_when_the_store_throttles_for_less_than_it_lasts():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one = Process(leases, "one", evictor)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.leading.wait()
            leases.away.set()
            await asyncio.sleep(1.5 * POLICY.renew_every_s)
            leases.away.clear()
            await asyncio.sleep(2 * POLICY.renew_every_s)
            assert one.leading.is_set()
            one.stop.set()
        assert one.candidate.leadership.lost == 0

    scenario(body)
