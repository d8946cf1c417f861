"""A stream, a ledger and a clock that do as told."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from tradelake.errors import Transient
from tradelake.ports import Gap, Outgoing
from tradelake.stream.envelope import Batch, decode_batch


class SystemTime:
    def now_ns(self) -> int:
        return time.time_ns()


class Stream:
    """Keeps what was offered; raises the errors it is given first, after accepting some records.

    ``refuse`` decides about single records.
    """

    def __init__(
        self,
        errors: Sequence[Exception] = (),
        accept_before_error: int = 0,
        refuse: Callable[[Outgoing], Transient | None] = lambda _: None,
    ) -> None:
        self.batches: list[Batch] = []
        self.open = asyncio.Event()
        self.open.set()
        self.puts = 0
        self.closed = False
        self.refuse = refuse
        self._errors = list(errors)
        self._accept = accept_before_error

    async def offer(self, records: Sequence[Outgoing]) -> Sequence[Transient | None]:
        await self.open.wait()
        self.puts += 1
        assert len({record.key for record in records}) == len(records)
        error = self._errors.pop(0) if self._errors else None
        offered = records if error is None else records[: self._accept]
        refusals = [self.refuse(record) for record in offered]
        for record, refusal in zip(offered, refusals, strict=True):
            if refusal is None:
                batch = decode_batch(record.data)
                assert record.key == str(batch.bucket)
                self.batches.append(batch)
        if error is not None:
            raise error
        return refusals

    async def close(self) -> None:
        self.closed = True


class Ledger:
    def __init__(self, failures: int = 0) -> None:
        self.written: list[Gap] = []
        self._failures = failures

    def record(self, gap: Gap) -> None:
        if self._failures:
            self._failures -= 1
            raise Transient("the ledger is away")
        self.written.append(gap)

    def gaps(self) -> list[Gap]:
        return list(self.written)


def no_wait() -> Iterator[float]:
    return itertools.repeat(0.0)
