"""Faults on demand and a shard's real limits: what makes a writer's retries worth testing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

_SHARD_BYTES_S: Final = float(1 << 20)
_SHARD_RECORDS_S: Final = 1000.0


class FaultRequest(msgspec.Struct, kw_only=True):
    """Body of ``POST /_streams/fault``; each call replaces what was asked for before.

    Parameters
    ----------
    seconds : float
        How long it lasts.
    stream : str or None
        Physical name; None means every stream.
    throttle : float
        Share of records refused with ``ProvisionedThroughputExceededException``.
    away : bool
        Answer 503 to every Kinesis call.
    lose_answer : float
        Share of PutRecord and PutRecords calls that are carried out and then answered with 500.
    seed : int
        Makes the choice repeatable.
    """

    seconds: float
    stream: str | None = None
    throttle: float = 0.0
    away: bool = False
    lose_answer: float = 0.0
    seed: int = 0


class Faults:
    """The fault in force, if any.

    Parameters
    ----------
    monotonic_s : callable
        Seconds of a clock that never goes back.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._request: FaultRequest | None = None
        self._until_s = 0.0
        self._random = random.Random(0)

    def begin(self, request: FaultRequest) -> None:
        """Put a fault in force from now on."""
        self._request = request
        self._until_s = self._monotonic_s() + request.seconds
        self._random = random.Random(request.seed)

    def is_away(self) -> bool:
        """Whether every call is to be refused."""
        request = self._active(None)
        return request is not None and request.away

    def throttles(self, stream: str) -> bool:
        """Whether the next record for a stream is refused."""
        request = self._active(stream)
        return request is not None and self._random.random() < request.throttle

    def loses_answer(self, stream: str) -> bool:
        """Whether the answer of the call in hand is lost."""
        request = self._active(stream)
        return request is not None and self._random.random() < request.lose_answer

    def _active(self, stream: str | None) -> FaultRequest | None:
        request = self._request
        if request is None:
            return None
        if self._monotonic_s() >= self._until_s:
            self._request = None
            return None
        if stream is not None and request.stream not in (None, stream):
            return None
        return request


@dataclass(slots=True)
class _Bucket:
    rate: float
    level: float
    at_s: float

    def fill(self, now_s: float) -> None:
        self.level = min(self.rate, self.level + (now_s - self.at_s) * self.rate)
        self.at_s = now_s


class ShardLimit:
    """1 MiB and 1,000 records a second, with one second's worth of burst.

    Parameters
    ----------
    now_s : float
        The present on a clock that never goes back; the buckets start full.
    """

    def __init__(self, now_s: float) -> None:
        self._bytes = _Bucket(_SHARD_BYTES_S, _SHARD_BYTES_S, now_s)
        self._records = _Bucket(_SHARD_RECORDS_S, _SHARD_RECORDS_S, now_s)

    def admits(self, size: int, now_s: float) -> bool:
        """Whether one more record of ``size`` bytes fits; it is counted when it does."""
        self._bytes.fill(now_s)
        self._records.fill(now_s)
        if self._bytes.level < size or self._records.level < 1:
            return False
        self._bytes.level -= size
        self._records.level -= 1
        return True
