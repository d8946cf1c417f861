"""One leader by a lease, and a warm standby that takes over.

No clocks of two machines are compared. The holder's sign of life is a number that changes; who
waits takes the lease when the number stood still for ``lost_after_s`` of its own clock. The holder
gives up when it could not renew for ``give_up_after_s`` of its own clock, counted from before the
last renewal that succeeded. While ``give_up_after_s < lost_after_s`` a holder that runs has stopped
before anybody takes over.

A holder that does not run (a paused process, a machine that hangs) cannot stop. It still has the
venue's one connection, and the venue answers its successor with 406 until that connection is gone.
So whoever takes over from a silent holder evicts it first: the process is killed, the kernel closes
its socket. What it wrote late has its own, older epoch, and is merged by identity downstream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tradelake.errors import Conflict, Fatal, TradelakeError, Transient
from tradelake.ports import Evictor, Fence, Lease, LeaseStore

Monotonic = Callable[[], float]
Work = Callable[[Fence, asyncio.Event], Awaitable[None]]

_EVICTIONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePolicy:
    """How long a lease lasts; everything in seconds.

    Parameters
    ----------
    renew_every_s : float
        How often the holder gives a sign of life.
    give_up_after_s : float
        The holder stops when it could not renew for so long.
    lost_after_s : float
        A standby takes over when it saw no sign of life for so long.
    look_every_s : float
        How often a standby looks.

    Raises
    ------
    ValueError
        They are not in the order that makes two leaders impossible.
    """

    renew_every_s: float = 1.0
    give_up_after_s: float = 4.0
    lost_after_s: float = 6.0
    look_every_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.renew_every_s < self.give_up_after_s < self.lost_after_s:
            raise ValueError(
                "expected 0 < renew_every_s < give_up_after_s < lost_after_s; found"
                f" {self.renew_every_s:g}, {self.give_up_after_s:g}, {self.lost_after_s:g}"
            )


@dataclass(slots=True)
class Leadership:
    """What the status tells: whether this process leads, and how often it came to that.

    ``evicted`` counts silent holders told to end, ``unevicted`` those nobody could tell; ``failed``
    terms that ended for a reason that passes, ``failure`` the last such reason.
    """

    leads: bool = False
    terms: int = 0
    lost: int = 0
    evicted: int = 0
    unevicted: int = 0
    failed: int = 0
    failure: str = ""
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A lease that was taken, and an instant before it was."""

    fence: Fence
    asked_at: float


