"""Leases, evictors and processes that stand for the lead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tradelake.errors import Conflict, Transient
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
