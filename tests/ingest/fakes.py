"""A stream, a ledger and a clock that do as told."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence

from tradelake.errors import Transient
from tradelake.ports import Gap, Outgoing
from tradelake.stream.envelope import Batch, decode_batch


class SystemTime:
    def now_ns(self) -> int:
        return time.time_ns()


class Stream:
    """Keeps what was put; raises the errors it is given first, after accepting some records."""

    def __init__(self, errors: Sequence[Exception] = (), accept_before_error: int = 0) -> None:
        self.batches: list[Batch] = []
        self.open = threading.Event()
        self.open.set()
        self.puts = 0
        self._errors = list(errors)
        self._accept = accept_before_error
        self._lock = threading.Lock()

    def put(self, records: Sequence[Outgoing]) -> None:
        self.open.wait(20)
        with self._lock:
            self.puts += 1
            assert len({record.key for record in records}) == len(records)
            error = self._errors.pop(0) if self._errors else None
            accepted = records if error is None else records[: self._accept]
            for record in accepted:
                batch = decode_batch(record.data)
                assert record.key == str(batch.bucket)
                self.batches.append(batch)
            if error is not None:
                raise error


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