class Candidate:
    """Waits for the lease, leads while it has it, waits again when it lost it.

    Parameters
    ----------
    leases : LeaseStore
        Called from threads.
    name, holder : str
        Of the lease, and of this process: what ``evictor`` of another process can end.
    work : callable
        ``await work(fence, stop)`` leads until ``stop`` is set. Its own end ends the candidate; a
        ``Transient`` error gives the lease back, and the candidate stands again after a while.
    evictor : Evictor
        Ends a silent holder.
    monotonic : callable
        Seconds that never go back, and go on while the process is paused.
    policy : LeasePolicy
        How long a lease lasts.
    """

    def __init__(
        self,
        leases: LeaseStore,
        name: str,
        holder: str,
        work: Work,
        evictor: Evictor,
        monotonic: Monotonic,
        policy: LeasePolicy,
    ) -> None:
        self.leadership = Leadership()
        self._leases, self._name, self._holder = leases, name, holder
        self._work, self._evictor = work, evictor
        self._monotonic, self._policy = monotonic, policy

    async def run(self, stop: asyncio.Event) -> None:
        """Stand for the lease until ``stop`` is set, and give it back then.

        Raises
        ------
        TradelakeError
            What ``work`` raises, or the store refuses for good.
        """
        while not stop.is_set():
            held = await self._wait(stop)
            if held is None:
                return
            try:
                kept = await self._lead(held, stop)
            except Transient as error:
                self.leadership.failed += 1
                self.leadership.failure = str(error)
                await _sleep(self._policy.give_up_after_s, stop)
            else:
                self.leadership.lost += not kept

    async def _wait(self, stop: asyncio.Event) -> _Held | None:
        """Return when the lease is ours; None: asked to stop."""
        began = seen_at = self._monotonic()
        seen: Lease | None = None
        evictions = 0
        while not stop.is_set():
            with contextlib.suppress(Transient, Conflict):
                # What is read is at least as new as `asked_at`, however late we get to see it: a
                # process that was paused must not take its own silence for the holder's.
                asked_at = self._monotonic()
                lease = await asyncio.to_thread(self._leases.read, self._name)
                if lease != seen:
                    seen, seen_at, evictions = lease, self._monotonic(), 0
                # Ours: the answer to a take of ours was lost.
                ours = lease is not None and lease.holder == self._holder
                silent = lease is not None and asked_at - seen_at >= self._policy.lost_after_s
                if lease is not None and silent and not ours and evictions < _EVICTIONS:
                    # Not forever: a holder that cannot be ended must not keep everybody waiting.
                    evictions += 1
                    await self._evict(lease.holder)
                if lease is None or silent or ours:
                    asked_at = self._monotonic()
                    fence = await asyncio.to_thread(
                        self._leases.take, self._name, self._holder, lease
                    )
                    self.leadership.waited_s = self._monotonic() - began
                    return _Held(fence, asked_at)
            await _sleep(self._policy.look_every_s, stop)
        return None

    async def _evict(self, holder: str) -> None:
        """End a silent holder; one that nobody may end is left to the venue.

        Raises
        ------
        Transient
            It may succeed later.
        """
        try:
            await asyncio.to_thread(self._evictor.evict, holder)
        except Fatal as error:
            self.leadership.unevicted += 1
            self.leadership.failure = str(error)
        else:
            self.leadership.evicted += 1

    async def _lead(self, held: _Held, stop: asyncio.Event) -> bool:
        """Work until asked to stop or the lease is lost; returns whether it was kept."""
        if self._monotonic() - held.asked_at >= self._policy.give_up_after_s:
            return False  # paused since; somebody else may lead by now
        epoch, ended = held.fence.epoch, asyncio.Event()
        self.leadership.leads, self.leadership.terms = True, self.leadership.terms + 1
        working = asyncio.create_task(self._until(self._work(held.fence, ended), ended))
        keeping = asyncio.create_task(self._keep(epoch, held.asked_at, ended))
        # However it ends: nobody leads whose lease is not kept.
        keeping.add_done_callback(lambda _: ended.set())
        asked = asyncio.create_task(_forward(stop, ended))
        try:
            await working
        finally:
            ended.set()
            asked.cancel()
            self.leadership.leads = False
            kept = await keeping
            if kept:
                # A lease that cannot be given back runs out.
                with contextlib.suppress(TradelakeError):
                    await asyncio.to_thread(self._leases.release, self._name, epoch)
        if kept:
            stop.set()
        return kept

    @staticmethod
    async def _until(work: Awaitable[None], ended: asyncio.Event) -> None:
        try:
            await work
        finally:
            ended.set()

    async def _keep(self, epoch: int, renewed_at: float, ended: asyncio.Event) -> bool:
        """Renew until ``ended``; sets it when the lease is lost. Returns whether it was kept."""
        give_up_after_s = self._policy.give_up_after_s
        while not ended.is_set():
            await _sleep(self._policy.renew_every_s, ended)
            began = self._monotonic()
            if began - renewed_at < give_up_after_s:
                if ended.is_set():
                    break
                try:
                    async with asyncio.timeout(give_up_after_s - (began - renewed_at)):
                        await asyncio.to_thread(self._leases.renew, self._name, epoch)
                    renewed_at = began
                    continue
                except (Transient, TimeoutError):
                    continue
                except (Conflict, Fatal):
                    pass  # a store that refuses for good says so again to whoever waits
            self.leadership.leads = False
            ended.set()
            return False
        return True


async def _sleep(seconds: float, wake: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()


async def _forward(source: asyncio.Event, target: asyncio.Event) -> None:
    await source.wait()
    target.set()
