"""Candidates for the lead: who leads, who waits, who takes over."""

from __future__ import annotations

import asyncio

import pytest

from tests.ingest.leading import POLICY, Evictor, Leases, Process, scenario
from tradelake.ports import Lease
from tradelake.usecases.lead import LeasePolicy


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


def test_policy_is_refused_when_two_could_lead():
    with pytest.raises(ValueError, match="give_up_after_s < lost_after_s"):
        LeasePolicy(give_up_after_s=6.0, lost_after_s=6.0)


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
