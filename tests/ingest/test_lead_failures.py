"""Candidates for the lead when the store, the work or the clock fails them."""

from __future__ import annotations

import asyncio

import pytest

from tests.ingest.leading import POLICY, Evictor, Leases, Process, scenario
from tradelake.errors import Fatal, Transient
from tradelake.ports import Lease


class SteppedClock:
    """The loop's clock, which jumps ahead as it seems to a process that was paused."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._time = asyncio.get_running_loop().time

    def __call__(self) -> float:
        return self._time() + self.ahead_s


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


def test_candidate_ends_with_the_error_of_its_work_and_gives_the_lease_back():
    async def body() -> None:
        leases, evictor = Leases(), Evictor()
        one = Process(leases, "one", evictor)
        one.failure = Fatal("402 authentication failed")
        with pytest.raises(Fatal, match="402"):
            await one.run()
        assert leases.lease is None

    scenario(body)


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
